//! What a client produces: checked, looked into where the topic's rules need it, packed anew where the topic has a codec of its own, and
//! appended.
//!
//! Owns the order of the checks (`ReplicaManager`, `LogValidator`); the checks themselves are the batch's and the log's.

use std::sync::Arc;

use bytes::Bytes;
use dohle_base::{ErrorCode, Now, Timestamp};
use dohle_log::log::{AppendError, Appended};
use dohle_log::options::Options;
use dohle_records::batch::decode::Malformed;
use dohle_records::batch::{check, validate};
use dohle_records::{Batch, TimestampType};

use super::guards::{Author, Leave};
use super::{AppendRefusal, Partition};

/// What a client produces for one partition.
pub(crate) struct Produced {
    pub(crate) records: Bytes,
    /// Whether the client's version of the protocol knows zstd.
    pub(crate) zstd: bool,
    /// The client waits for the whole in-sync set.
    pub(crate) all_in_sync: bool,
    /// For the first batch of a transaction.
    pub(crate) leave: Leave,
    pub(crate) now: Now,
}

/// Why a batch is not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProduceRefusal {
    #[error(transparent)]
    Batch(#[from] check::Refusal),
    #[error(transparent)]
    Records(#[from] validate::Refusal),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Append(#[from] AppendRefusal),
    #[error("the disk is nearly full: try again when there is room")]
    NoRoom,
    #[error("{0}")]
    Code(ErrorCode),
}

impl From<ErrorCode> for ProduceRefusal {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

impl ProduceRefusal {
    /// What the client is told.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Batch(refusal) => refusal.code(),
            Self::Records(refusal) => refusal.code(),
            Self::Malformed(malformed) => malformed.code(),
            Self::Append(refusal) => refusal.code(),
            // What clients try again (BROKER_NOT_AVAILABLE is final to some of them).
            Self::NoRoom => ErrorCode::KafkaStorageError,
            Self::Code(code) => *code,
        }
    }

    /// The same in words, where there is more to say than the code does.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::Code(_) => None,
            Self::Batch(_) | Self::Records(_) | Self::Malformed(_) | Self::Append(_) | Self::NoRoom => {
                Some(self.to_string())
            }
        }
    }

    /// The records that broke a rule, by their place in the batch.
    pub(crate) fn offences(&self) -> impl Iterator<Item = (i32, String)> {
        let offences = match self {
            Self::Records(validate::Refusal::Offences(offences)) => offences.as_slice(),
            _ => &[],
        };
        offences.iter().map(|offence| (offence.index, offence.rule.to_string()))
    }
}

impl Partition {
    /// Appends what a client produced.
    pub(crate) fn produce(self: &Arc<Self>, produced: &Produced) -> Result<Appended, ProduceRefusal> {
        let options = self.options()?;
        if produced.all_in_sync {
            self.check_in_sync(options.in_sync_min)?;
        }
        let limits = check::Limits {
            batch_bytes_max: options.batch_bytes_max,
            segment_bytes_max: options.segment_bytes as usize,
            zstd: produced.zstd,
        };
        let batch = check::check(&produced.records, &limits)?;
        if !self.on_volume(|volume| volume.room.take(batch.bytes().len())) {
            return Err(ProduceRefusal::NoRoom);
        }
        let rules = Rules { options: &options, now: produced.now.wall };
        let largest = rules.largest(&batch)?;
        let packed = rules.pack(&batch)?;
        let batch = packed.as_ref().unwrap_or(&batch);
        let appended = self.append(batch, Author::Client(produced.leave), largest, produced.now);
        appended.map_err(|refusal| rules.explain(batch, refusal))
    }
}

/// What a topic asks of batches beyond their soundness.
struct Rules<'a> {
    options: &'a Options,
    now: Timestamp,
}

impl Rules<'_> {
    /// Looks into the records where the topic's rules need it; then their largest timestamp is known for sure.
    fn largest(&self, batch: &Batch) -> Result<Option<Timestamp>, ProduceRefusal> {
        let compacted = self.options.cleanup.compact;
        let bounded_below = self.keeps_times() && self.options.timestamp_before_max_ms < i64::MAX;
        if !compacted && !bounded_below {
            return Ok(None);
        }
        Ok(Some(self.validate(batch)?.max_timestamp))
    }

    /// The batch in the topic's own codec, where it has one and the batch is in another.
    fn pack(&self, batch: &Batch) -> Result<Option<Batch>, ProduceRefusal> {
        let Some(wanted) = self.options.compression else { return Ok(None) };
        if batch.header().attributes.codec().is_ok_and(|codec| codec == wanted.codec()) {
            return Ok(None);
        }
        Ok(Some(batch.recompress(wanted, self.options.budget)?))
    }

    /// A log that refuses a batch for its time has looked at the header only: find the records that the client has to be told.
    fn explain(&self, batch: &Batch, refusal: AppendRefusal) -> ProduceRefusal {
        if let AppendRefusal::Log(AppendError::Timestamp { .. }) = &refusal
            && let Err(offences) = self.validate(batch)
        {
            return offences.into();
        }
        refusal.into()
    }

    fn validate(&self, batch: &Batch) -> Result<validate::Valid, validate::Refusal> {
        let times = validate::Times {
            now: self.now,
            before_max_ms: self.options.timestamp_before_max_ms,
            after_max_ms: self.options.timestamp_after_max_ms,
        };
        let rules = validate::Rules {
            keys: self.options.cleanup.compact,
            times: self.keeps_times().then_some(times),
            budget: self.options.budget,
        };
        validate::validate(batch, &rules)
    }

    fn keeps_times(&self) -> bool {
        self.options.timestamp_type == TimestampType::Create
    }
}
