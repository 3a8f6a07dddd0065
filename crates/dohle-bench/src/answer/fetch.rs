//! Fetch's answer: the records of each partition, and what is needed to ask for the next.

use dohle_protocol::ApiKey;
use dohle_records::batch::header::{self, Header};

use super::cursor::{Cursor, Malformed};

const LOG_START_SINCE: i16 = 5;
const SESSIONS_SINCE: i16 = 7;
const READ_REPLICA_SINCE: i16 = 11;
const TOPIC_ID_SINCE: i16 = 13;

/// What an answer says of all partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Repeated from the request.
    pub correlation: i32,
    /// The error of the whole.
    pub error: i16,
    /// The session to go on with; 0 is none.
    pub session: i32,
}

/// What it says of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition<'a> {
    /// The topic's id, or its name in versions without.
    pub topic: &'a [u8],
    /// Its number.
    pub partition: i32,
    /// Its error.
    pub error: i16,
    /// Batches, the last of them perhaps cut off.
    pub records: &'a [u8],
}

/// Reads an answer without its length.
pub fn read<'a>(frame: &'a [u8], version: i16, mut each: impl FnMut(Partition<'a>)) -> Result<Summary, Malformed> {
    let flexible = ApiKey::Fetch.is_flexible(version);
    let mut cursor = Cursor::new(frame);
    let correlation = cursor.i32()?;
    cursor.skip_tags(flexible)?;
    // How long the broker made us wait.
    cursor.i32()?;
    let (error, session) = if version >= SESSIONS_SINCE { (cursor.i16()?, cursor.i32()?) } else { (0, 0) };
    for _ in 0..cursor.length(flexible)? {
        let topic = if version < TOPIC_ID_SINCE { cursor.text(flexible)? } else { cursor.take(16)? };
        for _ in 0..cursor.length(flexible)? {
            each(partition(&mut cursor, topic, version, flexible)?);
        }
        cursor.skip_tags(flexible)?;
    }
    Ok(Summary { correlation, error, session })
}

fn partition<'a>(
    cursor: &mut Cursor<'a>,
    topic: &'a [u8],
    version: i16,
    flexible: bool,
) -> Result<Partition<'a>, Malformed> {
    let (partition, error) = (cursor.i32()?, cursor.i16()?);
    // High watermark and last stable offset.
    cursor.take(16)?;
    if version >= LOG_START_SINCE {
        cursor.take(8)?;
    }
    for _ in 0..cursor.length(flexible)? {
        cursor.take(16)?;
        cursor.skip_tags(flexible)?;
    }
    if version >= READ_REPLICA_SINCE {
        cursor.i32()?;
    }
    let length = cursor.length(flexible)?;
    let records = cursor.take(length)?;
    cursor.skip_tags(flexible)?;
    Ok(Partition { topic, partition, error, records })
}

/// A batch in an answer.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// What its header says.
    pub header: Header,
    /// All of it.
    pub bytes: &'a [u8],
}

impl Batch<'_> {
    /// Whether the checksum is that of the bytes.
    pub fn is_intact(&self) -> bool {
        self.header.crc == header::checksum(self.bytes)
    }

    /// What follows the header.
    pub fn body(&self) -> &[u8] {
        &self.bytes[header::BYTES..]
    }
}

/// The whole batches of a partition. Ends at one that is cut off, and with an error at what is none.
pub fn batches(mut records: &[u8]) -> impl Iterator<Item = Result<Batch<'_>, header::Unreadable>> {
    std::iter::from_fn(move || {
        let size = match header::size(records) {
            Ok(size) => size?,
            Err(unreadable) => {
                records = &[];
                return Some(Err(unreadable));
            }
        };
        let (bytes, rest) = records.split_at_checked(size)?;
        records = rest;
        Some(Header::parse(bytes).map(|header| Batch { header, bytes }))
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use dohle_base::{Timestamp, Uuid};
    use dohle_protocol::header::answer;
    use dohle_protocol::message::FetchResponse;
    use dohle_protocol::message::fetch::{AbortedTransaction, FetchableTopicResponse, PartitionData};
    use dohle_protocol::{ApiKey, Message};
    use dohle_records::batch::encode::{Builder, Entry, Settings};

    use super::{Summary, batches, read};

    #[test]
    fn every_version_is_read_as_the_protocol_writes_it() {
        for version in ApiKey::Fetch.stable_versions() {
            let partition = |partition_index, error_code, records: &'static [u8]| PartitionData {
                partition_index,
                error_code,
                records: Some(Bytes::from_static(records).into()),
                aborted_transactions: Some(vec![AbortedTransaction::default()]),
                ..PartitionData::default()
            };
            let topic = FetchableTopicResponse {
                topic: "orders".into(),
                topic_id: Uuid([7; 16]),
                partitions: vec![partition(3, 0, b"abc"), partition(4, 1, b"")],
                ..FetchableTopicResponse::default()
            };
            let mut body = FetchResponse { responses: vec![topic], ..FetchResponse::default() };
            if version >= 7 {
                (body.error_code, body.session_id) = (71, 9);
            }
            let mut rope = answer(ApiKey::Fetch, version, 77).unwrap();
            body.encode(&mut rope, version).unwrap();
            let frame = rope.seal().unwrap().into_bytes();
            let mut told = vec![];
            let summary = read(&frame[4..], version, |it| told.push((it.topic, it.partition, it.error, it.records)));
            let (error, session) = if version >= 7 { (71, 9) } else { (0, 0) };
            assert_eq!(summary, Ok(Summary { correlation: 77, error, session }), "version {version}");
            let topic: &[u8] = if version < 13 { b"orders" } else { &[7; 16] };
            assert_eq!(told, [(topic, 3, 0, &b"abc"[..]), (topic, 4, 1, b"")], "version {version}");
        }
    }

    #[test]
    fn batches_end_at_the_one_that_is_cut_off() {
        let mut builder = Builder::new(Settings::default());
        builder.append(&Entry { timestamp: Timestamp(1), value: Some(b"v"), ..Entry::default() }).unwrap();
        let batch = builder.finish();
        let mut bytes = batch.bytes().repeat(2);
        bytes.extend_from_slice(&batch.bytes()[..40]);
        let read: Vec<_> = batches(&bytes).map(Result::unwrap).collect();
        assert_eq!(read.len(), 2);
        assert!(read.iter().all(|batch| batch.is_intact() && batch.header.record_count == 1));
        assert!(batches(&[0; 61]).next().unwrap().is_err());
    }
}
