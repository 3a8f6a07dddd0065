//! Nothing is answered out of a log that is not read to its end (G2).

use dohle_base::ErrorCode;

use super::{Invariant, Look};
use crate::fact::{Answer, Fact};

/// The law.
pub(super) struct NoAnswerWhileLoading;

impl Invariant for NoAnswerWhileLoading {
    fn name(&self) -> &'static str {
        "NoAnswerWhileLoading"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::Answered { leading: true, .. } => Ok(Look::Passed),
            Fact::Answered { answer: Answer::Refused(code), .. } => match code {
                ErrorCode::CoordinatorLoadInProgress | ErrorCode::NotCoordinator => Ok(Look::Judged),
                _ => Err(format!("refused with {code} while the log was read")),
            },
            Fact::Answered { request, answer: Answer::Reply(reply), .. } => {
                Err(format!("{request:?} was told {reply:?} while the log was read"))
            }
            Fact::Asked { .. }
            | Fact::Appended { .. }
            | Fact::Advanced { .. }
            | Fact::Stopped { .. }
            | Fact::Led { .. } => Ok(Look::Passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use dohle_base::Offset;

    use super::super::story::{fetched, tells};
    use super::*;
    use crate::fact::RequestId;

    #[test]
    fn an_answer_out_of_a_log_half_read_is_found_out() {
        let told = |answer| [Fact::Answered { request: RequestId(1), answer, leading: false, synced: Offset::ZERO }];
        let refused = told(Answer::Refused(ErrorCode::CoordinatorLoadInProgress));
        tells(|| Box::new(NoAnswerWhileLoading), &refused, &told(Answer::Reply(fetched(None))));
    }
}
