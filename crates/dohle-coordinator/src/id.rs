//! The names of groups, of those who belong to them, and of transactional producers.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use dohle_base::{ProducerEpoch, ProducerId, Uuid};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

name! {
    /// A group. Any text, even none at all: Kafka lets the nameless group commit offsets.
    GroupId
}
name! {
    /// One life of a member, named by the coordinator.
    MemberId
}
name! {
    /// A member that its operator named, the same through restarts (KIP-345).
    InstanceId
}

name! {
    /// A producer that its operator named, the same through restarts (KIP-98). Kafka refuses the empty name.
    TransactionalId
}

/// One life of a producer: who it is, and which of its incarnations. Whoever carries an older epoch is fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Producer {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch under that id.
    pub epoch: ProducerEpoch,
}

impl Producer {
    /// Nobody, as the protocol writes it.
    pub const NONE: Self = Self { id: ProducerId::NONE, epoch: ProducerEpoch::NONE };
}

/// The longest stem of a member's name: with the id behind it, the wire still carries the name.
const STEM_BYTES_MAX: usize = i16::MAX as usize - 37;

impl MemberId {
    /// A new name: `stem` is the client's id, or the instance's where it has one.
    pub(crate) fn fresh(stem: &str, id: Uuid) -> Self {
        let stem = &stem[..stem.floor_char_boundary(STEM_BYTES_MAX)];
        let bits = u128::from_be_bytes(id.0);
        Self(
            format!(
                "{stem}-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                bits >> 96,
                bits >> 80 & 0xffff,
                bits >> 64 & 0xffff,
                bits >> 48 & 0xffff,
                bits & 0xffff_ffff_ffff
            )
            .into(),
        )
    }
}

/// Which rebalance of a group: rises by one with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub i32);

impl Generation {
    /// Whoever is in no generation at all.
    pub const NONE: Self = Self(-1);

    /// The generation after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0.wrapping_add(1).max(0))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_member_is_named_as_kafka_names_it() {
        let id = Uuid([0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255]);
        assert_eq!(MemberId::fresh("app", id).as_str(), "app-00112233-4455-6677-8899-aabbccddeeff");
    }
}
