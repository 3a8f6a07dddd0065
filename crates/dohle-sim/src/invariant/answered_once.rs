//! Whoever asked is answered once at most, and nobody is answered who did not ask.

use std::collections::BTreeSet;

use super::{Invariant, Look};
use crate::fact::{Fact, RequestId};

/// The law, and who still waits.
#[derive(Default)]
pub(super) struct AnsweredOnce {
    waiting: BTreeSet<RequestId>,
}

impl Invariant for AnsweredOnce {
    fn name(&self) -> &'static str {
        "AnsweredOnce"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::Asked { request, .. } => {
                self.waiting.insert(*request);
                Ok(Look::Passed)
            }
            Fact::Answered { request, .. } if self.waiting.remove(request) => Ok(Look::Judged),
            Fact::Answered { request, answer, .. } => Err(format!("{request:?} does not wait and is told {answer:?}")),
            Fact::Appended { .. } | Fact::Advanced { .. } | Fact::Stopped { .. } | Fact::Led { .. } => Ok(Look::Passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{answered, asked, fetch, fetched, tells};
    use super::*;

    #[test]
    fn a_second_answer_is_found_out() {
        let once = [asked(1, fetch()), answered(1, fetched(None), 0)];
        let twice = [asked(1, fetch()), answered(1, fetched(None), 0), answered(1, fetched(None), 0)];
        tells(|| Box::new(AnsweredOnce::default()), &once, &twice);
    }
}
