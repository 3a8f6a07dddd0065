//! Every message of the schema files as something that can be read and written by its name.

use bytes::Bytes;
use dohle_base::Rng;
use dohle_protocol::message::{AnyRequest, AnyResponse, ApiKey, RequestHeader, ResponseHeader};
use dohle_protocol::record::{
    GroupRecord, MetadataRecord, RemoteLogRecord, ShareRecord, TransactionRecord, consumer, control, log, principal,
};
use dohle_protocol::{DecodeError, EncodeError, Reader, Rope};

use super::sample::{Sample, sample, varint};
use super::schema::{self, Message};

/// A message and how it is reached.
pub(crate) struct Subject {
    pub(crate) family: String,
    pub(crate) message: Message,
    /// For values of coordinators' records: the bytes of a key of the same record.
    key: Vec<u8>,
}

/// Every message.
pub(crate) fn subjects() -> Vec<Subject> {
    let all = schema::read();
    let key_of = |family: &str, value: &Message| {
        let key = all.iter().find(|(other, key)| other == family && key.kind == "key" && key.key == value.key);
        key.map(|(_, key)| sample(key, key.versions.high, &mut Rng::new(1)).bytes).unwrap_or_default()
    };
    let subject = |(family, message): &(String, Message)| {
        let key = key_of(family, message);
        Subject { family: family.clone(), message: message.clone(), key }
    };
    all.iter().map(subject).collect()
}

impl Subject {
    /// Every version of it.
    pub(crate) fn versions(&self) -> impl Iterator<Item = i16> + use<> {
        self.message.versions.low..=self.message.versions.high
    }

    pub(crate) fn sample(&self, version: i16, rng: &mut Rng) -> Sample {
        sample(&self.message, version, rng)
    }

    /// The bytes that it writes after it has read `bytes`, or why it does not read them.
    pub(crate) fn again(&self, bytes: &[u8], version: i16) -> Result<Bytes, String> {
        let api = || ApiKey::from_code(self.message.key).expect("every API of the schema is known");
        match self.message.kind.as_str() {
            "request" => {
                let read = |reader: &mut Reader| AnyRequest::decode(reader, api(), version);
                through(bytes, read, |body, rope| body.encode(rope, version))
            }
            "response" => {
                let read = |reader: &mut Reader| AnyResponse::decode(reader, api(), version);
                through(bytes, read, |body, rope| body.encode(rope, version))
            }
            "metadata" => self.framed(bytes, version),
            "key" | "value" => self.keyed(bytes, version),
            _ => self.named(bytes, version),
        }
    }

    /// A record with frame version, type and version before it.
    fn framed(&self, bytes: &[u8], version: i16) -> Result<Bytes, String> {
        let mut framed = varint(1);
        framed.extend(varint(self.message.key as u32));
        framed.extend(varint(version as u32));
        let head = framed.len();
        framed.extend(bytes);
        let framed = Bytes::from(framed);
        let again = if self.family == "metadata" {
            MetadataRecord::decode(&framed).map(|record| record.encode(version))
        } else {
            RemoteLogRecord::decode(&framed).map(|record| record.encode(version))
        };
        let again = again.map_err(|refusal| refusal.to_string())?.expect("what was read can be written");
        assert_eq!(again[..head], framed[..head], "the frame");
        Ok(again.slice(head..))
    }

    /// Key or value of a record with its type before the key and its version before the value.
    fn keyed(&self, bytes: &[u8], version: i16) -> Result<Bytes, String> {
        let is_key = self.message.kind == "key";
        let kind = self.message.key.to_be_bytes();
        let key: Bytes = [&kind[..], if is_key { bytes } else { &self.key }].concat().into();
        let value: Option<Bytes> = (!is_key).then(|| [&version.to_be_bytes()[..], bytes].concat().into());
        let again = match self.family.as_str() {
            "group" => GroupRecord::decode(&key, value.as_ref()).map(|record| record.encode(version)),
            "transaction" => TransactionRecord::decode(&key, value.as_ref()).map(|record| record.encode(version)),
            "share" => ShareRecord::decode(&key, value.as_ref()).map(|record| record.encode(version)),
            other => panic!("no family {other}"),
        };
        let again = again.map_err(|refusal| refusal.to_string())?.expect("what was read can be written");
        let part = if is_key { again.0 } else { again.1.expect("a value") };
        Ok(part.slice(2..))
    }

    /// A message that stands alone.
    fn named(&self, bytes: &[u8], version: i16) -> Result<Bytes, String> {
        match self.message.name.as_str() {
            "RequestHeader" => alone::<RequestHeader>(bytes, version),
            "ResponseHeader" => alone::<ResponseHeader>(bytes, version),
            "ConsumerProtocolAssignment" => alone::<consumer::ConsumerProtocolAssignment>(bytes, version),
            "ConsumerProtocolSubscription" => alone::<consumer::ConsumerProtocolSubscription>(bytes, version),
            "ControlRecordTypeSchema" => alone::<control::ControlRecordTypeSchema>(bytes, version),
            "EndTxnMarker" => alone::<control::EndTxnMarker>(bytes, version),
            "KRaftVersionRecord" => alone::<control::KRaftVersionRecord>(bytes, version),
            "LeaderChangeMessage" => alone::<control::LeaderChangeMessage>(bytes, version),
            "SnapshotFooterRecord" => alone::<control::SnapshotFooterRecord>(bytes, version),
            "SnapshotHeaderRecord" => alone::<control::SnapshotHeaderRecord>(bytes, version),
            "VotersRecord" => alone::<control::VotersRecord>(bytes, version),
            "AbortedTxn" => alone::<log::AbortedTxn>(bytes, version),
            "ProducerSnapshot" => alone::<log::ProducerSnapshot>(bytes, version),
            "DefaultPrincipalData" => alone::<principal::DefaultPrincipalData>(bytes, version),
            other => panic!("no test reads {other}"),
        }
    }
}

fn alone<M: dohle_protocol::Message>(bytes: &[u8], version: i16) -> Result<Bytes, String> {
    through(bytes, |reader| M::decode(reader, version), |body, rope| body.encode(rope, version))
}

fn through<M>(
    bytes: &[u8],
    read: impl FnOnce(&mut Reader) -> Result<M, DecodeError>,
    write: impl FnOnce(&M, &mut Rope) -> Result<(), EncodeError>,
) -> Result<Bytes, String> {
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
    let message = read(&mut reader).and_then(|message| reader.finish().map(|()| message));
    let message = message.map_err(|refusal| refusal.to_string())?;
    let mut rope = Rope::new();
    write(&message, &mut rope).expect("what was read can be written");
    Ok(rope.into_bytes())
}
