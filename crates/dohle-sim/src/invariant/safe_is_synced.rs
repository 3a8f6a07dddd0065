//! What is called safe is on the disk, and stays safe: the high watermark is at or below what the disk has confirmed, and
//! never falls while a leader reigns (R4 for one replica).

use dohle_base::Offset;

use super::{Invariant, Look};
use crate::fact::Fact;

/// The law, and the highest watermark of the reign.
#[derive(Default)]
pub(super) struct SafeIsSynced {
    highest: Offset,
}

impl Invariant for SafeIsSynced {
    fn name(&self) -> &'static str {
        "SafeIsSynced"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::Advanced { high_watermark, synced } => {
                if high_watermark > synced {
                    return Err(format!("{high_watermark} is called safe, the disk has confirmed {synced}"));
                }
                if *high_watermark < self.highest {
                    return Err(format!("the high watermark fell from {} to {high_watermark}", self.highest));
                }
                self.highest = *high_watermark;
                Ok(Look::Judged)
            }
            Fact::Led { .. } => {
                self.highest = Offset::ZERO;
                Ok(Look::Passed)
            }
            Fact::Asked { .. } | Fact::Appended { .. } | Fact::Answered { .. } | Fact::Stopped { .. } => {
                Ok(Look::Passed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::tells;
    use super::*;

    fn advanced(high_watermark: i64, synced: i64) -> Fact {
        Fact::Advanced { high_watermark: Offset(high_watermark), synced: Offset(synced) }
    }

    #[test]
    fn a_watermark_ahead_of_the_disk_or_falling_is_found_out() {
        let law = || Box::new(SafeIsSynced::default()) as Box<dyn Invariant>;
        tells(law, &[advanced(3, 3), advanced(5, 6)], &[advanced(4, 3)]);
        tells(law, &[advanced(5, 5), Fact::Led { log: vec![] }, advanced(2, 5)], &[advanced(5, 5), advanced(4, 5)]);
    }
}
