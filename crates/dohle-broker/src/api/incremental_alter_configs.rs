//! IncrementalAlterConfigs (KIP-339, KIP-412): some keys of resources change, the others stay.

use dohle_base::ErrorCode;
use dohle_metadata::Refusal;
use dohle_metadata::controller::configs::{AlterConfigs, KeyChange, ResourceChange};
use dohle_metadata::controller::{Command, Reply};
use dohle_metadata::image::ResourceKind;
use dohle_protocol::ApiKey;
use dohle_protocol::message::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use super::controlling::{self, Verdict};
use super::{Api, resource};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::IncrementalAlterConfigs);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let altered = controlling::alter(&request.resources, |asked| check(cx, asked), async |resources| {
        let resources = resources.into_iter().map(change).collect();
        let command = Command::AlterConfigs(AlterConfigs { resources, validate_only: request.validate_only });
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
    IncrementalAlterConfigsResponse { responses, ..Default::default() }
}

fn check(cx: &Context, asked: &AlterConfigsResource) -> Result<(), Refusal> {
    match resource::kind(asked.resource_type)? {
        ResourceKind::Broker => resource::check_broker(cx, &asked.resource_name),
        ResourceKind::BrokerLogger => check_loggers(cx, asked),
        ResourceKind::Topic | ResourceKind::ClientMetrics | ResourceKind::Group => Ok(()),
    }
}

/// Levels stay as they were when the broker started.
fn check_loggers(cx: &Context, asked: &AlterConfigsResource) -> Result<(), Refusal> {
    resource::check_this_broker(cx, &asked.resource_name)?;
    let is_root = |config: &&AlterableConfig| config.name == resource::ROOT_LOGGER;
    match asked.configs.iter().find(|config| !is_root(config)) {
        Some(other) => Err(Refusal::new(ErrorCode::InvalidConfig, format!("there is no logger {}", other.name))),
        None => Err(resource::invalid("the level of the log is decided when the broker starts")),
    }
}

fn change(asked: &AlterConfigsResource) -> ResourceChange {
    let key = |config: &AlterableConfig| KeyChange {
        key: config.name.to_string(),
        operation: config.config_operation,
        value: config.value.clone().map(String::from),
    };
    ResourceChange {
        kind: asked.resource_type,
        name: asked.resource_name.to_string(),
        keys: asked.configs.iter().map(key).collect(),
    }
}
