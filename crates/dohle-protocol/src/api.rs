//! What all messages have in common, and what is known of an API by its key.
//!
//! The facts come from the schema files; what a broker chooses to serve is its own affair.

use std::fmt;
use std::ops::RangeInclusive;

use crate::message::ApiKey;
use crate::primitive::{DecodeError, EncodeError, Form, Part, Reader, Rope};

/// A message that stands on its own: a request, a response, a header, or a record.
pub trait Message: Part + Default + Clone + fmt::Debug + PartialEq {
    /// Kafka's name of it.
    const NAME: &'static str;
    /// The versions that exist, unstable ones included.
    const VERSIONS: RangeInclusive<i16>;
    /// The first version with compact lengths and tagged fields; `i16::MAX` when there is none.
    const FLEXIBLE_FROM: i16;

    /// Whether the version has compact lengths and tagged fields.
    fn is_flexible(version: i16) -> bool {
        version >= Self::FLEXIBLE_FROM
    }

    /// Reads it from the reader's position. What follows it is left to the caller.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        let form = form(&Self::VERSIONS, Self::FLEXIBLE_FROM, version);
        let form = form.ok_or(DecodeError::Version { name: Self::NAME, version, versions: Self::VERSIONS })?;
        let message = Self::read(reader, form);
        reader.check().map(|()| message)
    }

    /// Writes it at the end of the rope. After an error the rope holds a part of it.
    fn encode(&self, rope: &mut Rope, version: i16) -> Result<(), EncodeError> {
        let form = form(&Self::VERSIONS, Self::FLEXIBLE_FROM, version);
        let form = form.ok_or(EncodeError::Version { name: Self::NAME, version, versions: Self::VERSIONS })?;
        self.write(rope, form);
        rope.check()
    }
}

/// Apart from the trait, so that it is compiled once and not for each message.
fn form(versions: &RangeInclusive<i16>, flexible_from: i16, version: i16) -> Option<Form> {
    versions.contains(&version).then_some(Form { version, flexible: version >= flexible_from })
}

/// What a client, a broker or a controller asks.
pub trait Request: Message {
    /// The API that it calls.
    const KEY: ApiKey;
    /// The answer, in the same version.
    type Response: Response;
}

/// What it is answered.
pub trait Response: Message {
    /// The API that was called.
    const KEY: ApiKey;
}

/// What is known of an API.
pub(crate) struct Facts {
    pub(crate) name: &'static str,
    /// Lowest and highest version, the unstable one included.
    pub(crate) versions: (i16, i16),
    /// `i16::MAX` when there is none.
    pub(crate) flexible_from: i16,
    pub(crate) unstable: bool,
    pub(crate) broker: bool,
    pub(crate) controller: bool,
}

impl ApiKey {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The API of a number on the wire.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.binary_search_by_key(&code, |key| key.code()).ok().map(|index| Self::ALL[index])
    }

    /// Kafka's name of it.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The versions that exist, the unstable one included.
    pub fn versions(self) -> RangeInclusive<i16> {
        let (low, high) = self.facts().versions;
        low..=high
    }

    /// The versions that will not change any more.
    pub fn stable_versions(self) -> RangeInclusive<i16> {
        let (low, high) = self.facts().versions;
        low..=high - i16::from(self.facts().unstable)
    }

    /// The version that may still change, if there is one.
    pub fn unstable_version(self) -> Option<i16> {
        self.facts().unstable.then_some(self.facts().versions.1)
    }

    /// The first version with compact lengths and tagged fields; `i16::MAX` when there is none.
    pub fn flexible_from(self) -> i16 {
        self.facts().flexible_from
    }

    /// Whether the version has compact lengths and tagged fields.
    pub fn is_flexible(self, version: i16) -> bool {
        version >= self.flexible_from()
    }

    /// Whether a broker's listener serves it.
    pub fn is_for_brokers(self) -> bool {
        self.facts().broker
    }

    /// Whether a controller's listener serves it.
    pub fn is_for_controllers(self) -> bool {
        self.facts().controller
    }

    /// The version of the header before a request of this version.
    pub fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the header before a response of this version. A client that asks for versions does not know yet
    /// which header the broker would choose: that answer has the oldest (KIP-511).
    pub fn response_header_version(self, version: i16) -> i16 {
        i16::from(self.is_flexible(version) && self != Self::ApiVersions)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::ApiKey;

    #[test]
    fn every_api_is_found_by_its_number() {
        for key in ApiKey::ALL {
            assert_eq!(ApiKey::from_code(key.code()), Some(key));
        }
        assert_eq!(ApiKey::from_code(-1), None);
        assert_eq!(ApiKey::from_code(4), None, "LeaderAndIsr is gone since Kafka 4.0");
    }

    #[test]
    fn headers_follow_the_flexible_versions() {
        assert_eq!(ApiKey::Fetch.request_header_version(11), 1);
        assert_eq!(ApiKey::Fetch.request_header_version(12), 2);
        assert_eq!(ApiKey::Fetch.response_header_version(12), 1);
        assert_eq!(ApiKey::ApiVersions.request_header_version(3), 2);
        assert_eq!(ApiKey::ApiVersions.response_header_version(3), 0);
        assert_eq!(ApiKey::SaslHandshake.request_header_version(1), 1);
    }

    #[test]
    fn an_unstable_version_is_not_a_stable_one() {
        assert_eq!(ApiKey::InitProducerId.unstable_version(), Some(6));
        assert_eq!(ApiKey::InitProducerId.stable_versions(), 0..=5);
        assert_eq!(ApiKey::InitProducerId.versions(), 0..=6);
        assert_eq!(ApiKey::Fetch.stable_versions(), ApiKey::Fetch.versions());
    }
}
