//! What an operator may set: the text, the keys, and what the broker runs with.

pub(crate) mod cleaner_keys;
pub(crate) mod keys;
pub(crate) mod listeners;
pub(crate) mod properties;
pub(crate) mod settings;
pub(crate) mod tables;

mod group_keys;
mod metrics_keys;
mod topic_defaults;
mod values;
