//! Who is measured: Apache Kafka or Dohle, each with a promise that an acknowledgement gives and with the settings that make it.
//!
//! Knows settings only; how a broker is started is [`super::broker`]'s.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A broker under a name of the report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Entrant {
    /// Kafka's defaults.
    Kafka,
    /// Kafka with threads and buffers that fit two cores.
    KafkaTuned,
    /// Kafka made to sync each batch before its acknowledgement.
    KafkaFsync,
    /// Dohle with Kafka's default promise.
    DohleRelaxed,
    /// Dohle's defaults.
    Dohle,
    /// What the machine takes without a broker.
    Floor,
}

/// What both brokers are given in every row: what is removed is removed soon, so that the page cache stays the same.
pub(super) const ALL: &[(&str, &str)] = &[
    ("group.initial.rebalance.delay.ms", "0"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("log.retention.ms", "-1"),
    ("log.retention.check.interval.ms", "1000"),
    ("log.segment.delete.delay.ms", "1000"),
];
/// Nobody is asked for rights, as in Dohle; and retention begins at once instead of after half a minute.
pub(super) const KAFKA: &[(&str, &str)] = &[("authorizer.class.name", ""), ("log.initial.task.delay.ms", "1000")];
/// However full the disk is.
pub(super) const DOHLE: &[(&str, &str)] = &[("log.dirs.free.bytes.min", "0")];

impl Entrant {
    pub(super) fn is_kafka(self) -> bool {
        match self {
            Entrant::Kafka | Entrant::KafkaTuned | Entrant::KafkaFsync => true,
            Entrant::DohleRelaxed | Entrant::Dohle | Entrant::Floor => false,
        }
    }

    /// What an acknowledgement waits for, and how; in a few words of the report.
    pub(super) fn promise(self) -> &'static str {
        match self {
            Entrant::Kafka => "Kafka, no fsync",
            Entrant::KafkaTuned => "Kafka tuned, no fsync",
            Entrant::KafkaFsync => "Kafka, flush.messages=1",
            Entrant::DohleRelaxed => "Dohle, relaxed",
            Entrant::Dohle => "Dohle, fsync",
            Entrant::Floor => "the floor, no fsync",
        }
    }

    /// Its own settings.
    pub(super) fn own(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Entrant::Kafka | Entrant::Dohle | Entrant::Floor => &[],
            Entrant::KafkaTuned => &[
                ("num.network.threads", "1"),
                ("num.io.threads", "2"),
                ("socket.send.buffer.bytes", "1048576"),
                ("socket.receive.buffer.bytes", "1048576"),
            ],
            Entrant::KafkaFsync => &[("log.flush.interval.messages", "1")],
            Entrant::DohleRelaxed => &[("log.durability", "relaxed")],
        }
    }

    /// Everything that it is started with, but its addresses and `row`'s own.
    pub(super) fn settings(self, row: &[(&'static str, String)]) -> Vec<(String, String)> {
        let kind = if self.is_kafka() { KAFKA } else { DOHLE };
        let constant = [ALL, kind, self.own()].concat();
        let constant = constant.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        constant.chain(row.iter().map(|(key, value)| ((*key).to_owned(), value.clone()))).collect()
    }
}

impl fmt::Display for Entrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Entrant::Kafka => "kafka",
            Entrant::KafkaTuned => "kafka-tuned",
            Entrant::KafkaFsync => "kafka-fsync",
            Entrant::DohleRelaxed => "dohle-relaxed",
            Entrant::Dohle => "dohle",
            Entrant::Floor => "floor",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_and_a_promise_add_to_what_all_are_given() {
        let settings = Entrant::KafkaFsync.settings(&[("log.segment.bytes", "1".to_owned())]);
        let value = |key: &str| settings.iter().rfind(|(k, _)| k == key).map(|(_, value)| value.as_str());
        assert_eq!(value("log.flush.interval.messages"), Some("1"));
        assert_eq!(value("log.segment.bytes"), Some("1"));
        assert_eq!(value("authorizer.class.name"), Some(""));
        assert_eq!(value("log.retention.check.interval.ms"), Some("1000"));
        let dohle = Entrant::Dohle.settings(&[]);
        assert!(dohle.iter().all(|(key, _)| key != "authorizer.class.name"));
        assert!(dohle.iter().any(|(key, _)| key == "log.dirs.free.bytes.min"));
    }
}
