//! A machine whose state is the fold of a replicated log. The same ledger serves the controller, over the quorum's log,
//! and every coordinator, over a partition of an internal topic.
//!
//! Owns the two images of the state, the records on their way and the replies that wait for them; knows neither what the
//! records say nor how they travel.
//! Laws: stable ≤ next; pending holds exactly the machine's records from stable on; replies leave in the order of their offsets.

use std::collections::VecDeque;

use dohle_base::{Instant, Now, Offset, Token};

/// State that changes only where a record of the log is applied.
///
/// Cloning must be cheap: images share what did not change.
pub trait Folded: Clone {
    /// What a caller asks for.
    type Command;
    /// What the log remembers.
    type Record: Clone;
    /// What a caller is told.
    type Reply;
    /// Sessions, timers and callers in a barrier: built anew for each leadership, never replayed.
    type Soft;

    /// The soft state with which a new leadership begins.
    fn lead(&self, now: Now) -> Self::Soft;

    /// Reads the state and says what should be written and who should be told what. The caller behind `token` is told now,
    /// when the records are committed, or by a later decision if it was put into the soft state.
    fn decide(
        &self,
        soft: &mut Self::Soft,
        now: Now,
        token: Token,
        command: Self::Command,
    ) -> Decision<Self::Record, Self::Reply>;

    /// Does what time alone demands.
    fn tick(&self, soft: &mut Self::Soft, now: Now) -> Decision<Self::Record, Self::Reply>;

    /// When [`Folded::tick`] must be called at the latest.
    fn deadline(&self, soft: &Self::Soft) -> Option<Instant>;

    /// The callers that a decision put into the soft state and that nobody has answered.
    fn parked(soft: &mut Self::Soft) -> Vec<Token>;

    /// The only place where the state changes, on leader and follower alike.
    fn apply(&mut self, offset: Offset, record: &Self::Record);

    /// An upper bound of a record's size in the log, in bytes.
    fn weight(record: &Self::Record) -> usize;
}

/// What should be written, atomically, and who should be told what once it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<R, A> {
    /// All of these or none.
    pub records: Vec<R>,
    /// The answers that become true with the records.
    pub replies: Vec<(Token, A)>,
}

impl<R, A> Decision<R, A> {
    /// Nothing is written and nobody is told anything.
    pub fn nothing() -> Self {
        Self { records: vec![], replies: vec![] }
    }

    /// Nothing is written; one caller is told.
    pub fn reply(token: Token, reply: A) -> Self {
        Self { records: vec![], replies: vec![(token, reply)] }
    }

    /// `records` are written, then one caller is told.
    pub fn write(records: Vec<R>, token: Token, reply: A) -> Self {
        Self { records, replies: vec![(token, reply)] }
    }
}

/// What the shell must do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<R, A> {
    /// Append the records as one batch, the first at this offset; then report how far the log is committed.
    Append {
        /// Where the log must place the first record. Another place means that leadership was lost: resign.
        at: Offset,
        /// The records.
        records: Vec<R>,
    },
    /// Tell the caller.
    Reply {
        /// Who.
        token: Token,
        /// What.
        reply: A,
    },
    /// Tell the caller that this place cannot answer.
    Refuse {
        /// Who.
        token: Token,
        /// Why.
        refusal: Refusal,
    },
}

/// Why a caller is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Leadership was lost: what was asked may or may not have happened.
    Resigned,
    /// The decision would not fit into one batch; nothing happened.
    TooLarge,
}

/// The effects of a machine's ledger.
pub type Effects<M> = Vec<Effect<<M as Folded>::Record, <M as Folded>::Reply>>;

/// A machine that leads its log.
pub struct Ledger<M: Folded> {
    /// The fold of everything below `stable`.
    committed: M,
    /// The fold of everything below `next`.
    latest: M,
    soft: M::Soft,
    /// Where the next record goes.
    next: Offset,
    /// Below this the log is committed.
    stable: Offset,
    batch_bytes_max: usize,
    pending: VecDeque<(Offset, M::Record)>,
    waiting: VecDeque<(Offset, Token, M::Reply)>,
}

