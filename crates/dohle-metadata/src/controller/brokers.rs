//! The lives of brokers: registration, sessions, fencing, orderly leave.
//!
//! Owns who may serve and lead; elections that follow are in `elect`. Follows Kafka's `ClusterControlManager` and
//! `BrokerHeartbeatManager`.
//! Laws: one life of a broker at a time has a session; a broker that may lead has read its own registration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dohle_base::{BrokerId, ErrorCode, Instant, Now, Offset, Uuid};
use dohle_protocol::record::MetadataRecord;
use dohle_protocol::record::metadata::{BrokerRegistrationChangeRecord, UnregisterBrokerRecord};

use super::elect::Cause;
use super::{Controller, Decided, RECORDS_MAX, Soft, too_large};
use crate::image::features::METADATA_VERSION;
use crate::image::{Broker, BrokerEpoch, Listener, Supported};
use crate::{Refusal, directory};

/// A switch of [`BrokerRegistrationChangeRecord`].
const ON: i8 = 1;
const OFF: i8 = -1;

/// A broker begins a life, or says more about the one it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    /// Who.
    pub id: BrokerId,
    /// The cluster to which its directories belong.
    pub cluster_id: String,
    /// Its process: another one is another life.
    pub incarnation: Uuid,
    /// Where it can be reached.
    pub listeners: Vec<Listener>,
    /// What it could run with.
    pub features: Vec<Supported>,
    /// Where it stands.
    pub rack: Option<String>,
    /// Its log directories that work.
    pub directories: Vec<Uuid>,
    /// The epoch of the life before, if that one ended without losing anything that it had acknowledged. Otherwise
    /// its replicas are no longer taken for complete.
    pub previous_epoch: Option<BrokerEpoch>,
    /// Where the metadata log ends: the epoch, if a life begins.
    pub log_end: Offset,
}

/// A broker is alive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// Who.
    pub id: BrokerId,
    /// In which life.
    pub epoch: BrokerEpoch,
    /// The last record of the metadata log that it has taken in; -1 before the first.
    pub metadata_offset: Offset,
    /// It does not want to serve yet, or any more.
    pub wants_fence: bool,
    /// It wants to leave in order.
    pub wants_shutdown: bool,
    /// Those of its directories that do not work.
    pub offline_directories: Vec<Uuid>,
    /// Those that take no new partitions; none when it does not say.
    pub cordoned_directories: Option<Vec<Uuid>>,
}

/// How the controller sees a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// It has read the record of its registration.
    pub is_caught_up: bool,
    /// It may neither lead nor be in sync.
    pub is_fenced: bool,
    /// It is about to leave.
    pub is_leaving: bool,
    /// It may end now.
    pub should_shut_down: bool,
}

/// A broker that was heard of in this leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    epoch: BrokerEpoch,
    /// When it is silent for too long.
    pub(super) until: Instant,
    /// How far it has read the metadata log.
    metadata_offset: Offset,
    /// Others must have read so far before it may end, once it leaves in order.
    leaves_after: Option<Offset>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Fenced,
    Active,
    Leaving,
    Gone,
}

impl Controller {
    /// The sessions with which a leadership begins: those of brokers that serve. But for this node's own broker: if
    /// this process leads, no other process of that broker is alive.
    pub(super) fn sessions(&self, now: Now) -> BTreeMap<BrokerId, Session> {
        let others = self.image.brokers.live().filter(|broker| broker.id != self.policy.node);
        let begun = |broker: &Arc<Broker>| (broker.id, self.session(broker.epoch, now, Offset::NONE));
        others.map(begun).collect()
    }

    /// Refuses whoever speaks for a life that has ended.
    pub(super) fn living(&self, id: BrokerId, epoch: BrokerEpoch) -> Result<&Broker, Refusal> {
        let stale = |message| Refusal::new(ErrorCode::StaleBrokerEpoch, message);
        let Some(broker) = self.image.brokers.get(id) else {
            return Err(stale(format!("broker {id} is not registered")));
        };
        if broker.epoch != epoch {
            return Err(stale(format!("broker {id} has epoch {}, not {epoch}", broker.epoch)));
        }
        Ok(broker)
    }

