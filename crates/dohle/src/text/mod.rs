//! What people write on a command line, and how things are written for them.

pub(crate) mod base64;
pub(crate) mod config_value;
pub(crate) mod instant;
pub(crate) mod number;
pub(crate) mod pair;
pub(crate) mod place;
pub(crate) mod template;
