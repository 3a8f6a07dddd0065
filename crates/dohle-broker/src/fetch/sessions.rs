//! All incremental fetch sessions (KIP-227): who may have one, and who must make room.
//!
//! Owns numbers, ages and sizes; what a session remembers is its own.
//! Laws: a session's epoch rises with each of its requests; at most as many sessions as there are slots.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dohle_base::{ErrorCode, Instant, Rng};

use super::session::{EPOCH_INITIAL, Session, TopicKey, Wanted};
use crate::lock::hold;

/// A session that was neither used nor is younger than this may make room for another.
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);
/// The epoch of a request that wants no session.
const EPOCH_FINAL: i32 = -1;

/// What a request says about sessions.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) session_id: i32,
    pub(crate) epoch: i32,
    /// The request names topics by id.
    pub(crate) by_id: bool,
    /// The request comes from a replica, which a consumer never pushes out.
    pub(crate) is_replica: bool,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) forgotten: Vec<(TopicKey, i32)>,
}

/// How a request is answered.
pub(crate) struct Plan {
    pub(crate) session: Arc<Mutex<Session>>,
    /// The session's epoch during this request.
    pub(crate) round: i32,
    pub(crate) term: Term,
}

/// What becomes of a session when the request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// It ends.
    Once,
    /// It lasts if there is room.
    Open { is_replica: bool },
    /// It goes on under its number.
    Continue { id: i32 },
}

/// All sessions of the node.
pub(crate) struct Sessions {
    slots_max: usize,
    slots: Mutex<Slots>,
}

struct Slots {
    rng: Rng,
    by_id: HashMap<i32, Slot>,
}

struct Slot {
    session: Arc<Mutex<Session>>,
    size: usize,
    is_replica: bool,
    created: Instant,
    used: Instant,
}

impl Sessions {
    /// No session yet, and room for `slots_max`.
    pub(crate) fn new(slots_max: usize, rng: Rng) -> Self {
        Self { slots_max, slots: Mutex::new(Slots { rng, by_id: HashMap::new() }) }
    }

    /// How many sessions there are.
    pub(crate) fn len(&self) -> usize {
        hold(&self.slots).by_id.len()
    }

    /// What a request is to be answered with.
    pub(crate) fn plan(&self, now: Instant, ask: Ask) -> Result<Plan, ErrorCode> {
        if ask.epoch != EPOCH_INITIAL && ask.epoch != EPOCH_FINAL {
            return self.resume(now, ask);
        }
        if ask.session_id != 0 {
            self.remove(ask.session_id);
        }
        let term = if ask.epoch == EPOCH_FINAL { Term::Once } else { Term::Open { is_replica: ask.is_replica } };
        Ok(Plan::begin(Session::new(ask.by_id, ask.wanted), term))
    }

    /// Keeps a session after its first answer; returns its number, 0 where there is no room for it.
    pub(crate) fn open(&self, now: Instant, session: &Arc<Mutex<Session>>, is_replica: bool) -> i32 {
        let size = {
            let mut session = hold(session);
            session.go_on();
            session.len()
        };
        let mut slots = hold(&self.slots);
        let is_full = slots.by_id.len() >= self.slots_max;
        let evicted = if is_full { slots.evict(now, size, is_replica) } else { None };
        if is_full && evicted.is_none() {
            return 0;
        }
        let id = slots.free_id();
        slots.by_id.insert(id, Slot { session: Arc::clone(session), size, is_replica, created: now, used: now });
        drop(slots);
        // What it remembers is let go of without the lock.
        drop(evicted);
        id
    }

    fn resume(&self, now: Instant, ask: Ask) -> Result<Plan, ErrorCode> {
        let shared = {
            let slots = hold(&self.slots);
            let slot = slots.by_id.get(&ask.session_id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
            Arc::clone(&slot.session)
        };
        let (size, round) = {
            let mut session = hold(&shared);
            if session.epoch != ask.epoch {
                return Err(ErrorCode::InvalidFetchSessionEpoch);
            }
            if session.by_id != ask.by_id {
                return Err(ErrorCode::FetchSessionTopicIdError);
            }
            session.begin(ask.wanted, &ask.forgotten);
            (session.len(), session.epoch)
        };
        if size == 0 {
            self.remove(ask.session_id);
            return Ok(Plan::begin(Session::new(ask.by_id, vec![]), Term::Once));
        }
        // Without the locks it may have been pushed out since; this request is answered nevertheless.
        if let Some(slot) = hold(&self.slots).by_id.get_mut(&ask.session_id) {
            (slot.size, slot.used) = (size, now);
        }
        Ok(Plan { session: shared, round, term: Term::Continue { id: ask.session_id } })
    }

    fn remove(&self, id: i32) {
        let removed = hold(&self.slots).by_id.remove(&id);
        drop(removed);
    }
}

impl Plan {
    fn begin(session: Session, term: Term) -> Self {
        let round = session.epoch;
        Self { session: Arc::new(Mutex::new(session)), round, term }
    }
}

impl Slots {
    /// Makes room for a session of this many partitions, if somebody can be pushed out for it.
    fn evict(&mut self, now: Instant, size: usize, is_replica: bool) -> Option<Slot> {
        let stale = |slot: &Slot| now - slot.used > EVICTABLE_AFTER;
        let weaker = |slot: &Slot| {
            let settled = now - slot.created > EVICTABLE_AFTER;
            if is_replica && !slot.is_replica {
                true
            } else {
                settled && slot.is_replica == is_replica && slot.size < size
            }
        };
        let oldest = self.by_id.iter().filter(|(_, slot)| stale(slot)).min_by_key(|(_, slot)| slot.used);
        let smallest = || self.by_id.iter().filter(|(_, slot)| weaker(slot)).min_by_key(|(_, slot)| slot.size);
        let id = oldest.or_else(smallest).map(|(id, _)| *id)?;
        self.by_id.remove(&id)
    }