    pub(super) fn register_broker(
        &self,
        soft: &mut Soft,
        now: Now,
        command: RegisterBroker,
    ) -> Result<Decided<BrokerEpoch>, Refusal> {
        self.check_registration(soft, now, &command)?;
        let known = self.image.brokers.get(command.id);
        let same_life = known.filter(|broker| broker.incarnation == command.incarnation);
        let broker = Broker {
            id: command.id,
            epoch: same_life.map_or(BrokerEpoch(command.log_end.0), |broker| broker.epoch),
            incarnation: command.incarnation,
            listeners: command.listeners,
            features: command.features,
            rack: command.rack,
            fenced: same_life.is_none_or(|broker| broker.fenced),
            in_controlled_shutdown: same_life.is_some_and(|broker| broker.in_controlled_shutdown),
            directories: command.directories,
            cordoned: same_life.and_then(|broker| broker.cordoned.clone()),
        };
        let mut records = vec![];
        if same_life.is_none() {
            soft.sessions.remove(&command.id);
            let cause = self.cause_of_new_life(known, command.previous_epoch, &broker);
            records = self.elect_now(soft, cause, 1);
        }
        records.push(MetadataRecord::RegisterBroker(broker.record()));
        Ok((records, broker.epoch))
    }

    fn cause_of_new_life(&self, before: Option<&Arc<Broker>>, previous: Option<BrokerEpoch>, now: &Broker) -> Cause {
        let ended_well = before.filter(|before| previous == Some(before.epoch));
        let has_all = |before: &Arc<Broker>| before.directories.iter().all(|id| now.directories.contains(id));
        match ended_well {
            Some(before) if has_all(before) => Cause::Resumed(now.id),
            Some(_) => Cause::Left(now.id),
            None if self.image.features.eligible_leaders() => Cause::Crashed(now.id),
            None => Cause::Left(now.id),
        }
    }

    fn check_registration(&self, soft: &Soft, now: Now, command: &RegisterBroker) -> Result<(), Refusal> {
        if *self.image.cluster_id != *command.cluster_id {
            let message = format!("this is cluster {}, not {}", self.image.cluster_id, command.cluster_id);
            return Err(Refusal::new(ErrorCode::InconsistentClusterId, message));
        }
        self.check_incarnation(soft, now, command)?;
        self.check_directories(command)?;
        self.check_features(command)
    }

    fn check_incarnation(&self, soft: &Soft, now: Now, command: &RegisterBroker) -> Result<(), Refusal> {
        let Some(broker) = self.image.brokers.get(command.id) else { return Ok(()) };
        let session = soft.sessions.get(&command.id).filter(|session| session.epoch == broker.epoch);
        let is_alive = session.is_some_and(|session| now.instant < session.until);
        if !is_alive || broker.incarnation == command.incarnation {
            return Ok(());
        }
        let timeout = self.policy.session_timeout.as_millis();
        let message = format!(
            "another process is broker {}; if it has ended, its session ends {timeout} ms after it was last heard of",
            command.id
        );
        Err(Refusal::new(ErrorCode::DuplicateBrokerRegistration, message))
    }

