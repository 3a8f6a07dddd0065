//! ApiVersions (KIP-35, KIP-511, KIP-584, KIP-1242): what is served, and what the cluster has agreed on.

use dohle_base::ErrorCode;
use dohle_metadata::image::Supported;
use dohle_protocol::ApiKey;
use dohle_protocol::message::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use super::Api;
use crate::context::Context;
use crate::dispatch::Client;
use crate::net::peer::Software;

pub(crate) const API: Api = Api::of(ApiKey::ApiVersions);

/// The version since which a feature may be off.
const FEATURES_OFF_FROM: i16 = 4;
/// What nobody is told of unless this API is served: a client that is told would use it.
const FEATURES_OF_APIS: [(&str, ApiKey); 3] = [
    ("group.version", ApiKey::ConsumerGroupHeartbeat),
    ("share.version", ApiKey::ShareGroupHeartbeat),
    ("streams.version", ApiKey::StreamsGroupHeartbeat),
];
/// The version since which a client says whom it means to ask.
const IDENTITY_FROM: i16 = 5;

/// Answers also a client whose names are refused: it may go on without them.
pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: ApiVersionsRequest,
) -> ApiVersionsResponse {
    if version >= 3 {
        let software =
            Software { name: request.client_software_name.to_string(), version: request.client_software_version.to_string() };
        if !is_name(&software.name) || !is_name(&software.version) {
            return ApiVersionsResponse { error_code: client.code(ErrorCode::InvalidRequest), ..Default::default() };
        }
        client.peer.software.replace(software);
    }
    if is_for_another(cx, version, &request) {
        return ApiVersionsResponse { error_code: client.code(ErrorCode::RebootstrapRequired), ..Default::default() };
    }
    ApiVersionsResponse { error_code: client.code(ErrorCode::None), ..features(cx, version) }
}

/// Whether the client means another node than this one: its cluster's addresses now lead here (KIP-1242).
fn is_for_another(cx: &Context, version: i16, request: &ApiVersionsRequest) -> bool {
    let Some(cluster) = request.cluster_id.as_ref().filter(|_| version >= IDENTITY_FROM) else { return false };
    cluster.as_str() != cx.storage.cluster_id() || request.node_id != cx.settings.node.id.0
}

/// For a client that asks in a version that nobody knows yet: the answer is read in version 0.
pub(crate) fn unsupported(cx: &Context) -> ApiVersionsResponse {
    ApiVersionsResponse { error_code: ErrorCode::UnsupportedVersion.code(), api_keys: served(cx).api_keys, ..Default::default() }
}

fn served(cx: &Context) -> ApiVersionsResponse {
    let api_keys = cx.apis.iter().map(|served| {
        let versions = served.api.advertised();
        let (min_version, max_version) = (*versions.start(), *versions.end());
        ApiVersion { api_key: served.api.key.code(), min_version, max_version, ..Default::default() }
    });
    ApiVersionsResponse { api_keys: api_keys.collect(), ..Default::default() }
}

/// What the cluster could agree on and what it has agreed on (KIP-584).
fn features(cx: &Context, version: i16) -> ApiVersionsResponse {
    let view = cx.catalog.view();
    let level = |(name, level): (&str, i16)| FinalizedFeatureKey {
        name: name.into(),
        max_version_level: level,
        min_version_level: level,
        ..Default::default()
    };
    let supported = |feature: &Supported| SupportedFeatureKey {
        name: feature.name.as_str().into(),
        min_version: feature.least,
        max_version: feature.most,
        ..Default::default()
    };
    let is_served = |name: &str| {
        let mut needed = FEATURES_OF_APIS.iter().filter(|(feature, _)| *feature == name);
        needed.all(|(_, key)| cx.apis.iter().any(|served| served.api.key == *key))
    };
    let this = view.image.brokers.get(cx.settings.node.id);
    let features = this.into_iter().flat_map(|broker| &broker.features).filter(|feature| is_served(&feature.name));
    // Older clients do not survive a feature that may be off (KAFKA-17492).
    let told = features.filter(|feature| feature.least > 0 || version >= FEATURES_OFF_FROM);
    ApiVersionsResponse {
        supported_features: told.map(supported).collect(),
        finalized_features_epoch: view.image.offset.0,
        finalized_features: view.image.features.iter().filter(|(name, _)| is_served(name)).map(level).collect(),
        ..served(cx)
    }
}

/// Letters, digits, dots and hyphens, the last two only within.
fn is_name(text: &str) -> bool {
    let alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|b| alphabet(*b))
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn software_is_named_as_kip_511_allows() {
        assert!(["a", "apache-kafka-java", "4.4.0"].into_iter().all(is_name));
        assert!(["", "-a", "a.", "a b", "ä"].into_iter().all(|name| !is_name(name)));
    }
}