    fn free_id(&mut self) -> i32 {
        loop {
            let id = 1 + self.rng.below(i32::MAX as u64) as i32;
            if !self.by_id.contains_key(&id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dohle_base::Offset;

    use super::*;

    const NOW: Instant = Instant(1);

    fn ask(session_id: i32, epoch: i32, partitions: &[i32]) -> Ask {
        let wanted = |partition: &i32| Wanted {
            topic: TopicKey::Name("t".into()),
            partition: *partition,
            offset: Offset(0),
            bytes_max: 1_000,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
        };
        let wanted = partitions.iter().map(wanted).collect();
        Ask { session_id, epoch, by_id: false, is_replica: false, wanted, forgotten: vec![] }
    }

    fn open(sessions: &Sessions, now: Instant, partitions: i32) -> i32 {
        let plan = sessions.plan(now, ask(0, EPOCH_INITIAL, &Vec::from_iter(0..partitions))).ok().unwrap();
        assert_eq!(plan.term, Term::Open { is_replica: false });
        sessions.open(now, &plan.session, false)
    }

    fn sessions(slots: usize) -> Sessions {
        Sessions::new(slots, Rng::new(1))
    }

    #[test]
    fn a_session_is_opened_continued_and_closed_when_nothing_is_left_in_it() {
        let sessions = sessions(10);
        let id = open(&sessions, NOW, 2);
        let size = |plan: Result<Plan, ErrorCode>| hold(&plan.ok().unwrap().session).len();
        assert_eq!(size(sessions.plan(NOW, ask(id, 1, &[]))), 2);
        assert_eq!(size(sessions.plan(NOW, ask(id, 2, &[5]))), 3);
        let topic = || TopicKey::Name("t".into());
        let forgotten = vec![(topic(), 0), (topic(), 1), (topic(), 5)];
        let plan = sessions.plan(NOW, Ask { forgotten, ..ask(id, 3, &[]) }).ok().unwrap();
        assert_eq!((plan.term, hold(&plan.session).len(), sessions.len()), (Term::Once, 0, 0));
    }

    #[test]
    fn a_wrong_number_or_epoch_or_naming_is_refused() {
        let sessions = sessions(10);
        let id = open(&sessions, NOW, 1);
        let refused = |ask| sessions.plan(NOW, ask).err();
        assert_eq!(refused(ask(id ^ 1, 1, &[])), Some(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(refused(ask(id, 2, &[])), Some(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(refused(Ask { by_id: true, ..ask(id, 1, &[]) }), Some(ErrorCode::FetchSessionTopicIdError));
        assert_eq!(refused(ask(id, 1, &[])), None);
    }

    #[test]
    fn a_new_session_or_none_ends_the_one_that_is_named() {
        let sessions = sessions(10);
        for epoch in [EPOCH_INITIAL, EPOCH_FINAL] {
            let id = open(&sessions, NOW, 1);
            assert!(sessions.plan(NOW, ask(id, epoch, &[0])).is_ok());
            assert_eq!(sessions.len(), 0);
        }
    }

    #[test]
    fn room_is_made_by_the_unused_and_for_the_larger_but_never_by_the_young() {
        let sessions = sessions(1);
        let later = NOW + EVICTABLE_AFTER + Duration::from_secs(1);
        let first = open(&sessions, NOW, 2);
        assert_eq!(open(&sessions, NOW, 9), 0, "the first is young");
        assert!(sessions.plan(later, ask(first, 1, &[])).is_ok());
        assert_eq!(open(&sessions, later, 1), 0, "smaller than the first, which is in use");
        assert!(open(&sessions, later, 3) > 0);
        let unused = later + EVICTABLE_AFTER + Duration::from_secs(1);
        assert!(open(&sessions, unused, 1) > 0, "the one before was not used");
    }
}
