//! What can be configured, as requests name it: the kinds, and the broker that a request means.

use dohle_base::ErrorCode;
use dohle_metadata::Refusal;
use dohle_metadata::image::ResourceKind;

use crate::context::Context;

/// The name of the one logger that there is.
pub(super) const ROOT_LOGGER: &str = "root";

/// The kind of this number.
pub(super) fn kind(code: i8) -> Result<ResourceKind, Refusal> {
    ResourceKind::from_code(code).ok_or_else(|| invalid(format!("unknown resource type {code}")))
}

/// Refuses what was meant for another broker: a broker answers for itself, and where the name is empty for all.
pub(super) fn check_broker(cx: &Context, name: &str) -> Result<(), Refusal> {
    if name.is_empty() { Ok(()) } else { check_this_broker(cx, name) }
}

/// Refuses what was not meant for this broker alone.
pub(super) fn check_this_broker(cx: &Context, name: &str) -> Result<(), Refusal> {
    let this = cx.settings.node.id.0;
    match name.parse::<i32>() {
        Ok(id) if id == this => Ok(()),
        Ok(id) => Err(invalid(format!("this is broker {this}, the request is for {id}"))),
        Err(_) => Err(invalid(format!("a broker is named by its number, not {name:?}"))),
    }
}

/// A request that can mean nothing.
pub(super) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}
