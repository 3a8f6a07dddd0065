//! ListConfigResources (KIP-714, KIP-1142): what there is that can be configured.

use dohle_base::ErrorCode;
use dohle_metadata::image::ResourceKind;
use dohle_protocol::ApiKey;
use dohle_protocol::message::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use super::Api;
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::ListConfigResources);

/// The version since which there are kinds beside subscriptions to metrics.
const KINDS_FROM: i16 = 1;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let view = cx.catalog.view();
    let Some(kinds) = kinds(version, &request.resource_types) else {
        let error_code = client.code(ErrorCode::UnsupportedVersion);
        return ListConfigResourcesResponse { error_code, ..Default::default() };
    };
    let listed = kinds.iter().flat_map(|kind| names(&view, client, *kind).into_iter().map(|name| (*kind, name)));
    let config_resources = listed.map(|(kind, name)| ConfigResource {
        resource_name: name.into(),
        resource_type: kind.code(),
        ..Default::default()
    });
    ListConfigResourcesResponse {
        error_code: client.code(ErrorCode::None),
        config_resources: config_resources.collect(),
        ..Default::default()
    }
}

/// The kinds that were asked for, all where none are named; none at all if one of them is unknown.
fn kinds(version: i16, asked: &[i8]) -> Option<Vec<ResourceKind>> {
    use ResourceKind::{Broker, BrokerLogger, ClientMetrics, Group, Topic};
    let known: &[ResourceKind] = match version {
        KINDS_FROM.. => &[Group, ClientMetrics, BrokerLogger, Broker, Topic],
        _ => &[ClientMetrics],
    };
    if asked.iter().any(|code| !known.iter().any(|kind| kind.code() == *code)) {
        return None;
    }
    let is_asked = |kind: &&ResourceKind| asked.is_empty() || asked.contains(&kind.code());
    Some(known.iter().filter(is_asked).copied().collect())
}

fn names(view: &View, client: &Client, kind: ResourceKind) -> Vec<String> {
    let image = &view.image;
    match kind {
        ResourceKind::Topic => image.topics.iter().map(|topic| topic.name.to_string()).collect(),
        ResourceKind::Broker | ResourceKind::BrokerLogger => {
            let listener = &client.peer.listener.bind.name;
            let brokers = image.brokers.live().filter(|broker| broker.listener(listener).is_some());
            brokers.map(|broker| broker.id.to_string()).collect()
        }
        ResourceKind::ClientMetrics | ResourceKind::Group => {
            image.configs.resources(kind).map(|resource| resource.name.to_string()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_version_lists_subscriptions_only() {
        assert_eq!(kinds(0, &[]), Some(vec![ResourceKind::ClientMetrics]));
        assert_eq!(kinds(1, &[]).unwrap().len(), 5);
        assert_eq!(kinds(1, &[4, 2]), Some(vec![ResourceKind::Broker, ResourceKind::Topic]));
        assert_eq!(kinds(1, &[2, 3]), None);
    }
}
