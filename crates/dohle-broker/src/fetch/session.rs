//! Incremental fetch sessions (KIP-227): a consumer names its partitions once, later only what changed, and is told only what
//! changed.
//!
//! Owns what a session remembers and who must make room; knows neither logs nor sockets.
//! Laws: a session's epoch rises with each of its requests; at most as many sessions as there are slots.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dohle_base::{ErrorCode, Instant, Offset, Rng, TopicId};

use crate::lock::hold;

/// A session that was neither used nor is younger than this may make room for another.
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);
/// The epoch of a request that asks for a new session.
const EPOCH_INITIAL: i32 = 0;
/// The epoch of a request that wants no session.
const EPOCH_FINAL: i32 = -1;

/// What a client calls a topic: by name before version 13, by id since.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TopicKey {
    Name(Arc<str>),
    Id(TopicId),
}

/// A partition as a client asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) topic: TopicKey,
    pub(crate) partition: i32,
    pub(crate) offset: Offset,
    pub(crate) bytes_max: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
}

/// What was last told of a partition, to tell it again only when it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) error: ErrorCode,
    pub(crate) high_watermark: i64,
    pub(crate) log_start: i64,
    /// Whether records are in the answer.
    pub(crate) records: bool,
    /// Whether the client must truncate.
    pub(crate) diverging: bool,
}

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
pub(crate) enum Plan {
    /// All that the request names, without a session.
    Once(Vec<Wanted>),
    /// All that the request names, and a session if there is room.
    Open { wanted: Vec<Wanted>, by_id: bool, is_replica: bool },
    /// What the session holds, told where it changed.
    Continue { session: Arc<Mutex<Session>>, id: i32, epoch: i32, wanted: Vec<Wanted> },
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    epoch: i32,
    by_id: bool,
    /// In the order in which they get their turn: whoever was given records goes to the end.
    turns: BTreeMap<u64, Cached>,
    places: HashMap<(TopicKey, i32), u64>,
    next_turn: u64,
}

#[derive(Debug)]
struct Cached {
    wanted: Wanted,
    high_watermark: i64,
    log_start: i64,
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
            hold(&self.slots).by_id.remove(&ask.session_id);
        }
        let Ask { by_id, is_replica, wanted, .. } = ask;
        let wanted = each_once(wanted);
        Ok(if ask.epoch == EPOCH_FINAL { Plan::Once(wanted) } else { Plan::Open { wanted, by_id, is_replica } })
    }

    /// Remembers what was told in answer to a request that asked for a session; 0 where there is no room for one.
    pub(crate) fn open(&self, now: Instant, by_id: bool, is_replica: bool, told: Vec<(Wanted, Told)>) -> i32 {
        let mut slots = hold(&self.slots);
        let size = told.len();
        if slots.by_id.len() >= self.slots_max && !slots.evict(now, size, is_replica) {
            return 0;
        }
        let id = slots.free_id();
        let session = Arc::new(Mutex::new(Session::new(by_id, told)));
        slots.by_id.insert(id, Slot { session, size, is_replica, created: now, used: now });
        id
    }

    fn resume(&self, now: Instant, ask: Ask) -> Result<Plan, ErrorCode> {
        let mut slots = hold(&self.slots);
        let slot = slots.by_id.get_mut(&ask.session_id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let shared = Arc::clone(&slot.session);
        let mut session = hold(&shared);
        if session.epoch != ask.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.by_id != ask.by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.update(ask.wanted, &ask.forgotten);
        if session.places.is_empty() {
            slots.by_id.remove(&ask.session_id);
            return Ok(Plan::Once(vec![]));
        }
        session.epoch = epoch_after(session.epoch);
        (slot.size, slot.used) = (session.places.len(), now);
        let wanted = session.turns.values().map(|cached| cached.wanted.clone()).collect();
        let epoch = session.epoch;
        drop(session);
        Ok(Plan::Continue { session: shared, id: ask.session_id, epoch, wanted })
    }
}

/// Of a partition that is named twice the last naming counts, at the place of the first, as in Kafka.
fn each_once(wanted: Vec<Wanted>) -> Vec<Wanted> {
    if wanted.len() < 2 {
        return wanted;
    }
    let mut places: HashMap<(TopicKey, i32), usize> = HashMap::with_capacity(wanted.len());
    let mut each: Vec<Wanted> = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let place = *places.entry((wanted.topic.clone(), wanted.partition)).or_insert(each.len());
        match each.get_mut(place) {
            Some(earlier) => *earlier = wanted,
            None => each.push(wanted),
        }
    }
    each
}

