//! What must hold whatever happens, one law a file. Each judges the facts of a run, and each has a test in which a bad
//! run is found out.

mod acked_durable;
mod acked_is_kept;
mod answered_once;
mod committed_offset_monotonic;
mod generation_monotonic;
mod no_answer_while_loading;
mod old_generation_commits_nothing;
mod one_owner;
mod recovered_equals_durable;
mod safe_is_synced;

#[cfg(test)]
mod story;

use std::collections::BTreeMap;
use std::fmt;

use dohle_base::Offset;
use dohle_coordinator::Record;

use crate::coverage::Coverage;
use crate::fact::Fact;

/// A law that judges facts as they come.
pub trait Invariant<F = Fact> {
    /// The law's name.
    fn name(&self) -> &'static str;

    /// Takes a fact in; says what is wrong if the law is broken by it, and whether there was anything to judge.
    fn judge(&mut self, fact: &F) -> Result<Look, String>;
}

/// Whether a law had something to say about a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The fact was judged and found good.
    Judged,
    /// The fact is no business of this law.
    Passed,
}

/// Where the last record of each key lies in a log: what lies before it may be gone.
#[derive(Debug, Default)]
struct LastOfKeys(BTreeMap<Vec<u8>, Offset>);

impl LastOfKeys {
    fn of(log: &[(Offset, Record)]) -> Self {
        Self(log.iter().map(|(offset, record)| (key_of(record), *offset)).collect())
    }

    /// Whether a record at `offset` was written again later.
    fn is_behind(&self, record: &Record, offset: Offset) -> bool {
        self.0.get(&key_of(record)).is_some_and(|last| *last > offset)
    }
}

fn key_of(record: &Record) -> Vec<u8> {
    record.encode().map(|encoded| encoded.key.to_vec()).unwrap_or_default()
}

/// A broken law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The law.
    pub invariant: &'static str,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// The laws of a world, and the first that was broken in it.
pub(crate) struct Court<F> {
    laws: Vec<Box<dyn Invariant<F>>>,
    violation: Option<Violation>,
}

impl<F> Court<F> {
    /// Nothing has happened yet.
    pub(crate) fn new(laws: Vec<Box<dyn Invariant<F>>>) -> Self {
        Self { laws, violation: None }
    }

    /// Lets every law judge a fact.
    pub(crate) fn judge(&mut self, fact: &F, coverage: &mut Coverage) {
        for law in &mut self.laws {
            match law.judge(fact) {
                Ok(Look::Judged) => *coverage.looks.entry(law.name()).or_default() += 1,
                Ok(Look::Passed) => {}
                Err(what) => {
                    self.violation.get_or_insert(Violation { invariant: law.name(), what });
                }
            }
        }
    }

    /// Notes what was seen to be wrong by other means.
    pub(crate) fn fail(&mut self, invariant: &'static str, what: String) {
        self.violation.get_or_insert(Violation { invariant, what });
    }

    /// The first law that was broken.
    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }
}

/// All laws, new.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(acked_durable::AckedDurable::default()),
        Box::new(acked_is_kept::AckedIsKept::default()),
        Box::new(answered_once::AnsweredOnce::default()),
        Box::new(committed_offset_monotonic::CommittedOffsetMonotonic::default()),
        Box::new(generation_monotonic::GenerationMonotonic::default()),
        Box::new(no_answer_while_loading::NoAnswerWhileLoading),
        Box::new(old_generation_commits_nothing::OldGenerationCommitsNothing::default()),
        Box::new(one_owner::OneOwner::default()),
        Box::new(recovered_equals_durable::RecoveredEqualsDurable::default()),
        Box::new(safe_is_synced::SafeIsSynced::default()),
    ]
}
