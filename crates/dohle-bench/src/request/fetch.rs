//! A fetch request, written anew for each round into the same buffer.
//!
//! Within a session (KIP-227) it names only the partitions whose position has moved.

use dohle_protocol::ApiKey;

use super::produce::CLIENT_ID;

const SESSIONS_SINCE: i16 = 7;
const LOG_START_SINCE: i16 = 5;
const LEADER_EPOCH_SINCE: i16 = 9;
const RACK_SINCE: i16 = 11;
const TOPIC_ID_SINCE: i16 = 13;
const REPLICA_UNTIL: i16 = 14;

/// What is the same in every round.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Of the API.
    pub version: i16,
    /// How long the broker may wait for `min_bytes`.
    pub max_wait_ms: i32,
    /// What is worth an answer.
    pub min_bytes: i32,
    /// The most of all partitions.
    pub max_bytes: i32,
    /// The most of one.
    pub partition_max_bytes: i32,
}

/// The session that a request belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// 0 asks for a new one.
    pub id: i32,
    /// 0 names all partitions.
    pub epoch: i32,
}

/// A partition to be read.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The topic's id, or its name in versions without. Partitions of one topic lie side by side.
    pub topic: &'a [u8],
    /// Its number.
    pub partition: i32,
    /// From where.
    pub offset: i64,
}

/// Writes the frame in the place of what `into` holds.
pub fn write<'a, I>(into: &mut Vec<u8>, correlation: i32, terms: &Terms, session: Session, wanted: I)
where
    I: Iterator<Item = Wanted<'a>> + Clone,
{
    let Terms { version, .. } = *terms;
    let mut sheet = Sheet { bytes: into, flexible: ApiKey::Fetch.is_flexible(version) };
    sheet.bytes.clear();
    sheet.i32(0);
    sheet.i16(ApiKey::Fetch.code());
    sheet.i16(version);
    sheet.i32(correlation);
    sheet.i16(CLIENT_ID.len() as i16);
    sheet.raw(CLIENT_ID.as_bytes());
    sheet.no_tags();
    if version <= REPLICA_UNTIL {
        sheet.i32(-1);
    }
    sheet.i32(terms.max_wait_ms);
    sheet.i32(terms.min_bytes);
    sheet.i32(terms.max_bytes);
    // Uncommitted records too.
    sheet.raw(&[0]);
    if version >= SESSIONS_SINCE {
        sheet.i32(session.id);
        sheet.i32(session.epoch);
    }
    sheet.topics(terms, wanted);
    if version >= SESSIONS_SINCE {
        // Nothing is forgotten.
        sheet.length(0);
    }
    if version >= RACK_SINCE {
        sheet.text(b"");
    }
    sheet.no_tags();
    let length = (sheet.bytes.len() - 4) as i32;
    sheet.bytes[..4].copy_from_slice(&length.to_be_bytes());
}

struct Sheet<'a> {
    bytes: &'a mut Vec<u8>,
    flexible: bool,
}

impl Sheet<'_> {
    fn topics<'a, I>(&mut self, terms: &Terms, wanted: I)
    where
        I: Iterator<Item = Wanted<'a>> + Clone,
    {
        let mut last: Option<&[u8]> = None;
        let groups = wanted.clone().filter(|it| last.replace(it.topic) != Some(it.topic)).count();
        self.length(groups);
        let mut rest = wanted.peekable();
        while let Some(first) = rest.peek().copied() {
            if terms.version < TOPIC_ID_SINCE {
                self.text(first.topic);
            } else {
                self.raw(first.topic);
            }
            let count = rest.clone().take_while(|it| it.topic == first.topic).count();
            self.length(count);
            for it in rest.by_ref().take(count) {
                self.partition(terms, it);
            }
            self.no_tags();
        }
    }

    fn partition(&mut self, terms: &Terms, wanted: Wanted) {
        self.i32(wanted.partition);
        if terms.version >= LEADER_EPOCH_SINCE {
            self.i32(-1);
        }
        self.i64(wanted.offset);
        if self.flexible {
            // The epoch of what was fetched last.
            self.i32(-1);
        }
        if terms.version >= LOG_START_SINCE {
            self.i64(-1);
        }
        self.i32(terms.partition_max_bytes);
        self.no_tags();
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn length(&mut self, length: usize) {
        if self.flexible { self.varint(length + 1) } else { self.i32(length as i32) }
    }

    fn text(&mut self, text: &[u8]) {
        if self.flexible {
            self.varint(text.len() + 1)
        } else {
            self.i16(text.len() as i16)
        }
        self.raw(text);
    }

    fn no_tags(&mut self) {
        if self.flexible {
            self.bytes.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use dohle_base::Uuid;
    use dohle_protocol::header::Head;
    use dohle_protocol::message::FetchRequest;
    use dohle_protocol::{ApiKey, Message};

    use super::{Session, Terms, Wanted, write};

    #[test]
    fn every_version_is_what_the_protocol_reads() {
        for version in ApiKey::Fetch.stable_versions() {
            let terms = Terms { version, max_wait_ms: 500, min_bytes: 1, max_bytes: 50, partition_max_bytes: 10 };
            let ids = [[1; 16], [2; 16]];
            let names: [&[u8]; 2] = if version < 13 { [b"a", b"bb"] } else { [&ids[0], &ids[1]] };
            let wanted = [(0, 3, 100), (0, 4, 101), (1, 0, 102)];
            let wanted = wanted.map(|(topic, partition, offset)| Wanted { topic: names[topic], partition, offset });
            let mut bytes = vec![9; 9];
            write(&mut bytes, 77, &terms, Session { id: 5, epoch: 6 }, wanted.iter().copied());
            assert_eq!(bytes[..4], (bytes.len() as u32 - 4).to_be_bytes());
            let (head, mut reader) = Head::decode(Bytes::from(bytes).slice(4..)).unwrap();
            assert_eq!((head.version, head.correlation_id), (version, 77));
            let request = FetchRequest::decode(&mut reader, version).unwrap();
            reader.finish().unwrap();
            assert_eq!((request.max_wait_ms, request.min_bytes, request.max_bytes), (500, 1, 50));
            assert_eq!(request.replica_id, -1);
            if version >= 7 {
                assert_eq!((request.session_id, request.session_epoch), (5, 6));
            }
            let topic = |number: usize| match version {
                13.. => request.topics[number].topic_id == Uuid(ids[number]),
                _ => request.topics[number].topic.as_bytes() == names[number],
            };
            assert!(topic(0) && topic(1), "version {version}");
            let read = request.topics.iter().flat_map(|topic| &topic.partitions);
            let read: Vec<_> = read.map(|it| (it.partition, it.fetch_offset, it.partition_max_bytes)).collect();
            assert_eq!(read, [(3, 100, 10), (4, 101, 10), (0, 102, 10)], "version {version}");
        }
    }
}
