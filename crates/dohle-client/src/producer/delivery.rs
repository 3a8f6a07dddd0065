//! What becomes of a record that was taken in.

use std::sync::{Arc, OnceLock};

use dohle_base::{ErrorCode, Offset, Partition, Timestamp, TopicName};
use tokio::sync::Notify;

use crate::core::TopicPartition;
use crate::core::batching::Reason;

/// A record that is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Where.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
    /// Its place there; [`Offset::NONE`] when the broker did not tell (acks=0).
    pub offset: Offset,
    /// The time that the log gave to it, when it gives one.
    pub append_time: Option<Timestamp>,
}

/// Why a record is not, or perhaps not, in the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The broker does not want it.
    #[error("{place}: the broker refused the record: {}{}", said(.code, .message), advice(*.code))]
    Refused {
        /// Where to.
        place: TopicPartition,
        /// Why.
        code: ErrorCode,
        /// In the broker's words.
        message: Option<String>,
    },
    /// It was not delivered in time.
    #[error("{place}: not delivered in time ({}); {}", ending(.last), doubt(*.unknown))]
    Expired {
        /// Where to.
        place: TopicPartition,
        /// How the last attempt ended, if the broker answered.
        last: Option<ErrorCode>,
        /// Whether it may be in the log nevertheless.
        unknown: bool,
    },
    /// The producer was closed before.
    #[error("{place}: the producer was closed before the record was delivered; flush before closing")]
    Closed {
        /// Where to.
        place: TopicPartition,
    },
}

fn said(code: &ErrorCode, message: &Option<String>) -> String {
    message.clone().map_or_else(|| format!("{} ({code})", code.words()), |message| format!("{message} ({code})"))
}

fn advice(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => {
            "; raise max.message.bytes of the topic, or send smaller records"
        }
        ErrorCode::TopicAuthorizationFailed => "; ask for the right to write to the topic",
        ErrorCode::InvalidTimestamp => "; compare the clocks with message.timestamp.before.max.ms and .after.max.ms",
        ErrorCode::InvalidRecord => "; a compacted topic needs keys",
        ErrorCode::OutOfOrderSequenceNumber => "; the broker lost records of this producer, look at its log",
        _ => "",
    }
}

fn ending(code: &Option<ErrorCode>) -> String {
    code.map_or_else(|| "no answer came".to_owned(), |code| format!("the last answer was: {}", code.words()))
}

fn doubt(unknown: bool) -> &'static str {
    if unknown {
        "it may be in the log all the same, because an attempt was not answered"
    } else {
        "it is not in the log; check that the partition has a leader, or raise delivery.timeout.ms"
    }
}

/// The fate of a record, to be waited for or to be ignored.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub(super) place: TopicPartition,
    pub(super) ticket: Arc<Ticket>,
    pub(super) index: u32,
}

impl Delivery {
    /// Waits until the fate is known.
    pub async fn wait(self) -> Result<Delivered, DeliveryError> {
        let Self { place, mut ticket, mut index } = self;
        loop {
            match ticket.wait().await {
                Fate::Delivered { base_offset, append_time } => {
                    let offset =
                        if *base_offset == Offset::NONE { Offset::NONE } else { *base_offset + i64::from(index) };
                    let TopicPartition { topic, partition } = place;
                    return Ok(Delivered { topic, partition, offset, append_time: *append_time });
                }
                Fate::Failed(reason) => return Err(failed(place, reason.clone())),
                Fate::Split { first, into } => {
                    let next = if index < *first { into.0.clone() } else { into.1.clone() };
                    index -= if index < *first { 0 } else { *first };
                    ticket = next;
                }
            }
        }
    }
}

fn failed(place: TopicPartition, reason: Reason) -> DeliveryError {
    match reason {
        Reason::Refused { code, message } => DeliveryError::Refused { place, code, message },
        Reason::Expired { last, unknown } => DeliveryError::Expired { place, last, unknown },
        Reason::Closed => DeliveryError::Closed { place },
    }
}

/// The fate of a batch, shared by its records.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    fate: OnceLock<Fate>,
    known: Notify,
}

#[derive(Debug)]
pub(super) enum Fate {
    Delivered { base_offset: Offset, append_time: Option<Timestamp> },
    Failed(Reason),
    Split { first: u32, into: (Arc<Ticket>, Arc<Ticket>) },
}

impl Ticket {
    pub(super) fn settle(&self, fate: Fate) {
        assert!(self.fate.set(fate).is_ok(), "a fate is settled once");
        self.known.notify_waiters();
    }

    pub(super) async fn wait(&self) -> &Fate {
        loop {
            let known = self.known.notified();
            if let Some(fate) = self.fate.get() {
                return fate;
            }
            known.await;
        }
    }
}
