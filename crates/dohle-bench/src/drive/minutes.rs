//! The measured window minute by minute: whether a broker stays as it is.

use super::watch::Seen;
use crate::histogram::Times;
use crate::report::Minute;
use crate::tally::Second;

const SECONDS: u32 = 60;

/// Minutes that are over, and the one that is not.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    over: Vec<Minute>,
    seconds: u32,
    counted: Second,
    relayed: Times,
    /// What the host had taken when the minute began; of the first one, at the end of its first second.
    stolen_before: Option<f64>,
}

impl Minutes {
    /// Counts a second of the measured window, how late the machine was with a bare relay in it, and what was seen at its end.
    pub(super) fn take(&mut self, second: &Second, relayed: &Times, seen: Seen) {
        self.counted.add(second);
        self.relayed.add(relayed);
        let stolen_before = *self.stolen_before.get_or_insert(seen.stolen);
        self.seconds += 1;
        if self.seconds < SECONDS {
            return;
        }
        self.seconds = 0;
        let counted = self.counted.take();
        let flow = if counted.produced.requests > 0 { counted.produced } else { counted.consumed };
        let latency_us = counted.times.percentiles();
        self.stolen_before = Some(seen.stolen);
        self.over.push(Minute {
            records: flow.records,
            latency_us,
            relay_late_us: std::mem::take(&mut self.relayed).percentiles(),
            broker_resident_bytes: seen.resident,
            stolen_cpu_seconds: ((seen.stolen - stolen_before) * 1e3).round() / 1e3,
        });
    }

    /// All whole minutes, if there are two at least: one is the window itself.
    pub(super) fn over(self) -> Vec<Minute> {
        if self.over.len() < 2 { vec![] } else { self.over }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Flow;

    fn second(nanoseconds: u64) -> Second {
        let mut second = Second { produced: Flow { requests: 1, records: 2, bytes: 3 }, ..Second::default() };
        second.times.record(nanoseconds);
        second
    }

    #[test]
    fn each_minute_is_counted_by_itself_and_a_part_of_one_is_not_told() {
        let mut minutes = Minutes::default();
        for number in 0..3 * SECONDS - 1 {
            let time = if number < SECONDS { 1_000 } else { 5_000 };
            let stolen = if number < SECONDS { 5.0 } else { 5.25 };
            minutes.take(&second(time), &second(time / 10).times, Seen { resident: Some(number.into()), stolen });
        }
        let over = minutes.over();
        let told = |minute: &Minute| (minute.records, minute.latency_us.unwrap().p99, minute.broker_resident_bytes);
        assert_eq!(over.iter().map(told).collect::<Vec<_>>(), [(120, 1.0, Some(59)), (120, 5.0, Some(119))]);
        assert_eq!(over.iter().map(|minute| minute.stolen_cpu_seconds).collect::<Vec<_>>(), [0.0, 0.25]);
        assert_eq!(over.iter().map(|minute| minute.relay_late_us.unwrap().p99).collect::<Vec<_>>(), [0.1, 0.5]);
    }

    #[test]
    fn a_single_minute_is_the_window_itself() {
        let mut minutes = Minutes::default();
        (0..SECONDS).for_each(|_| minutes.take(&second(1), &Times::default(), Seen::default()));
        assert_eq!(minutes.over(), []);
    }
}
