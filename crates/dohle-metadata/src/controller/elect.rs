//! Who is in sync and who leads after a broker left, came back, or lost what it had.
//!
//! Owns elections that follow from a broker's state (Kafka's `PartitionChangeBuilder` and
//! `generateLeaderAndIsrUpdates`, KIP-966); knows nothing of reassignments or of an administrator's wishes.
//! Laws: a leader is in sync afterwards; a change that was applied is not found again, so what one decision could not
//! hold the next ones find.

use dohle_base::{BrokerId, Partition, TopicId, Uuid};
use dohle_protocol::record::MetadataRecord;
use dohle_protocol::record::metadata::PartitionChangeRecord;

use super::features::MIN_IN_SYNC;
use super::{Controller, RECORDS_MAX, Soft};
use crate::image::partition::{LEADER_UNCHANGED, RECOVERING, numbers};
use crate::image::{Assignment, Topic};

/// The key that lets a replica lead that may lack records.
const UNCLEAN: &str = "unclean.leader.election.enable";

/// Why partitions may need another leader or in-sync set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The broker may lead nothing and be in sync nowhere; what it holds is as complete as it was.
    Left(BrokerId),
    /// The broker began a new life and may have lost what it had not flushed.
    Crashed(BrokerId),
    /// The broker began a new life right behind the one before and has all that it had. What it alone holds nobody else could have led
    /// meanwhile: there it goes on in the same epoch, so that a cluster of one need not write of all its partitions at each start.
    Resumed(BrokerId),
    /// One of the broker's directories does not work any more.
    DirectoryLost(BrokerId, Uuid),
    /// The broker may lead again.
    Returned(BrokerId),
}

impl Cause {
    /// Whether a partition could be affected at all.
    fn concerns(self, assignment: &Assignment) -> bool {
        let in_sync = |broker| assignment.in_sync.contains(&broker) || assignment.leader == broker;
        match self {
            Self::Left(broker) => in_sync(broker),
            Self::Resumed(broker) => in_sync(broker) && assignment.replicas != [broker],
            Self::Crashed(broker) => in_sync(broker) || assignment.eligible_leaders.contains(&broker),
            Self::DirectoryLost(broker, directory) => assignment.directory(broker) == Some(directory),
            Self::Returned(_) => !assignment.has_leader(),
        }
    }

    fn leaving(self) -> Option<BrokerId> {
        match self {
            Self::Left(broker) | Self::Crashed(broker) | Self::Resumed(broker) | Self::DirectoryLost(broker, _) => {
                Some(broker)
            }
            Self::Returned(_) => None,
        }
    }

    /// The broker about which it is.
    pub(super) fn broker(self) -> BrokerId {
        match self {
            Self::Left(broker)
            | Self::Crashed(broker)
            | Self::Resumed(broker)
            | Self::DirectoryLost(broker, _)
            | Self::Returned(broker) => broker,
        }
    }
}

/// What decides about the elections of one topic.
struct Rules {
    min_in_sync: usize,
    unclean: bool,
    eligible_leaders: bool,
}

impl Controller {
    /// At most `limit` changes that follow from `cause`.
    pub(super) fn elect(&self, cause: Cause, limit: usize) -> Vec<MetadataRecord> {
        let topics = self.image.topics.iter();
        topics.flat_map(|topic| self.elect_in(topic, cause)).take(limit).map(MetadataRecord::PartitionChange).collect()
    }

    /// As many changes as fit beside `others` records in one decision. What does not fit is left to the ticks that
    /// follow.
    pub(super) fn elect_now(&self, soft: &mut Soft, cause: Cause, others: usize) -> Vec<MetadataRecord> {
        let room = RECORDS_MAX - others;
        let changes = self.elect(cause, room);
        // What the broker did last is what counts.
        soft.unsettled.remove(&cause.broker());
        if changes.len() == room {
            soft.unsettled.insert(cause.broker(), cause);
        }
        changes
    }

    /// Goes on with what one decision could not hold. None when nothing is left.
    pub(super) fn settle(&self, soft: &mut Soft) -> Option<Vec<MetadataRecord>> {
        let (_, cause) = soft.unsettled.pop_first()?;
        Some(self.elect_now(soft, cause, 0))
    }

    fn elect_in(&self, topic: &Topic, cause: Cause) -> impl Iterator<Item = PartitionChangeRecord> {
        let mut rules = None;
        topic.partitions().filter(move |(_, assignment)| cause.concerns(assignment)).filter_map(
            move |(index, assignment)| {
                let rules = rules.get_or_insert_with(|| self.rules(topic));
                self.change(topic.id, index, assignment, cause, rules)
            },
        )
    }

    fn rules(&self, topic: &Topic) -> Rules {
        let value = |key| self.view().topic_key(&topic.name, key).and_then(|entry| entry.value);
        let least: usize = value(MIN_IN_SYNC).and_then(|value| value.trim().parse().ok()).unwrap_or(1);
        Rules {
            min_in_sync: least.min(topic.replication_factor()),
            unclean: value(UNCLEAN).is_some_and(|value| value.trim().eq_ignore_ascii_case("true")),
            eligible_leaders: self.image.features.eligible_leaders(),
        }
    }

    fn change(
        &self,
        topic_id: TopicId,
        index: Partition,
        now: &Assignment,
        cause: Cause,
        rules: &Rules,
    ) -> Option<PartitionChangeRecord> {
        let mut election = Election::begin(self, now, cause, rules);
        let mut record = PartitionChangeRecord { topic_id, partition_id: index.0, ..PartitionChangeRecord::default() };
        election.run(&mut record);
        election.note_eligible_leaders(&mut record);
        election.note_in_sync(&mut record);
        election.note_last_known_leader(&mut record);
        is_change(&record).then_some(record)
    }

