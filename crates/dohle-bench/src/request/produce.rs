//! A produce request with the places that change from one sending to the next.
//!
//! Its own bytes are everything but the bodies of the batches: these are shared, and lie between the pieces of its own.

use std::io::IoSlice;

use dohle_base::Uuid;
use dohle_protocol::message::produce::{PartitionProduceData, TopicProduceData};
use dohle_protocol::message::{ProduceRequest, RequestHeader};
use dohle_protocol::{ApiKey, EncodeError, Message, Records, Rope};
use dohle_records::batch::header::BYTES as HEAD_BYTES;

/// What the generator calls itself.
pub const CLIENT_ID: &str = "dohle-bench";
const TOPIC_ID_SINCE: i16 = 13;
const CORRELATION_AT: usize = 8;

/// What is the same in every request.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Of the API.
    pub version: i16,
    /// 0, 1 or -1.
    pub acks: i16,
    /// How long the broker may wait for others.
    pub timeout_ms: i32,
    /// How many batches a request has, each for a partition of the same topic.
    pub batches: usize,
    /// The bytes of each, header included.
    pub batch_size: usize,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Frame {
    own: Vec<u8>,
    topic_at: usize,
    topic_bytes: usize,
    batches: Vec<Place>,
    body_bytes: usize,
}

/// Where one batch is, in the request's own bytes.
#[derive(Clone, Copy, Debug)]
struct Place {
    partition_at: usize,
    /// The body follows the head.
    head_at: usize,
}

impl Frame {
    /// Lays it out for topics that are named like `topic`: by their id, or by a name of the same length.
    pub fn new(layout: &Layout, topic: &str, id: Uuid) -> Result<Self, EncodeError> {
        let version = layout.version;
        let header = RequestHeader {
            request_api_key: ApiKey::Produce.code(),
            request_api_version: version,
            client_id: Some(CLIENT_ID.into()),
            ..RequestHeader::default()
        };
        let partition = PartitionProduceData {
            records: Some(Records::Elsewhere(layout.batch_size as u32)),
            ..PartitionProduceData::default()
        };
        let topic_data = TopicProduceData {
            name: topic.into(),
            topic_id: id,
            partition_data: vec![partition; layout.batches],
            ..TopicProduceData::default()
        };
        let request = ProduceRequest {
            acks: layout.acks,
            timeout_ms: layout.timeout_ms,
            topic_data: vec![topic_data],
            ..ProduceRequest::default()
        };
        let mut rope = Rope::frame();
        header.encode(&mut rope, ApiKey::Produce.request_header_version(version))?;
        request.encode(&mut rope, version)?;
        Ok(Self::of_parts(rope.seal_with_gaps()?.into_iter().map(|part| part.into_bytes()), layout, topic))
    }

    /// The gaps are where the batches go; before each stands its length, and before that its partition.
    fn of_parts(parts: impl Iterator<Item = bytes::Bytes>, layout: &Layout, topic: &str) -> Self {
        let flexible = ApiKey::Produce.is_flexible(layout.version);
        let length_bytes = |length: usize| if flexible { varint_bytes(length + 1) } else { 4 };
        let mut own = vec![];
        let mut batches = vec![];
        for part in parts {
            own.extend_from_slice(&part);
            if batches.len() < layout.batches {
                let partition_at = own.len() - length_bytes(layout.batch_size) - 4;
                batches.push(Place { partition_at, head_at: own.len() });
                own.resize(own.len() + HEAD_BYTES, 0);
            }
        }
        let topic_bytes = if layout.version >= TOPIC_ID_SINCE { 16 } else { topic.len() };
        let topic_at = batches[0].partition_at - length_bytes(layout.batches) - topic_bytes;
        Self { own, topic_at, topic_bytes, batches, body_bytes: layout.batch_size - HEAD_BYTES }
    }

    /// All of its bytes, those of the bodies included.
    pub fn length(&self) -> usize {
        self.own.len() + self.batches.len() * self.body_bytes
    }

    /// How many batches it has.
    pub fn batches(&self) -> usize {
        self.batches.len()
    }

    /// Stamps the number by which the answer is known, and the topic: its id, or its name in versions without.
    pub fn address(&mut self, correlation: i32, topic: &[u8]) {
        assert_eq!(topic.len(), self.topic_bytes, "all topics have names of one length");
        self.own[CORRELATION_AT..CORRELATION_AT + 4].copy_from_slice(&correlation.to_be_bytes());
        self.own[self.topic_at..self.topic_at + self.topic_bytes].copy_from_slice(topic);
    }

