//! DescribeCluster (KIP-700, KIP-919, KIP-1073): the brokers, fenced ones too if they are asked for.

use dohle_base::ErrorCode;
use dohle_metadata::image::Broker;
use dohle_protocol::ApiKey;
use dohle_protocol::message::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use super::{Api, operations};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::DescribeCluster);

/// The kind of endpoint that this is.
const BROKERS: i8 = 1;
/// The kind that a client asks for who wants the quorum.
const CONTROLLERS: i8 = 2;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    if request.endpoint_type != BROKERS {
        return refused(client, request.endpoint_type);
    }
    let view = cx.catalog.view();
    let listener = &client.peer.listener.bind.name;
    let described = |broker: &Broker| {
        let listener = broker.listener(listener)?;
        Some(DescribeClusterBroker {
            broker_id: broker.id.0,
            host: listener.host.as_str().into(),
            port: i32::from(listener.port),
            rack: broker.rack.as_deref().map(Into::into),
            is_fenced: broker.fenced,
            ..Default::default()
        })
    };
    let shown = view.image.brokers.iter().filter(|broker| !broker.fenced || request.include_fenced_brokers);
    DescribeClusterResponse {
        error_code: client.code(ErrorCode::None),
        endpoint_type: BROKERS,
        cluster_id: (&*view.image.cluster_id).into(),
        controller_id: cx.settings.node.id.0,
        brokers: shown.filter_map(|broker| described(broker)).collect(),
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            operations::CLUSTER
        } else {
            operations::UNASKED
        },
        ..Default::default()
    }
}

fn refused(client: &Client, asked: i8) -> DescribeClusterResponse {
    let code =
        if asked == CONTROLLERS { ErrorCode::MismatchedEndpointType } else { ErrorCode::UnsupportedEndpointType };
    let message = format!("a listener for clients tells of brokers ({BROKERS}), not of endpoints of type {asked}");
    DescribeClusterResponse { error_code: client.code(code), error_message: Some(message.into()), ..Default::default() }
}
