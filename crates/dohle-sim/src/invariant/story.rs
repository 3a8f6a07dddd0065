//! Words for the tests of the laws: short facts, and what a law says to a run of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_base::{ErrorCode, LeaderEpoch, Offset, Partition, Timestamp, TopicId, TopicName, Uuid};
use dohle_coordinator::{
    Command, CommitOffsets, FetchOffsets, FetchedOffset, Generation, GroupMetadata, Join, Joined, OffsetKey,
    OffsetToCommit, OffsetValue, Record, Reply, StoredMember, Sync, Synced, Wanted, Wish,
};

use super::{Invariant, Look};
use crate::fact::{Answer, Fact, RequestId};

/// Judges all facts; the law's complaint, or how many it judged.
pub(super) fn judge(mut law: impl Invariant, facts: &[Fact]) -> Result<usize, String> {
    let mut judged = 0;
    for fact in facts {
        judged += usize::from(law.judge(fact)? == Look::Judged);
    }
    Ok(judged)
}

/// The law judges the good run and finds the bad one out.
pub(super) fn tells(law: impl Fn() -> Box<dyn Invariant>, good: &[Fact], bad: &[Fact]) {
    assert!(judge(law(), good).is_ok_and(|judged| judged > 0));
    assert!(judge(law(), bad).is_err());
}

impl Invariant for Box<dyn Invariant> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        (**self).judge(fact)
    }
}

pub(super) fn asked(request: u64, command: Command) -> Fact {
    Fact::Asked { request: RequestId(request), command }
}

pub(super) fn appended(cause: u64, at: i64, records: &[Record]) -> Fact {
    Fact::Appended { cause: Some(RequestId(cause)), at: Offset(at), records: records.to_vec() }
}

/// An answer while the disk has confirmed everything below `synced`.
pub(super) fn answered(request: u64, reply: Reply, synced: i64) -> Fact {
    Fact::Answered { request: RequestId(request), answer: Answer::Reply(reply), leading: true, synced: Offset(synced) }
}

pub(super) fn led(log: &[Record]) -> Fact {
    Fact::Led { log: log.iter().cloned().enumerate().map(|(at, record)| (Offset(at as i64), record)).collect() }
}

fn key() -> OffsetKey {
    OffsetKey { group: "g".into(), topic: TopicName::parse("t").unwrap(), partition: Partition(0) }
}

fn value(offset: i64) -> OffsetValue {
    OffsetValue {
        offset: Offset(offset),
        leader_epoch: LeaderEpoch::NONE,
        metadata: None,
        committed_at: Timestamp(0),
        expires_at: None,
        topic_id: TopicId::ZERO,
    }
}

pub(super) fn place(offset: i64) -> Record {
    Record::Offset { key: key(), value: Some(value(offset)), producer: None }
}

pub(super) fn forgotten() -> Record {
    Record::Offset { key: key(), value: None, producer: None }
}

pub(super) fn commit(offset: i64, generation: i32) -> Command {
    let offsets = vec![OffsetToCommit {
        topic: key().topic,
        topic_id: TopicId::ZERO,
        partition: Partition(0),
        offset: Offset(offset),
        leader_epoch: LeaderEpoch::NONE,
        metadata: None,
    }];
    Command::CommitOffsets(CommitOffsets {
        group: "g".into(),
        member: Some("m".into()),
        instance: None,
        generation: Generation(generation),
        retention: None,
        offsets,
    })
}

pub(super) fn committed() -> Reply {
    Reply::CommitOffsets(Ok(vec![ErrorCode::None]))
}

pub(super) fn fetch() -> Command {
    let wish = Wish { topic: key().topic, topic_id: TopicId::ZERO, partition: Partition(0) };
    Command::FetchOffsets(FetchOffsets { group: "g".into(), wanted: Wanted::Listed(vec![wish]), require_stable: true })
}

pub(super) fn fetched(offset: Option<i64>) -> Reply {
    let committed = Ok(offset.map(value));
    Reply::FetchOffsets(vec![FetchedOffset { topic: key().topic, partition: Partition(0), committed }])
}

/// A generation in the log, each member with its share.
pub(super) fn generation(generation: i32, members: &[(&str, &[u8])]) -> Record {
    let stored = |(id, share): &(&str, &[u8])| StoredMember {
        id: (*id).into(),
        instance: None,
        client_id: "c".into(),
        client_host: "h".into(),
        rebalance_timeout: Duration::ZERO,
        session_timeout: Duration::ZERO,
        subscription: Bytes::new(),
        assignment: Bytes::copy_from_slice(share),
    };
    let value = GroupMetadata {
        protocol_type: Some("consumer".into()),
        generation: Generation(generation),
        protocol: Some("range".into()),
        leader: members.first().map(|(id, _)| (*id).into()),
        since: None,
        members: members.iter().map(stored).collect(),
    };
    Record::Group { group: "g".into(), value: Some(Arc::new(value)) }
}

pub(super) fn group_gone() -> Record {
    Record::Group { group: "g".into(), value: None }
}

pub(super) fn sync(member: &str, instance: Option<&str>, generation: i32) -> Command {
    Command::Sync(Sync {
        group: "g".into(),
        member: member.into(),
        instance: instance.map(Into::into),
        generation: Generation(generation),
        protocol_type: None,
        protocol: None,
        assignments: vec![],
    })
}

pub(super) fn share(share: &[u8]) -> Reply {
    Reply::Sync(Ok(Synced { protocol_type: None, protocol: None, assignment: Bytes::copy_from_slice(share) }))
}

pub(super) fn join() -> Command {
    Command::Join(Box::new(Join {
        group: "g".into(),
        member: None,
        instance: None,
        client_id: "c".into(),
        client_host: "h".into(),
        protocol_type: "consumer".into(),
        protocols: vec![],
        session_timeout: Duration::ZERO,
        rebalance_timeout: Duration::ZERO,
        must_come_again: false,
        may_skip_assignment: false,
        fresh: Uuid::ZERO,
    }))
}

pub(super) fn joined(generation: i32) -> Reply {
    Reply::Join(Ok(Joined {
        member: "m".into(),
        generation: Generation(generation),
        protocol_type: None,
        protocol: None,
        leader: "m".into(),
        skip_assignment: false,
        members: vec![],
    }))
}
