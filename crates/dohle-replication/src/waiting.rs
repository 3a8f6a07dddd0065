//! Callers who wait for a partition to reach an offset, each with a deadline.
//!
//! Owns tokens, offsets and deadlines; who a token stands for is the shell's to know.
//! Laws: a token waits once; both orders hold the same tokens.

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::{Instant, Offset, Token};

/// Most callers that may wait on one partition; one more is refused.
pub const WAITERS_MAX: usize = 100_000;

/// Tokens ordered by the offset that they wait for, and by the moment at which they give up.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    by_offset: BTreeSet<(Offset, Token)>,
    by_deadline: BTreeSet<(Instant, Token)>,
    terms: BTreeMap<Token, Term>,
}

#[derive(Clone, Copy, Debug)]
struct Term {
    offset: Offset,
    deadline: Instant,
}

impl Waiting {
    /// Lets `token` wait until `offset` is reached or `deadline` has come. Answers false when the room is full.
    #[must_use]
    pub fn admit(&mut self, token: Token, offset: Offset, deadline: Instant) -> bool {
        if self.terms.len() >= WAITERS_MAX {
            return false;
        }
        let earlier = self.terms.insert(token, Term { offset, deadline });
        assert!(earlier.is_none(), "{token:?} waits already");
        self.by_offset.insert((offset, token));
        self.by_deadline.insert((deadline, token));
        true
    }

    /// Takes out every token whose offset is at or below `reached`, in the order of offsets.
    pub fn reach(&mut self, reached: Offset, mut released: impl FnMut(Token)) {
        while let Some((offset, token)) = self.by_offset.first().copied() {
            if offset > reached {
                return;
            }
            self.withdraw(token);
            released(token);
        }
    }

    /// Takes out every token whose deadline has come.
    pub fn expire(&mut self, now: Instant, mut expired: impl FnMut(Token)) {
        while let Some((deadline, token)) = self.by_deadline.first().copied() {
            if deadline > now {
                return;
            }
            self.withdraw(token);
            expired(token);
        }
    }

    /// Takes out one token; false when it does not wait here.
    pub fn withdraw(&mut self, token: Token) -> bool {
        let Some(term) = self.terms.remove(&token) else { return false };
        self.by_offset.remove(&(term.offset, token));
        self.by_deadline.remove(&(term.deadline, token));
        true
    }

    /// Takes out everybody.
    pub fn dismiss(&mut self) -> impl Iterator<Item = Token> {
        self.by_offset.clear();
        self.by_deadline.clear();
        std::mem::take(&mut self.terms).into_keys()
    }

    /// When the next caller gives up.
    pub fn deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The laws.
    pub fn check(&self) {
        assert!(self.by_offset.len() == self.terms.len());
        assert!(self.by_deadline.len() == self.terms.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Waiting {
        let mut waiting = Waiting::default();
        for (token, offset, deadline) in [(1, 10, 300), (2, 5, 100), (3, 10, 200)] {
            assert!(waiting.admit(Token(token), Offset(offset), Instant(deadline)));
        }
        waiting
    }

    #[test]
    fn callers_leave_in_the_order_of_their_offsets() {
        let (mut waiting, mut left) = (three(), vec![]);
        waiting.reach(Offset(9), |token| left.push(token.0));
        assert_eq!(left, [2]);
        waiting.reach(Offset(10), |token| left.push(token.0));
        assert_eq!(left, [2, 1, 3]);
        waiting.check();
        assert!(waiting.is_empty());
    }

    #[test]
    fn callers_give_up_when_their_time_has_come() {
        let (mut waiting, mut left) = (three(), vec![]);
        assert_eq!(waiting.deadline(), Some(Instant(100)));
        waiting.expire(Instant(200), |token| left.push(token.0));
        assert_eq!(left, [2, 3]);
        assert!(waiting.withdraw(Token(1)));
        assert!(!waiting.withdraw(Token(1)));
        waiting.check();
    }
}
