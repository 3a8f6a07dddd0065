//! What brokers write for themselves, in words: the records of internal topics and control records.

use bytes::Bytes;
use dohle_protocol::record::control::{
    KRaftVersionRecord, LeaderChangeMessage, SnapshotFooterRecord, SnapshotHeaderRecord, VotersRecord,
};
use dohle_protocol::record::{GroupRecord, MetadataRecord, RecordError, ShareRecord, TransactionRecord};
use dohle_protocol::{Message, Reader};
use dohle_records::Record;
use dohle_records::control::{ControlRecord, EndTransaction, Kind};

/// A record of an internal topic by its schema; none where the topic is nobody's but its users'.
pub(super) fn decode(topic: &str, record: &Record) -> Option<String> {
    let (key, value) = (record.key.as_ref(), record.value.as_ref());
    let decoded = match topic {
        "__consumer_offsets" => GroupRecord::decode(key?, value).map(|record| format!("{record:?}")),
        "__transaction_state" => TransactionRecord::decode(key?, value).map(|record| format!("{record:?}")),
        "__share_group_state" => ShareRecord::decode(key?, value).map(|record| format!("{record:?}")),
        "__cluster_metadata" => MetadataRecord::decode(value?).map(|record| format!("{record:?}")),
        _ => return None,
    };
    Some(decoded.unwrap_or_else(|error: RecordError| format!("not decoded: {error}")))
}

/// A control record: its kind, and what it says.
pub(super) fn control(record: &Record) -> (String, String) {
    let control = match ControlRecord::of(record) {
        Ok(control) => control,
        Err(malformed) => return ("unknown".to_owned(), format!("not decoded: {malformed}")),
    };
    let value = &control.value;
    let (kind, said) = match control.kind {
        Kind::Abort => ("abort", end_of_transaction(&control)),
        Kind::Commit => ("commit", end_of_transaction(&control)),
        Kind::LeaderChange => ("leader change", message::<LeaderChangeMessage>(value)),
        Kind::SnapshotHeader => ("snapshot header", message::<SnapshotHeaderRecord>(value)),
        Kind::SnapshotFooter => ("snapshot footer", message::<SnapshotFooterRecord>(value)),
        Kind::KRaftVersion => ("kraft version", message::<KRaftVersionRecord>(value)),
        Kind::KRaftVoters => ("kraft voters", message::<VotersRecord>(value)),
        Kind::Unknown(code) => return (format!("kind {code}"), String::new()),
    };
    (kind.to_owned(), said)
}

fn end_of_transaction(control: &ControlRecord) -> String {
    match EndTransaction::of(control) {
        Ok(Some(end)) => format!("coordinator epoch {}", end.coordinator_epoch),
        Ok(None) => String::new(),
        Err(malformed) => format!("not decoded: {malformed}"),
    }
}

/// A message in the newest version that its bytes can be: it says its version itself, in a field like any other.
fn message<M: Message + std::fmt::Debug>(value: &Bytes) -> String {
    let versions = M::VERSIONS;
    let mut attempts = versions.rev().map(|version| M::decode(&mut Reader::new(value.clone()), version));
    attempts.find_map(Result::ok).map_or_else(|| "not decoded".to_owned(), |message| format!("{message:?}"))
}
