//! Requests that are laid out once and stamped in place.

pub mod fetch;
pub mod produce;
