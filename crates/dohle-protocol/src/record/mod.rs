//! What Kafka writes into its own logs and files: schemas and framings of internal records.
//!
//! One module a log or blob, generated; the framing by hand. Does not know which of them mean what to whom.

pub mod consumer;
pub mod control;
pub mod group;
pub mod log;
pub mod metadata;
pub mod principal;
pub mod remote_log;
pub mod share;
pub mod transaction;

mod framing;

pub use framing::RecordError;
pub use group::GroupRecord;
pub use metadata::MetadataRecord;
pub use remote_log::RemoteLogRecord;
pub use share::ShareRecord;
pub use transaction::TransactionRecord;
