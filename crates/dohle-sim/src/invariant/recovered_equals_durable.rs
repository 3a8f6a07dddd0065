//! A broker that starts finds what it had called safe, and nothing that was never written: its log is a beginning of the
//! one before, but for records of keys that were written again, and reaches at least to the old high watermark (L1 to L5, C1).

use dohle_base::Offset;
use dohle_coordinator::Record;

use super::{Invariant, LastOfKeys, Look};
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
                let end = log.last().map_or(Offset::ZERO, |(offset, _)| offset.next());
                if end < self.safe {
                    return Err(format!("records up to {end} recovered, and up to {} were safe", self.safe));
                }
                if log.iter().any(|(offset, record)| self.written.get(offset.0 as usize) != Some(record)) {
                    return Err("records recovered that were never written".to_owned());
                }
                self.written.truncate(end.0 as usize);
                let lasts = LastOfKeys::of(log);
                let all = self.written.iter().zip((0..).map(Offset));
                let mut gone = all.filter(|(_, offset)| !is_there(log, *offset));
                if let Some((record, offset)) = gone.find(|(record, offset)| !lasts.is_behind(record, *offset)) {
                    return Err(format!("{record:?} at {offset} is gone, and nothing was written in its place"));
                }
                Ok(Look::Judged)
            }
            Fact::Asked { .. } | Fact::Answered { .. } | Fact::Advanced { .. } => Ok(Look::Passed),
        }
    }
}

fn is_there(log: &[(Offset, Record)], offset: Offset) -> bool {
    log.binary_search_by_key(&offset, |(known, _)| *known).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::story::{appended, generation, led, place, tells};
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

    #[test]
    fn a_record_may_be_gone_when_its_key_was_written_again() {
        let law = || Box::new(RecoveredEqualsDurable::default()) as Box<dyn Invariant>;
        let run = |first: Record, last: Record| {
            let log = vec![(Offset(1), last.clone())];
            [appended(1, 0, &[first, last]), Fact::Stopped { high_watermark: Offset(2) }, Fact::Led { log }]
        };
        tells(law, &run(place(1), place(2)), &run(generation(1, &[]), place(2)));
    }
}