    fn check_directories(&self, command: &RegisterBroker) -> Result<(), Refusal> {
        let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidRegistration, message));
        if command.directories.is_empty() {
            return refuse("a broker needs a log directory".to_owned());
        }
        if let Some(id) = command.directories.iter().find(|id| directory::is_reserved(**id)) {
            return refuse(format!("no directory may have the reserved id {id}"));
        }
        let distinct: BTreeSet<&Uuid> = command.directories.iter().collect();
        if distinct.len() < command.directories.len() {
            return refuse("two log directories have the same id".to_owned());
        }
        let mut others = self.image.brokers.iter().filter(|broker| broker.id != command.id);
        match others.find_map(|broker| Some((broker.id, broker.directories.iter().find(|id| distinct.contains(id))?))) {
            Some((owner, id)) => refuse(format!("directory {id} belongs to broker {owner}")),
            None => Ok(()),
        }
    }

    fn check_features(&self, command: &RegisterBroker) -> Result<(), Refusal> {
        if command.features.iter().all(|feature| feature.name != METADATA_VERSION) {
            let message = format!("the broker does not say which {METADATA_VERSION} it supports");
            return Err(Refusal::new(ErrorCode::InvalidRegistration, message));
        }
        for (name, level) in self.image.features.iter() {
            let range = command.features.iter().find(|feature| feature.name == name);
            let (least, most) = range.map_or((0, 0), |feature| (feature.least, feature.most));
            if !(least..=most).contains(&level) {
                let message = format!(
                    "the cluster runs with {name}={level} and broker {} supports {least} to {most}",
                    command.id
                );
                return Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
            }
        }
        Ok(())
    }

    pub(super) fn unregister_broker(&self, soft: &mut Soft, id: BrokerId) -> Result<Decided<()>, Refusal> {
        let unknown = || Refusal::new(ErrorCode::BrokerIdNotRegistered, format!("broker {id} is not registered"));
        let broker = self.image.brokers.get(id).ok_or_else(unknown)?;
        // Whoever is not coming back is complete nowhere: it must be eligible nowhere either.
        let cause = if self.image.features.eligible_leaders() { Cause::Crashed(id) } else { Cause::Left(id) };
        let mut records = self.elect(cause, RECORDS_MAX);
        if records.len() == RECORDS_MAX {
            return Err(too_large());
        }
        soft.sessions.remove(&id);
        soft.unsettled.remove(&id);
        let record = UnregisterBrokerRecord { broker_id: id.0, broker_epoch: broker.epoch.0, ..Default::default() };
        records.push(MetadataRecord::UnregisterBroker(record));
        Ok((records, ()))
    }

    pub(super) fn heartbeat(
        &self,
        soft: &mut Soft,
        now: Now,
        command: &Heartbeat,
    ) -> Result<Decided<Standing>, Refusal> {
        let broker = self.living(command.id, command.epoch)?;
        let registered = self.registered.get(&command.id).copied().unwrap_or(Offset::NONE);
        let is_caught_up = command.metadata_offset >= registered;
        let was = state(broker);
        let state = self.next_state(soft, broker, command, is_caught_up);
        let mut records = self.enter(soft, broker, was, state);
        // Both would speak of the same partitions without knowing of each other; the next heartbeat says it again.
        if records.is_empty() && !soft.unsettled.contains_key(&broker.id) {
            records = self.directories_lost(soft, broker, &command.offline_directories);
        }
        records.extend(cordoned(broker, command.cordoned_directories.as_ref()));
        self.hear(soft, now, command, was, state, records.len());
        let standing = Standing {
            is_caught_up,
            is_fenced: matches!(state, State::Fenced | State::Gone),
            is_leaving: state == State::Leaving,
            should_shut_down: state == State::Gone,
        };
        Ok((records, standing))
    }

    fn next_state(&self, soft: &Soft, broker: &Broker, command: &Heartbeat, is_caught_up: bool) -> State {
        match state(broker) {
            // Who has left comes back in another life.
            State::Fenced if command.wants_shutdown || broker.in_controlled_shutdown => State::Gone,
            State::Fenced if command.wants_fence || !is_caught_up => State::Fenced,
            State::Fenced if soft.unsettled.contains_key(&broker.id) => State::Fenced,
            State::Fenced => State::Active,
            State::Active if command.wants_shutdown && command.wants_fence => State::Gone,
            State::Active if command.wants_shutdown && self.leads(broker.id) => State::Leaving,
            State::Active if command.wants_shutdown => State::Gone,
            State::Active if command.wants_fence => State::Fenced,
            State::Active => State::Active,
            State::Leaving if self.leads(broker.id) || !others_know(soft, broker.id) => State::Leaving,
            State::Leaving | State::Gone => State::Gone,
        }
    }

    fn enter(&self, soft: &mut Soft, broker: &Broker, was: State, state: State) -> Vec<MetadataRecord> {
        match state {
            State::Fenced | State::Gone if !broker.fenced => self.fence(soft, broker),
            State::Active if was == State::Fenced => self.unfence(soft, broker),
            State::Leaving if was == State::Active => self.let_leave(soft, broker),
            State::Fenced | State::Gone | State::Active | State::Leaving => vec![],
        }
    }

    fn fence(&self, soft: &mut Soft, broker: &Broker) -> Vec<MetadataRecord> {
        let mut records = self.elect_now(soft, Cause::Left(broker.id), 1);
        records.push(change(broker, |record| record.fenced = ON));
        records
    }

    fn unfence(&self, soft: &mut Soft, broker: &Broker) -> Vec<MetadataRecord> {
        let mut records = vec![change(broker, |record| record.fenced = OFF)];
        records.extend(self.elect_now(soft, Cause::Returned(broker.id), 1));
        records
    }

    fn let_leave(&self, soft: &mut Soft, broker: &Broker) -> Vec<MetadataRecord> {
        let mut records = vec![change(broker, |record| record.in_controlled_shutdown = ON)];
        records.extend(self.elect_now(soft, Cause::Left(broker.id), 1));
        records
    }

    fn directories_lost(&self, soft: &mut Soft, broker: &Broker, offline: &[Uuid]) -> Vec<MetadataRecord> {
        let (lost, working): (Vec<Uuid>, Vec<Uuid>) = broker.directories.iter().partition(|id| offline.contains(id));
        // One at a time: the elections of each must know those of the one before. The rest is in the next heartbeat.
        let Some(first) = lost.first() else { return vec![] };
        let online: Vec<Uuid> = lost[1..].iter().chain(&working).copied().collect();
        let mut records = self.elect_now(soft, Cause::DirectoryLost(broker.id, *first), 1);
        if !online.is_empty() {
            records.push(change(broker, |record| record.log_dirs = online));
        }
        records
    }

    fn hear(&self, soft: &mut Soft, now: Now, command: &Heartbeat, was: State, state: State, written: usize) {
        let earlier = soft.sessions.get(&command.id).filter(|session| session.epoch == command.epoch);
        let mut session = self.session(command.epoch, now, command.metadata_offset);
        session.leaves_after = earlier.and_then(|session| session.leaves_after);
        if state == State::Leaving && was != State::Leaving {
            session.leaves_after = Some(self.image.offset + written as i64);
        }
        soft.sessions.insert(command.id, session);
    }

    /// Fences the broker that has been silent for longest, if any has been for too long: one at a time, because the
    /// elections of each must know those of the one before.
    pub(super) fn fence_silent_broker(&self, soft: &mut Soft, now: Now) -> Vec<MetadataRecord> {
        let oldest = soft.sessions.iter().min_by_key(|(_, session)| session.until);
        let Some((id, session)) = oldest.filter(|(_, session)| session.until <= now.instant) else { return vec![] };
        let (id, epoch) = (*id, session.epoch);
        soft.sessions.remove(&id);
        let Some(broker) = self.image.brokers.get(id) else { return vec![] };
        if broker.epoch != epoch || broker.fenced {
            return vec![];
        }
        self.fence(soft, broker)
    }

    fn leads(&self, broker: BrokerId) -> bool {
        let mut assignments = self.image.topics.iter().flat_map(|topic| topic.partitions());
        assignments.any(|(_, assignment)| assignment.leader == broker)
    }

    fn session(&self, epoch: BrokerEpoch, now: Now, metadata_offset: Offset) -> Session {
        let until = now.instant + self.policy.session_timeout;
        Session { epoch, until, metadata_offset, leaves_after: None }
    }
}

