//! The record batch: from bytes to a batch and back, the codecs, and decoding that streams within a budget.
//!
//! Knows neither topics nor requests, nor who assigns offsets. The format is Kafka's record batch v2 and no other
//! (KIP-98, `DefaultRecordBatch`, `DefaultRecord`).

pub mod batch;
pub mod compress;
pub mod control;
pub mod fuzzing;
pub mod record;

mod varint;

pub use batch::header::{Attributes, Header, TimestampType};
pub use batch::{Batch, Batches, Budget};
pub use compress::{Codec, Compression};
pub use record::{Headers, Record};
