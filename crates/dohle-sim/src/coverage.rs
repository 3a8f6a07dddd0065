//! What was tried at all: a fault that never came and a refusal that nobody ever got prove nothing.

use std::collections::BTreeMap;

use dohle_base::ErrorCode;

pub use crate::weather::Fault;

/// Counts over one run or many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// How often each fault came.
    pub faults: BTreeMap<Fault, u64>,
    /// How often each code was answered, [`ErrorCode::None`] included.
    pub codes: BTreeMap<ErrorCode, u64>,
    /// How often an invariant had something to look at.
    pub looks: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// Notes a fault.
    pub(crate) fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    /// Notes an answer.
    pub(crate) fn code(&mut self, code: ErrorCode) {
        *self.codes.entry(code).or_default() += 1;
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        other.faults.iter().for_each(|(fault, count)| *self.faults.entry(*fault).or_default() += count);
        other.codes.iter().for_each(|(code, count)| *self.codes.entry(*code).or_default() += count);
        other.looks.iter().for_each(|(name, count)| *self.looks.entry(name).or_default() += count);
    }

    /// The share of answers that were no refusal, in 1,000.
    pub fn success_permille(&self) -> u64 {
        let all: u64 = self.codes.values().sum();
        self.codes.get(&ErrorCode::None).copied().unwrap_or(0) * 1_000 / all.max(1)
    }
}