    /// Stamps the partition and the header of a batch.
    pub fn place(&mut self, batch: usize, partition: i32, head: &[u8; HEAD_BYTES]) {
        let Place { partition_at, head_at } = self.batches[batch];
        self.own[partition_at..partition_at + 4].copy_from_slice(&partition.to_be_bytes());
        self.own[head_at..head_at + HEAD_BYTES].copy_from_slice(head);
    }

    /// Hands out its pieces in order, with `body` in the place of each batch's, but for the first `skip` bytes. Ends early
    /// when `take` returns false.
    pub fn pieces<'a>(&'a self, body: &'a [u8], mut skip: usize, take: &mut impl FnMut(IoSlice<'a>) -> bool) -> bool {
        let mut from = 0;
        let ends = self.batches.iter().map(|place| place.head_at + HEAD_BYTES);
        let own = ends.chain([self.own.len()]).map(|end| {
            let piece = &self.own[from..end];
            from = end;
            piece
        });
        for (number, piece) in own.enumerate() {
            let body = if number < self.batches.len() { body } else { &[] };
            for piece in [piece, body] {
                let skipped = skip.min(piece.len());
                skip -= skipped;
                if skipped < piece.len() && !take(IoSlice::new(&piece[skipped..])) {
                    return false;
                }
            }
        }
        true
    }
}

/// What the topic is called in a request of this version.
pub fn topic_bytes(version: i16, name: &str, id: Uuid) -> Vec<u8> {
    if version >= TOPIC_ID_SINCE { id.0.to_vec() } else { name.as_bytes().to_vec() }
}

fn varint_bytes(value: usize) -> usize {
    let bits = (usize::BITS - value.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use dohle_base::Timestamp;
    use dohle_protocol::Message;
    use dohle_protocol::header::Head;
    use dohle_records::{Batch, Compression};

    use super::*;
    use crate::payload::Payload;
    use crate::template::{Shape, Template};

    fn bytes_of(frame: &Frame, body: &[u8], skip: usize) -> Vec<u8> {
        let mut bytes = vec![];
        frame.pieces(body, skip, &mut |piece| {
            bytes.extend_from_slice(&piece);
            true
        });
        bytes
    }

    #[test]
    fn a_stamped_request_is_what_the_protocol_reads() {
        let shape = Shape { record_size: 50, batch_size: 500, compression: Compression::NONE, payload: Payload::Text };
        let template = Template::build(&shape, Timestamp(1)).unwrap();
        for version in ApiKey::Produce.stable_versions() {
            for batches in [1, 3, 200] {
                let layout = Layout { version, acks: -1, timeout_ms: 9, batches, batch_size: template.size() };
                let mut frame = Frame::new(&layout, "orders-0", Uuid([1; 16])).unwrap();
                frame.address(77, &topic_bytes(version, "orders-9", Uuid([9; 16])));
                for batch in 0..batches {
                    frame.place(batch, 100 + batch as i32, &template.head());
                }
                let bytes = bytes_of(&frame, template.body(), 0);
                assert_eq!(bytes.len(), frame.length());
                assert_eq!(bytes[..4], (bytes.len() as u32 - 4).to_be_bytes());
                let (head, mut reader) = Head::decode(Bytes::from(bytes).slice(4..)).unwrap();
                assert_eq!((head.version, head.correlation_id), (version, 77));
                let request = ProduceRequest::decode(&mut reader, version).unwrap();
                reader.finish().unwrap();
                let topic = &request.topic_data[0];
                assert_eq!((request.acks, topic.partition_data.len()), (-1, batches));
                if version >= 13 {
                    assert_eq!(topic.topic_id, Uuid([9; 16]));
                } else {
                    assert_eq!(topic.name, "orders-9");
                }
                for (number, partition) in topic.partition_data.iter().enumerate() {
                    assert_eq!(partition.index, 100 + number as i32);
                    let records = partition.records.clone().unwrap().into_held();
                    assert!(Batch::first(&records).unwrap().unwrap().is_intact());
                }
            }
        }
    }

    #[test]
    fn a_request_goes_on_where_the_socket_stopped() {
        let layout = Layout { version: 9, acks: 1, timeout_ms: 9, batches: 2, batch_size: HEAD_BYTES + 10 };
        let frame = Frame::new(&layout, "t", Uuid::ZERO).unwrap();
        let whole = bytes_of(&frame, &[5; 10], 0);
        for skip in 0..=whole.len() {
            assert_eq!(bytes_of(&frame, &[5; 10], skip), whole[skip..]);
        }
    }
}
