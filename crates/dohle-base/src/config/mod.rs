//! Configuration keys: each is declared once, in the room that obeys it, and the table of a room feeds DescribeConfigs,
//! the checks of an altered value, `--help` and the documentation.
//!
//! Owns declaration and checking; knows neither files nor what a key does.

mod key;
mod table;

pub use key::{Accepts, InvalidValue, Key, Kind, Takes};
pub use table::{Table, UnknownKey};