    /// Whether a replica of this partition may lead, once the cause has taken effect.
    fn may_lead(&self, now: &Assignment, cause: Cause, replica: BrokerId) -> bool {
        if cause.leaving() == Some(replica) {
            return false;
        }
        let Some(broker) = self.image.brokers.get(replica) else { return false };
        let is_active = broker.is_active() || cause == Cause::Returned(replica);
        is_active && now.directory(replica).is_some_and(|directory| broker.serves(directory))
    }
}

/// One partition on its way to another state.
struct Election<'a> {
    controller: &'a Controller,
    now: &'a Assignment,
    cause: Cause,
    rules: &'a Rules,
    in_sync: Vec<BrokerId>,
    eligible: Vec<BrokerId>,
}

impl<'a> Election<'a> {
    fn begin(controller: &'a Controller, now: &'a Assignment, cause: Cause, rules: &'a Rules) -> Self {
        let stays = |broker: &BrokerId| cause.leaving() != Some(*broker);
        let in_sync: Vec<BrokerId> = now.in_sync.iter().copied().filter(stays).collect();
        let eligible = eligible_leaders(now, &in_sync, cause, rules);
        Self { controller, now, cause, rules, in_sync, eligible }
    }

    /// Looks for a leader: the one there is; a replica in sync; with nobody in sync, an eligible one; the last known
    /// leader; where that is allowed, anybody.
    fn run(&mut self, record: &mut PartitionChangeRecord) {
        let (leader, is_clean) = self.choose();
        if leader == self.now.leader {
            return;
        }
        record.leader = leader.0;
        if self.eligible.contains(&leader) {
            self.in_sync = vec![leader];
            self.eligible.retain(|broker| *broker != leader);
        }
        if is_clean {
            return;
        }
        record.isr = Some(vec![leader.0]);
        if !self.now.recovering {
            record.leader_recovery_state = RECOVERING;
        }
    }

    fn choose(&self) -> (BrokerId, bool) {
        let replicas = || self.now.replicas.iter().copied();
        if self.is_safe(self.now.leader) {
            return (self.now.leader, true);
        }
        if let Some(safe) = replicas().find(|replica| self.is_safe(*replica)) {
            return (safe, true);
        }
        if let Some(last) = self.last_known_leader() {
            return (last, false);
        }
        match replicas().find(|replica| self.may_lead(*replica)) {
            Some(any) if self.rules.unclean => (any, false),
            Some(_) | None => (BrokerId::NONE, true),
        }
    }

    fn is_safe(&self, replica: BrokerId) -> bool {
        let holds_everything = self.in_sync.contains(&replica);
        let was_complete = self.in_sync.is_empty() && self.eligible.contains(&replica);
        (holds_everything || was_complete) && self.may_lead(replica)
    }

    fn last_known_leader(&self) -> Option<BrokerId> {
        if !self.rules.eligible_leaders || !self.in_sync.is_empty() || !self.eligible.is_empty() {
            return None;
        }
        match self.now.last_known_leaders.as_slice() {
            [only] if self.may_lead(*only) => Some(*only),
            _ => None,
        }
    }

    fn may_lead(&self, replica: BrokerId) -> bool {
        self.controller.may_lead(self.now, self.cause, replica)
    }

    /// After an election from outside the in-sync set nobody is eligible: what they hold is no longer what was
    /// committed.
    fn note_eligible_leaders(&mut self, record: &mut PartitionChangeRecord) {
        if record.isr.is_some() || !self.rules.eligible_leaders {
            self.eligible.clear();
        }
        if self.eligible != self.now.eligible_leaders {
            record.eligible_leader_replicas = Some(numbers(&self.eligible));
        }
    }

    /// Without eligible leaders the last replica stays in sync, so that it is known who may lead again.
    fn note_in_sync(&self, record: &mut PartitionChangeRecord) {
        let may_be_empty = self.rules.eligible_leaders || !self.in_sync.is_empty();
        if record.isr.is_none() && may_be_empty && self.in_sync != self.now.in_sync {
            record.isr = Some(numbers(&self.in_sync));
        }
    }

    fn note_last_known_leader(&self, record: &mut PartitionChangeRecord) {
        if !self.rules.eligible_leaders || record.leader == LEADER_UNCHANGED {
            return;
        }
        let is_led = record.leader != BrokerId::NONE.0;
        if is_led && !self.now.last_known_leaders.is_empty() {
            record.last_known_elr = Some(vec![]);
        } else if !is_led && self.now.last_known_leaders.is_empty() {
            record.last_known_elr = Some(vec![self.now.leader.0]);
        }
    }
}

/// Who is complete although no longer in sync: only while fewer are in sync than must be, for only then is nothing
/// new committed.
fn eligible_leaders(now: &Assignment, in_sync: &[BrokerId], cause: Cause, rules: &Rules) -> Vec<BrokerId> {
    if !rules.eligible_leaders {
        return now.eligible_leaders.clone();
    }
    if in_sync.len() >= rules.min_in_sync {
        return vec![];
    }
    let mut eligible = now.eligible_leaders.clone();
    eligible.extend(&now.in_sync);
    let lost = |broker: &BrokerId| cause == Cause::Crashed(*broker);
    eligible.retain(|broker| !in_sync.contains(broker) && !lost(broker));
    eligible.sort_unstable();
    eligible.dedup();
    eligible
}

fn is_change(record: &PartitionChangeRecord) -> bool {
    record.leader != LEADER_UNCHANGED
        || record.isr.is_some()
        || record.eligible_leader_replicas.is_some()
        || record.last_known_elr.is_some()
}
