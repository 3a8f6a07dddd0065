//! Why a run ends before its time.

use std::io;

use dohle_base::ErrorCode;
use dohle_protocol::ApiKey;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No address was given.
    #[error("no broker is named")]
    NoBootstrap,
    /// A broker cannot be reached.
    #[error("cannot connect to {address}: {source}")]
    Dial {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A connection ended.
    #[error("{address}: the connection was lost: {source}; see the broker's log for the reason")]
    Lost {
        /// Whose.
        address: String,
        /// How.
        source: io::Error,
    },
    /// An answer that makes no sense.
    #[error("{address}: an answer that cannot be read; is this a Kafka broker?")]
    Unreadable {
        /// Whose.
        address: String,
    },
    /// There is no version of the API that both sides know.
    #[error("{address} does not serve {api} in a version that is known here")]
    Unserved {
        /// Who.
        address: String,
        /// What was to be asked.
        api: ApiKey,
    },
    /// The broker refuses what must be known before the run.
    #[error("{address} refuses {what}: {}", code.words())]
    Refused {
        /// Who.
        address: String,
        /// What.
        what: String,
        /// Why.
        code: ErrorCode,
    },
    /// The topic is not there.
    #[error("there is no topic {0}")]
    NoTopic(String),
    /// A broker leads partitions and tells no address.
    #[error("broker {0} leads partitions, and nobody knows its address")]
    NoBroker(i32),
    /// A request cannot have that many batches.
    #[error(
        "{batches} batches a request need as many partitions of {topic} on each broker; broker {broker} leads {led}"
    )]
    TooFewPartitions {
        /// What was asked for.
        batches: usize,
        /// The topic.
        topic: String,
        /// The broker.
        broker: i32,
        /// The partitions of the topic that it leads.
        led: usize,
    },
    /// The plan makes no sense.
    #[error("{0}")]
    Senseless(&'static str),
    /// The machine refuses.
    #[error("{what}: {source}")]
    Machine {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}
