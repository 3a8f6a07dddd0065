//! One batch on its way from the caller to the log.

use bytes::{Bytes, BytesMut};
use dohle_base::{ErrorCode, Instant};
use dohle_records::batch::encode::{Builder, Entry, Producer, Settings};
use dohle_records::batch::{Batch as Encoded, Budget, header};
use dohle_records::{Compression, Header};

use super::BatchId;

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its batch.
    pub batch: BatchId,
    /// Its place in the batch.
    pub index: u32,
    /// Whether there is something new for the sender: a batch was begun or is full.
    pub wakes: bool,
}

pub(super) struct Batch {
    pub(super) id: BatchId,
    pub(super) opened_at: Instant,
    /// What its records count against the memory.
    pub(super) memory: usize,
    pub(super) records: u32,
    pub(super) under_way: bool,
    pub(super) attempts: u32,
    pub(super) last: Option<ErrorCode>,
    /// Whether an attempt was made that nobody answered.
    pub(super) unknown: bool,
    body: Body,
}

enum Body {
    Open(Box<Builder>),
    Closed(Bytes),
    /// For the moment in which one becomes the other.
    Closing,
}

impl Batch {
    pub(super) fn open(id: BatchId, now: Instant, compression: Compression, producer: Option<Producer>) -> Self {
        let builder = Builder::new(Settings { compression, producer, ..Settings::default() });
        Self::of(id, now, Body::Open(Box::new(builder)))
    }

    fn of(id: BatchId, opened_at: Instant, body: Body) -> Self {
        Self { id, opened_at, memory: 0, records: 0, under_way: false, attempts: 0, last: None, unknown: false, body }
    }

    /// Takes a record in, unless the batch is closed or would grow past `batch_bytes`. A first record always fits.
    pub(super) fn append(&mut self, entry: &Entry, bytes: usize, batch_bytes: usize) -> Option<u32> {
        let Body::Open(builder) = &mut self.body else { return None };
        if !builder.is_empty() && builder.bytes_unpacked() + bytes > batch_bytes {
            return None;
        }
        builder.append(entry).ok()?;
        self.memory += bytes;
        self.records += 1;
        Some(self.records - 1)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.body, Body::Open(_))
    }

    /// The size of the whole batch; while it is open, the most that it can be.
    pub(super) fn size(&self) -> usize {
        match &self.body {
            Body::Open(builder) => builder.bytes_unpacked(),
            Body::Closed(bytes) => bytes.len(),
            Body::Closing => 0,
        }
    }

    /// The whole batch, closed now if it was open. Costs the end of packing and a checksum the first time.
    pub(super) fn close(&mut self) -> Bytes {
        self.body = match std::mem::replace(&mut self.body, Body::Closing) {
            Body::Open(builder) => Body::Closed(builder.finish().bytes().clone()),
            closed => closed,
        };
        match &self.body {
            Body::Closed(bytes) => bytes.clone(),
            Body::Open(_) | Body::Closing => unreachable!("it was closed above"),
        }
    }

    /// Gives the batch other numbers. Copies it: the old bytes may still be in somebody's hands.
    pub(super) fn renumber(&mut self, producer: Producer) {
        assert!(!self.under_way, "what is under way keeps its numbers");
        let bytes = self.close();
        let header = Header::parse(&bytes).expect("a batch that was built here has a header");
        let header = Header {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            base_sequence: producer.base_sequence,
            ..header
        };
        let mut copy = BytesMut::from(&bytes[..]);
        copy[..header::BYTES].copy_from_slice(&header.to_bytes());
        let crc = header::checksum(&copy);
        copy[..header::BYTES].copy_from_slice(&Header { crc, ..header }.to_bytes());
        self.body = Body::Closed(copy.freeze());
    }

    /// The two halves of a batch that was too large as one. They keep its age and its numbers; give them new ones.
    pub(super) fn split(mut self, ids: (BatchId, BatchId), compression: Compression) -> (Self, Self) {
        let bytes = self.close();
        let encoded = Encoded::first(&bytes).ok().flatten().expect("a batch that was built here is whole");
        let producer = Some(encoded.header()).filter(|header| header.has_producer()).map(|header| Producer {
            id: header.producer_id,
            epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
        });
        let mut first = Self::open(ids.0, self.opened_at, compression, producer);
        let mut second = Self::open(ids.1, self.opened_at, compression, producer);
        let records = encoded.records(Budget::default()).expect("a batch that was built here can be read");
        for (place, record) in records.enumerate() {
            let record = record.expect("a batch that was built here can be read");
            let headers: Vec<_> = record.headers.iter().collect();
            let headers: Vec<(&str, Option<&[u8]>)> = headers
                .iter()
                .map(|header| (std::str::from_utf8(&header.key).unwrap_or_default(), header.value.as_deref()))
                .collect();
            let entry = Entry {
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
            };
            let half = if place < self.records as usize / 2 { &mut first } else { &mut second };
            half.append(&entry, entry.size_upper_bound(), usize::MAX).expect("half of a batch fits a batch");
        }
        first.close();
        second.close();
        (first, second)
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, records, under_way, attempts, .. } = self;
        write!(f, "Batch({}: {records} records, under way {under_way}, attempts {attempts})", id.0)
    }
}