impl Slots {
    /// Makes room for a session of this many partitions, if somebody can be pushed out for it.
    fn evict(&mut self, now: Instant, size: usize, is_replica: bool) -> bool {
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
        let Some(id) = oldest.or_else(smallest).map(|(id, _)| *id) else { return false };
        self.by_id.remove(&id);
        true
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

impl Session {
    fn new(by_id: bool, told: Vec<(Wanted, Told)>) -> Self {
        let (turns, places) = (BTreeMap::new(), HashMap::new());
        let mut session = Self { epoch: epoch_after(EPOCH_INITIAL), by_id, turns, places, next_turn: 0 };
        for (wanted, told) in told {
            session.put(wanted);
            let turn = session.next_turn - 1;
            session.remember(turn, &told);
        }
        session
    }

    /// Whether the partitions may be told from what was gathered for `epoch`: not if another request came meanwhile.
    pub(crate) fn is_at(&self, epoch: i32) -> bool {
        self.epoch == epoch
    }

    /// Whether a partition belongs into the answer, and remembers that it was told.
    pub(crate) fn must_tell(&mut self, topic: &TopicKey, partition: i32, told: &Told) -> bool {
        let Some(turn) = self.places.get(&(topic.clone(), partition)).copied() else { return false };
        let Some(cached) = self.turns.get(&turn) else { return false };
        let changed = cached.high_watermark != told.high_watermark || cached.log_start != told.log_start;
        self.remember(turn, told);
        if told.records {
            self.yield_turn(turn);
        }
        told.records || told.diverging || !told.error.is_none() || changed
    }

    fn update(&mut self, wanted: Vec<Wanted>, forgotten: &[(TopicKey, i32)]) {
        wanted.into_iter().for_each(|wanted| self.put(wanted));
        for gone in forgotten {
            if let Some(turn) = self.places.remove(gone) {
                self.turns.remove(&turn);
            }
        }
    }

    fn put(&mut self, wanted: Wanted) {
        let key = (wanted.topic.clone(), wanted.partition);
        if let Some(cached) = self.places.get(&key).and_then(|turn| self.turns.get_mut(turn)) {
            cached.wanted = wanted;
            return;
        }
        self.places.insert(key, self.next_turn);
        self.turns.insert(self.next_turn, Cached { wanted, high_watermark: -1, log_start: -1 });
        self.next_turn += 1;
    }

    fn remember(&mut self, turn: u64, told: &Told) {
        let Some(cached) = self.turns.get_mut(&turn) else { return };
        // After an error or a divergence, what follows is told even if it equals what was told before.
        let unsettled = told.diverging || !told.error.is_none();
        cached.high_watermark = if unsettled { -1 } else { told.high_watermark };
        cached.log_start = told.log_start;
    }

    fn yield_turn(&mut self, turn: u64) {
        let Some(cached) = self.turns.remove(&turn) else { return };
        let key = (cached.wanted.topic.clone(), cached.wanted.partition);
        self.places.insert(key, self.next_turn);
        self.turns.insert(self.next_turn, cached);
        self.next_turn += 1;
    }
}

fn epoch_after(epoch: i32) -> i32 {
    // Neither 0 nor a negative number is an epoch of a session.
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant(1);

    fn wanted(partition: i32) -> Wanted {
        Wanted {
            topic: TopicKey::Name("t".into()),
            partition,
            offset: Offset(0),
            bytes_max: 1_000,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
        }
    }

    fn told(high_watermark: i64, records: bool) -> Told {
        Told { error: ErrorCode::None, high_watermark, log_start: 0, records, diverging: false }
    }

    fn ask(session_id: i32, epoch: i32, partitions: &[i32]) -> Ask {
        let wanted = partitions.iter().map(|p| wanted(*p)).collect();
        Ask { session_id, epoch, by_id: false, is_replica: false, wanted, forgotten: vec![] }
    }

    fn open(sessions: &Sessions, now: Instant, partitions: i32) -> i32 {
        sessions.open(now, false, false, (0..partitions).map(|p| (wanted(p), told(0, false))).collect())
    }

    fn order(plan: &Plan) -> Vec<i32> {
        match plan {
            Plan::Once(wanted) | Plan::Open { wanted, .. } | Plan::Continue { wanted, .. } => {
                wanted.iter().map(|w| w.partition).collect()
            }
        }
    }

    fn sessions(slots: usize) -> Sessions {
        Sessions::new(slots, Rng::new(1))
    }

    #[test]
    fn of_a_partition_that_is_named_twice_the_last_naming_counts() {
        let sessions = sessions(1);
        let mut twice = ask(0, EPOCH_FINAL, &[3, 1, 3]);
        twice.wanted[2].offset = Offset(7);
        let plan = sessions.plan(NOW, twice).ok().unwrap();
        assert_eq!(order(&plan), [3, 1]);
        let Plan::Once(wanted) = plan else { panic!() };
        assert_eq!(wanted[0].offset, Offset(7));
    }

    #[test]
    fn a_session_is_opened_continued_and_closed_when_nothing_is_left_in_it() {
        let sessions = sessions(10);
        assert!(matches!(sessions.plan(NOW, ask(0, 0, &[0])), Ok(Plan::Open { .. })));
        let id = open(&sessions, NOW, 2);
        assert_eq!(order(&sessions.plan(NOW, ask(id, 1, &[])).ok().unwrap()), [0, 1]);
        assert_eq!(order(&sessions.plan(NOW, ask(id, 2, &[5])).ok().unwrap()), [0, 1, 5]);
        let topic = || TopicKey::Name("t".into());
        let forgotten = vec![(topic(), 0), (topic(), 1), (topic(), 5)];
        let plan = sessions.plan(NOW, Ask { forgotten, ..ask(id, 3, &[]) });
        assert!(matches!(plan, Ok(Plan::Once(wanted)) if wanted.is_empty()));
        assert_eq!(sessions.len(), 0);
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
    fn only_what_changed_is_told_and_whoever_got_records_waits_for_the_others() {
        let sessions = sessions(10);
        let id = open(&sessions, NOW, 3);
        let Ok(Plan::Continue { session, epoch, .. }) = sessions.plan(NOW, ask(id, 1, &[])) else { panic!() };
        let topic = TopicKey::Name("t".into());
        let tell = |partition, told| hold(&session).must_tell(&topic, partition, &told);
        assert!(tell(0, told(7, true)));
        assert!(!tell(1, told(0, false)));
        assert!(tell(2, Told { error: ErrorCode::UnknownTopicOrPartition, ..told(-1, false) }));
        assert!(tell(2, told(0, false)), "the error went away");
        assert!(!tell(2, told(0, false)));
        assert!(!tell(9, told(0, true)), "not in this session");
        assert!(hold(&session).is_at(epoch));
        assert_eq!(order(&sessions.plan(NOW, ask(id, 2, &[])).ok().unwrap()), [1, 2, 0]);
        assert!(!hold(&session).is_at(epoch));
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