fn state(broker: &Broker) -> State {
    if broker.fenced {
        State::Fenced
    } else if broker.in_controlled_shutdown {
        State::Leaving
    } else {
        State::Active
    }
}

/// Whether every broker that serves has read who leads instead of the one that leaves.
fn others_know(soft: &Soft, leaving: BrokerId) -> bool {
    let after = soft.sessions.get(&leaving).and_then(|session| session.leaves_after).unwrap_or(Offset::NONE);
    let mut others = soft.sessions.iter().filter(|(id, session)| **id != leaving && session.leaves_after.is_none());
    others.all(|(_, session)| session.metadata_offset >= after)
}

fn cordoned(broker: &Broker, cordoned: Option<&Vec<Uuid>>) -> Option<MetadataRecord> {
    let set = |ids: &Vec<Uuid>| ids.iter().copied().collect::<BTreeSet<Uuid>>();
    let cordoned = cordoned?;
    let is_new = broker.cordoned.as_ref().is_none_or(|known| set(known) != set(cordoned));
    is_new.then(|| change(broker, |record| record.cordoned_log_dirs = Some(cordoned.clone())))
}

fn change(broker: &Broker, set: impl FnOnce(&mut BrokerRegistrationChangeRecord)) -> MetadataRecord {
    let (broker_id, broker_epoch) = (broker.id.0, broker.epoch.0);
    let mut record = BrokerRegistrationChangeRecord { broker_id, broker_epoch, ..Default::default() };
    set(&mut record);
    MetadataRecord::BrokerRegistrationChange(record)
}

#[cfg(test)]
mod tests;
