//! AlterConfigs (KIP-133): a resource has these keys from now on and no others. Clients that still use it are older than
//! IncrementalAlterConfigs.

use dohle_metadata::Refusal;
use dohle_metadata::controller::configs::{ReplaceConfigs, ResourceValues};
use dohle_metadata::controller::{Command, Reply};
use dohle_metadata::image::ResourceKind;
use dohle_protocol::ApiKey;
use dohle_protocol::message::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};

use super::controlling::{self, Verdict};
use super::{Api, resource};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::AlterConfigs);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let altered = controlling::alter(&request.resources, |asked| check(cx, asked), async |resources| {
        let resources = resources.into_iter().map(values).collect();
        let command = Command::ReplaceConfigs(ReplaceConfigs { resources, validate_only: request.validate_only });
        match controlling::ask(cx, command).await? {
            Reply::ConfigsAltered(results) => Ok(results.into_iter().map(|result| result.error).collect()),
            other => unreachable!("an alteration is answered as one, not as {other:?}"),
        }
    });
    let told = |(asked, refused): (&AlterConfigsResource, Option<Refusal>)| {
        let Verdict { code, message } = Verdict::of(client, refused.as_ref());
        AlterConfigsResourceResponse {
            error_code: code,
            error_message: message,
            resource_type: asked.resource_type,
            resource_name: asked.resource_name.clone(),
            ..Default::default()
        }
    };
    let responses = request.resources.iter().zip(altered.await).map(told).collect();
    AlterConfigsResponse { responses, ..Default::default() }
}

fn check(cx: &Context, asked: &AlterConfigsResource) -> Result<(), Refusal> {
    match resource::kind(asked.resource_type)? {
        ResourceKind::Broker => resource::check_broker(cx, &asked.resource_name),
        ResourceKind::BrokerLogger => Err(resource::invalid("loggers are altered by IncrementalAlterConfigs only")),
        ResourceKind::Topic | ResourceKind::ClientMetrics | ResourceKind::Group => Ok(()),
    }
}

fn values(asked: &AlterConfigsResource) -> ResourceValues {
    let values = asked.configs.iter();
    ResourceValues {
        kind: asked.resource_type,
        name: asked.resource_name.to_string(),
        values: values.map(|config| (config.name.to_string(), config.value.clone().map(String::from))).collect(),
    }
}
