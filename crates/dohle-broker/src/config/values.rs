//! Values as written, read through the keys that declare them.

use std::time::Duration;

use dohle_base::config::{InvalidValue, Key, Table, UnknownKey};

use super::properties::Properties;

/// What the operator wrote, over what the keys say otherwise.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) written: &'a Properties,
    pub(crate) keys: &'a Table,
}

impl<'a> Values<'a> {
    /// The value as written.
    pub(crate) fn written(&self, name: &str) -> Option<&'a str> {
        self.written.get(name).map(|value| value.trim())
    }

    /// The value or the key's default, empty where there is neither.
    pub(crate) fn text(&self, name: &str) -> &'a str {
        self.written(name).or(self.key(name).default).unwrap_or_default()
    }

    pub(crate) fn boolean(&self, name: &str) -> Result<bool, InvalidValue> {
        self.key(name).boolean(self.text(name))
    }

    pub(crate) fn whole(&self, name: &str) -> Result<i64, InvalidValue> {
        self.key(name).whole(self.text(name))
    }

    pub(crate) fn fraction(&self, name: &str) -> Result<f64, InvalidValue> {
        self.key(name).fraction(self.text(name))
    }

    /// A whole number that the key's range keeps at or above zero.
    pub(crate) fn size(&self, name: &str) -> Result<usize, InvalidValue> {
        Ok(usize::try_from(self.whole(name)?).unwrap_or(0))
    }

    pub(crate) fn millis(&self, name: &str) -> Result<Duration, InvalidValue> {
        Ok(Duration::from_millis(u64::try_from(self.whole(name)?).unwrap_or(0)))
    }

    fn key(&self, name: &str) -> &'static Key {
        let known = self.keys.find(name);
        known.unwrap_or_else(|UnknownKey(name)| panic!("{name} is obeyed but not declared"))
    }
}
