//! Who leads what, asked once before a run.

use std::collections::BTreeMap;

use dohle_base::{ErrorCode, Uuid};
use dohle_protocol::message::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use dohle_protocol::message::metadata::MetadataRequestTopic;
use dohle_protocol::message::{ListOffsetsRequest, MetadataRequest};

use super::call::Call;
use crate::failure::Failure;

/// ListOffsets' word for the first record that is there.
pub(crate) const EARLIEST: i64 = -2;
/// ListOffsets' word for the end.
pub(crate) const LATEST: i64 = -1;

/// A topic and who leads its partitions.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    /// Zero from brokers that do not tell.
    pub(crate) id: Uuid,
    /// Partitions by the broker that leads them, ascending.
    pub(crate) led: BTreeMap<i32, Vec<i32>>,
}

/// The brokers' addresses by their ids, and the topics in the order that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) brokers: BTreeMap<i32, String>,
    pub(crate) topics: Vec<Topic>,
}

impl Cluster {
    /// Asks the first broker of `bootstrap` that answers.
    pub(crate) fn ask(bootstrap: &[String], names: &[String]) -> Result<Self, Failure> {
        let mut last = None;
        for address in bootstrap {
            match Call::dial(address) {
                Ok(mut call) => return Self::ask_over(&mut call, address, names),
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.unwrap_or(Failure::NoBootstrap))
    }

    fn ask_over(call: &mut Call, address: &str, names: &[String]) -> Result<Self, Failure> {
        let topic = |name: &String| MetadataRequestTopic { name: Some(name.into()), ..MetadataRequestTopic::default() };
        let request = MetadataRequest {
            topics: Some(names.iter().map(topic).collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let answer = call.ask(&request)?;
        let brokers = answer.brokers.iter().map(|it| (it.node_id, address_of(&it.host, it.port))).collect();
        let mut found = BTreeMap::new();
        for topic in &answer.topics {
            let name = topic.name.as_deref().unwrap_or_default();
            call.refuse_unless_none(topic.error_code, &format!("topic {name}"))?;
            let mut led: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
            for partition in &topic.partitions {
                if partition.leader_id < 0 {
                    let what = format!("{name}-{}", partition.partition_index);
                    let code = ErrorCode::LeaderNotAvailable;
                    return Err(Failure::Refused { address: address.to_owned(), what, code });
                }
                led.entry(partition.leader_id).or_default().push(partition.partition_index);
            }
            led.values_mut().for_each(|partitions| partitions.sort_unstable());
            found.insert(name.to_owned(), Topic { name: name.to_owned(), id: topic.topic_id, led });
        }
        let topics = names.iter().map(|name| found.remove(name).ok_or_else(|| Failure::NoTopic(name.clone())));
        Ok(Self { brokers, topics: topics.collect::<Result<_, _>>()? })
    }

    /// The brokers that lead anything, with their addresses.
    pub(crate) fn leaders(&self) -> Result<Vec<(i32, String)>, Failure> {
        let mut ids: Vec<i32> = self.topics.iter().flat_map(|topic| topic.led.keys().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        let address = |id: i32| self.brokers.get(&id).cloned().ok_or(Failure::NoBroker(id));
        ids.into_iter().map(|id| Ok((id, address(id)?))).collect()
    }
}

/// An address as it is dialled.
pub(crate) fn address_of(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The offsets of one topic's partitions on the broker that `call` leads to, in the order of `partitions`.
pub(crate) fn list_offsets(
    call: &mut Call,
    topic: &str,
    partitions: &[i32],
    timestamp: i64,
) -> Result<Vec<i64>, Failure> {
    let partition = |partition_index: &i32| ListOffsetsPartition {
        partition_index: *partition_index,
        timestamp,
        ..ListOffsetsPartition::default()
    };
    let asked = ListOffsetsTopic {
        name: topic.into(),
        partitions: partitions.iter().map(partition).collect(),
        ..ListOffsetsTopic::default()
    };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![asked], ..ListOffsetsRequest::default() };
    let answer = call.ask(&request)?;
    let mut found = BTreeMap::new();
    for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
        call.refuse_unless_none(partition.error_code, &format!("{topic}-{}", partition.partition_index))?;
        found.insert(partition.partition_index, partition.offset);
    }
    let offset = |partition| found.get(partition).copied().ok_or_else(|| Failure::NoTopic(topic.to_owned()));
    partitions.iter().map(offset).collect()
}
