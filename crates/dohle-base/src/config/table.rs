//! The keys of one kind of resource, found by name.

use std::fmt;

use super::{InvalidValue, Key};

/// Declared keys, each name once.
#[derive(Clone, Copy, Debug)]
pub struct Table(pub &'static [Key]);

/// A name that no key bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey(pub String);

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown configuration {}", self.0)
    }
}

impl std::error::Error for UnknownKey {}

impl Table {
    /// The key of this name.
    pub fn find(&self, name: &str) -> Result<&'static Key, UnknownKey> {
        self.0.iter().find(|key| key.name == name).ok_or_else(|| UnknownKey(name.to_owned()))
    }

    /// All keys, in the order of their declaration.
    pub fn iter(&self) -> impl Iterator<Item = &'static Key> {
        self.0.iter()
    }

    /// Checks that names are unique and that every default is a value which its key accepts: for the tests of the room
    /// that declares the table.
    pub fn check(&self) -> Result<(), InvalidValue> {
        for (place, key) in self.0.iter().enumerate() {
            assert!(self.0[..place].iter().all(|earlier| earlier.name != key.name), "{} is declared twice", key.name);
            key.default.map_or(Ok(()), |default| key.check(default))?;
        }
        Ok(())
    }
}