impl<M: Folded> Ledger<M> {
    /// Begins a leadership over a log that was folded into `committed` up to its end. A batch must stay below `batch_bytes_max`.
    pub fn lead(committed: M, now: Now, end: Offset, batch_bytes_max: usize) -> Self {
        let soft = committed.lead(now);
        let latest = committed.clone();
        let (pending, waiting) = (VecDeque::new(), VecDeque::new());
        Self { committed, latest, soft, next: end, stable: end, batch_bytes_max, pending, waiting }
    }

    /// The state that can no longer be taken back.
    pub fn committed(&self) -> &M {
        &self.committed
    }

    /// The state on which the next decision rests.
    pub fn latest(&self) -> &M {
        &self.latest
    }

    /// What lives only as long as this leadership.
    pub fn soft(&self) -> &M::Soft {
        &self.soft
    }

    /// Where the next record goes.
    pub fn end(&self) -> Offset {
        self.next
    }

    /// Below this the log is committed.
    pub fn stable(&self) -> Offset {
        self.stable
    }

    /// When [`Ledger::tick`] must be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.latest.deadline(&self.soft)
    }

    /// Decides on the latest state, applies the decision to it, and holds the answers back until the records are committed.
    pub fn propose(&mut self, now: Now, token: Token, command: M::Command, out: &mut Effects<M>) {
        let decision = self.latest.decide(&mut self.soft, now, token, command);
        self.take(decision, out);
    }

    /// Does what time alone demands.
    pub fn tick(&mut self, now: Now, out: &mut Effects<M>) {
        let decision = self.latest.tick(&mut self.soft, now);
        self.take(decision, out);
    }

    /// The log is committed up to `stable`, exclusive.
    pub fn commit(&mut self, stable: Offset, out: &mut Effects<M>) {
        assert!(self.stable <= stable, "what is committed stays committed");
        assert!(stable <= self.next, "committed more than was appended");
        self.stable = stable;
        while self.pending.front().is_some_and(|(offset, _)| *offset < stable) {
            let (offset, record) = self.pending.pop_front().expect("the front was just seen");
            self.committed.apply(offset, &record);
        }
        if self.pending.is_empty() {
            // Both images are equal now; let them share their memory again.
            self.committed = self.latest.clone();
        }
        self.release(out);
    }

    /// The log took a record that is not the machine's, such as a control record, and now ends at `end`.
    pub fn pass(&mut self, end: Offset) {
        assert!(self.next <= end, "a leader's log only grows");
        self.next = end;
    }

    /// Leadership is lost: what was not committed never happened here.
    pub fn resign(mut self, out: &mut Effects<M>) -> M {
        self.release(out);
        let parked = M::parked(&mut self.soft);
        let waiting = self.waiting.drain(..).map(|(_, token, _)| token);
        out.extend(waiting.chain(parked).map(|token| Effect::Refuse { token, refusal: Refusal::Resigned }));
        self.committed
    }

    fn take(&mut self, decision: Decision<M::Record, M::Reply>, out: &mut Effects<M>) {
        let Decision { records, replies } = decision;
        if records.iter().map(M::weight).sum::<usize>() > self.batch_bytes_max {
            out.extend(replies.into_iter().map(|(token, _)| Effect::Refuse { token, refusal: Refusal::TooLarge }));
            return;
        }
        let at = self.next;
        for record in &records {
            self.latest.apply(self.next, record);
            self.pending.push_back((self.next, record.clone()));
            self.next = self.next.next();
        }
        if !records.is_empty() {
            out.push(Effect::Append { at, records });
        }
        // Even a read waits for what it may have seen: the latest state may hold records that are not committed.
        self.waiting.extend(replies.into_iter().map(|(token, reply)| (self.next, token, reply)));
        self.release(out);
    }

    fn release(&mut self, out: &mut Effects<M>) {
        while self.waiting.front().is_some_and(|(offset, ..)| *offset <= self.stable) {
            let (_, token, reply) = self.waiting.pop_front().expect("the front was just seen");
            out.push(Effect::Reply { token, reply });
        }
    }

    /// The laws.
    pub fn check(&self) {
        assert!(self.stable <= self.next);
        assert!(self.pending.iter().all(|(offset, _)| (self.stable..self.next).contains(offset)));
        assert!(self.waiting.iter().all(|(offset, ..)| *offset > self.stable && *offset <= self.next));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Clone, Default, Debug, PartialEq)]
    struct Offsets(BTreeMap<u8, u64>);

    enum Command {
        Commit(u8, u64),
        Fetch(u8),
        Park,
    }

    impl Folded for Offsets {
        type Command = Command;
        type Record = (u8, u64);
        type Reply = Option<u64>;
        type Soft = Vec<Token>;

        fn lead(&self, _: Now) -> Vec<Token> {
            vec![]
        }

        fn decide(
            &self,
            soft: &mut Vec<Token>,
            _: Now,
            token: Token,
            command: Command,
        ) -> Decision<(u8, u64), Option<u64>> {
            match command {
                Command::Commit(key, value) => Decision::write(vec![(key, value)], token, Some(value)),
                Command::Fetch(key) => Decision::reply(token, self.0.get(&key).copied()),
                Command::Park => {
                    soft.push(token);
                    Decision::nothing()
                }
            }
        }

        fn tick(&self, _: &mut Vec<Token>, _: Now) -> Decision<(u8, u64), Option<u64>> {
            Decision::nothing()
        }

        fn deadline(&self, _: &Vec<Token>) -> Option<Instant> {
            None
        }

        fn parked(soft: &mut Vec<Token>) -> Vec<Token> {
            std::mem::take(soft)
        }

        fn apply(&mut self, _: Offset, (key, value): &(u8, u64)) {
            self.0.insert(*key, *value);
        }

        fn weight(_: &(u8, u64)) -> usize {
            9
        }
    }

    fn ledger() -> Ledger<Offsets> {
        Ledger::lead(Offsets::default(), Now::default(), Offset::ZERO, 10)
    }

    fn reply(token: u64, reply: Option<u64>) -> Effect<(u8, u64), Option<u64>> {
        Effect::Reply { token: Token(token), reply }
    }

    #[test]
    fn a_read_waits_for_the_write_that_it_saw() {
        let (mut ledger, mut out) = (ledger(), vec![]);
        ledger.propose(Now::default(), Token(1), Command::Commit(7, 42), &mut out);
        ledger.propose(Now::default(), Token(2), Command::Fetch(7), &mut out);
        assert_eq!(out, [Effect::Append { at: Offset::ZERO, records: vec![(7, 42)] }]);
        assert!(ledger.committed().0.is_empty());
        ledger.check();
        out.clear();
        ledger.commit(Offset(1), &mut out);
        assert_eq!(out, [reply(1, Some(42)), reply(2, Some(42))]);
        assert_eq!(ledger.committed(), ledger.latest());
        ledger.check();
    }

    #[test]
    fn a_resignation_takes_back_what_was_not_committed_and_refuses_all_who_wait() {
        let (mut ledger, mut out) = (ledger(), vec![]);
        ledger.propose(Now::default(), Token(1), Command::Commit(7, 42), &mut out);
        ledger.commit(Offset(1), &mut out);
        ledger.propose(Now::default(), Token(2), Command::Commit(7, 43), &mut out);
        ledger.propose(Now::default(), Token(3), Command::Park, &mut out);
        out.clear();
        let state = ledger.resign(&mut out);
        let refused = |token| Effect::Refuse { token: Token(token), refusal: Refusal::Resigned };
        assert_eq!(out, [refused(2), refused(3)]);
        assert_eq!(state.0, BTreeMap::from([(7, 42)]));
    }

    #[test]
    fn a_decision_too_large_for_a_batch_changes_nothing() {
        let mut ledger = Ledger::lead(Offsets::default(), Now::default(), Offset::ZERO, 8);
        let mut out = vec![];
        ledger.propose(Now::default(), Token(1), Command::Commit(7, 42), &mut out);
        assert_eq!(out, [Effect::Refuse { token: Token(1), refusal: Refusal::TooLarge }]);
        assert_eq!(ledger.end(), Offset::ZERO);
        assert!(ledger.latest().0.is_empty());
    }

    #[test]
    fn a_strangers_record_takes_an_offset_without_changing_the_state() {
        let (mut ledger, mut out) = (ledger(), vec![]);
        ledger.pass(Offset(3));
        ledger.propose(Now::default(), Token(1), Command::Commit(1, 1), &mut out);
        assert_eq!(out, [Effect::Append { at: Offset(3), records: vec![(1, 1)] }]);
        ledger.commit(Offset(4), &mut out);
        assert_eq!(ledger.committed().0.len(), 1);
    }
}
