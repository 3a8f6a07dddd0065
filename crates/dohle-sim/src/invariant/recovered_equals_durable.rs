//! A broker that starts finds what it had called safe, and nothing that was never written: its log is a beginning of the
//! one before, and reaches at least to the old high watermark (L1 to L5).

use dohle_base::Offset;
use dohle_coordinator::Record;

use super::{Invariant, Look};
use crate::fact::Fact;

/// The law, and the log as far as it was written.
#[derive(Default)]
pub(super) struct RecoveredEqualsDurable {
    written: Vec<Record>,
    safe: Offset,
}

impl Invariant for RecoveredEqualsDurable {
    fn name(&self) -> &'static str {
        "RecoveredEqualsDurable"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::Appended { at, records, .. } => {
                if at.0 as usize != self.written.len() {
                    return Err(format!("written at {at} behind {}", self.written.len()));
                }
                self.written.extend(records.iter().cloned());
                Ok(Look::Passed)
            }
            Fact::Stopped { high_watermark } => {
                self.safe = *high_watermark;
                Ok(Look::Passed)
            }
            Fact::Led { log } => {
                if (log.len() as i64) < self.safe.0 {
                    return Err(format!("{} records recovered of {} that were safe", log.len(), self.safe));
                }
                if !self.written.starts_with(log) {
                    return Err("records recovered that were never written".to_owned());
                }
                self.written.truncate(log.len());
                Ok(Look::Judged)
            }
            Fact::Asked { .. } | Fact::Answered { .. } | Fact::Advanced { .. } => Ok(Look::Passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{appended, led, place, tells};
    use super::*;

    #[test]
    fn a_log_that_lost_or_invented_records_is_found_out() {
        let law = || Box::new(RecoveredEqualsDurable::default()) as Box<dyn Invariant>;
        let run = |log: &[Record]| {
            [appended(1, 0, &[place(1), place(2), place(3)]), Fact::Stopped { high_watermark: Offset(2) }, led(log)]
        };
        tells(law, &run(&[place(1), place(2)]), &run(&[place(1)]));
        tells(law, &run(&[place(1), place(2), place(3)]), &run(&[place(1), place(9)]));
    }
}
