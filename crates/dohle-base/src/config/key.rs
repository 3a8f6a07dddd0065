//! One configuration key: its name, kind, default, range, and when a change takes effect.

use std::fmt;

/// What a value is, in the protocol's terms (`ConfigDef.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// Any text.
    Text,
    /// A 32-bit number.
    Int,
    /// A 16-bit number.
    Short,
    /// A 64-bit number.
    Long,
    /// A number with a fraction.
    Double,
    /// Texts between commas.
    List,
    /// The name of a Java class, where Kafka has one.
    Class,
    /// Text that is never shown.
    Password,
}

/// Which values of its kind a key accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Accepts {
    /// All of them.
    Any,
    /// Whole numbers from the first to the last, both included.
    Between(i64, i64),
    /// Fractions from the first to the last, both included.
    Fraction(f64, f64),
    /// These texts; in a list, any number of them.
    OneOf(&'static [&'static str]),
}

/// When a changed value is obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// At once, for the next request that asks.
    Immediately,
    /// When the next segment is begun.
    OnRoll,
    /// When the broker starts again: the key cannot be altered while it runs.
    OnRestart,
}

/// The declaration of a key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Kafka's name where Kafka has one.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// The value as written when nobody sets one; none where Kafka has no default.
    pub default: Option<&'static str>,
    /// Which values are taken.
    pub accepts: Accepts,
    /// When a change is obeyed.
    pub takes: Takes,
    /// For a topic's key: the broker's keys that give its default, the first that is set wins.
    pub synonyms: &'static [&'static str],
    /// One sentence.
    pub about: &'static str,
}

/// A value that a key does not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    /// The key's name.
    pub key: &'static str,
    /// What was written.
    pub value: String,
    /// What would be accepted.
    pub expected: String,
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid value {} for configuration {}: {}", self.value, self.key, self.expected)
    }
}

impl std::error::Error for InvalidValue {}

impl Key {
    /// Refuses what the key does not accept; a value that passes here can be read with the method of its kind.
    pub fn check(&self, value: &str) -> Result<(), InvalidValue> {
        let value = value.trim();
        match self.kind {
            Kind::Boolean => self.boolean(value).map(drop),
            Kind::Int | Kind::Short | Kind::Long => self.whole(value).map(drop),
            Kind::Double => self.fraction(value).map(drop),
            Kind::List => list(value).try_for_each(|item| self.check_text(item)),
            Kind::Text | Kind::Class | Kind::Password => self.check_text(value),
        }
    }

    /// Reads a value of a boolean key.
    pub fn boolean(&self, value: &str) -> Result<bool, InvalidValue> {
        match value.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.refuse(value, "must be true or false".to_owned())),
        }
    }

    /// Reads a value of a whole-number key and holds it to the key's range.
    pub fn whole(&self, value: &str) -> Result<i64, InvalidValue> {
        let (least, most) = match (self.accepts, self.kind) {
            (Accepts::Between(least, most), _) => (least, most),
            (_, Kind::Short) => (i64::from(i16::MIN), i64::from(i16::MAX)),
            (_, Kind::Int) => (i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => (i64::MIN, i64::MAX),
        };
        match value.trim().parse::<i64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            Ok(_) => Err(self.refuse(value, format!("must be from {least} to {most}"))),
            Err(_) => Err(self.refuse(value, "must be a whole number".to_owned())),
        }
    }

    /// Reads a value of a fractional key and holds it to the key's range.
    pub fn fraction(&self, value: &str) -> Result<f64, InvalidValue> {
        let (least, most) = match self.accepts {
            Accepts::Fraction(least, most) => (least, most),
            Accepts::Any | Accepts::Between(..) | Accepts::OneOf(_) => (f64::MIN, f64::MAX),
        };
        match value.trim().parse::<f64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            Ok(_) => Err(self.refuse(value, format!("must be from {least} to {most}"))),
            Err(_) => Err(self.refuse(value, "must be a number".to_owned())),
        }
    }

    fn check_text(&self, value: &str) -> Result<(), InvalidValue> {
        match self.accepts {
            Accepts::OneOf(known) if !known.contains(&value) => {
                Err(self.refuse(value, format!("must be one of {}", known.join(", "))))
            }
            Accepts::Any | Accepts::Between(..) | Accepts::Fraction(..) | Accepts::OneOf(_) => Ok(()),
        }
    }

    fn refuse(&self, value: &str, expected: String) -> InvalidValue {
        let value = if self.kind == Kind::Password { "[hidden]" } else { value };
        InvalidValue { key: self.name, value: value.to_owned(), expected }
    }
}

/// The items of a list value, trimmed; an empty list has none.
fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: Kind, accepts: Accepts) -> Key {
        Key { name: "k", kind, default: None, accepts, takes: Takes::Immediately, synonyms: &[], about: "" }
    }

    #[test]
    fn a_value_is_held_to_its_kind_and_range() {
        let policy = key(Kind::List, Accepts::OneOf(&["compact", "delete"]));
        let bytes = key(Kind::Int, Accepts::Between(14, 100));
        let ratio = key(Kind::Double, Accepts::Fraction(0.0, 1.0));
        let flag = key(Kind::Boolean, Accepts::Any);
        let cases = [
            (&policy, "compact, delete", true),
            (&policy, "", true),
            (&policy, "compact,burn", false),
            (&bytes, "14", true),
            (&bytes, "13", false),
            (&bytes, "x", false),
            (&ratio, "0.5", true),
            (&ratio, "1.5", false),
            (&ratio, "NaN", false),
            (&flag, "TRUE", true),
            (&flag, "1", false),
        ];
        for (key, value, accepted) in cases {
            assert_eq!(key.check(value).is_ok(), accepted, "{:?} {value}", key.kind);
        }
    }

    #[test]
    fn a_refused_password_is_not_shown() {
        let secret = key(Kind::Password, Accepts::OneOf(&[]));
        assert!(!secret.check("hunter2").unwrap_err().to_string().contains("hunter2"));
    }
}
