//! When requests are meant to start: the open loop.
//!
//! Owns the arithmetic alone; the clock is the caller's, in nanoseconds since the run began. A request that starts late,
//! because the broker or the generator is slow, keeps the time at which it was meant to start, and its latency is counted
//! from there: nothing is omitted because everybody waited.

/// An endless row of times, evenly spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Requests in a row of so many seconds …
    seconds: u64,
    /// … are so many.
    requests: u64,
}

impl Schedule {
    /// `records_per_second` is not 0, nor is `records_per_request`.
    pub fn new(records_per_second: u64, records_per_request: u64) -> Self {
        assert!(records_per_second > 0, "a rate is above zero");
        assert!(records_per_request > 0, "a request has records");
        Self { seconds: records_per_request, requests: records_per_second }
    }

    /// When request `number` is meant to start, in nanoseconds.
    pub fn due(&self, number: u64) -> u64 {
        const NANOSECONDS: u128 = 1_000_000_000;
        (u128::from(number) * u128::from(self.seconds) * NANOSECONDS / u128::from(self.requests)) as u64
    }
}

/// The share of a schedule that some of several connections have: request `i` of all is that of connection
/// `i % connections`, so that each has a rhythm of its own which the delay of another does not change.
#[derive(Clone, Debug)]
pub struct Turns {
    schedule: Schedule,
    connections: u64,
    /// The connections that are here, by their number among all, ascending.
    here: Vec<u64>,
    next: usize,
    round: u64,
}

impl Turns {
    /// `here` are numbers below `connections`, ascending, and at least one.
    pub fn new(schedule: Schedule, connections: u64, here: Vec<u64>) -> Self {
        assert!(here.is_sorted_by(|a, b| a < b), "connections ascend");
        assert!(here.last().is_some_and(|last| *last < connections), "there is a connection, and it is one of all");
        Self { schedule, connections, here, next: 0, round: 0 }
    }

    /// When the next request is due.
    pub fn next_due(&self) -> u64 {
        self.due(self.next, self.round)
    }

    /// Whose turn it is, by its place in `here`; the next one's turn comes then.
    pub fn take(&mut self) -> usize {
        let taken = self.next;
        self.next += 1;
        if self.next == self.here.len() {
            self.next = 0;
            self.round += 1;
        }
        taken
    }

    /// When the request `round` (from 0) of the connection at `place` is due.
    pub fn due(&self, place: usize, round: u64) -> u64 {
        self.schedule.due(round * self.connections + self.here[place])
    }
}

#[cfg(test)]
mod tests {
    use super::{Schedule, Turns};

    #[test]
    fn times_are_even_and_do_not_drift() {
        let schedule = Schedule::new(3, 1);
        assert_eq!([0, 1, 2, 3].map(|number| schedule.due(number)), [0, 333_333_333, 666_666_666, 1_000_000_000]);
        assert_eq!(schedule.due(3_000_000_000), 1_000_000_000_000_000_000);
        assert_eq!(Schedule::new(1_000, 10).due(100), 1_000_000_000);
    }

    #[test]
    fn two_threads_share_a_schedule_without_meeting() {
        let schedule = Schedule::new(1_000, 1);
        let mut threads = [Turns::new(schedule, 3, vec![0, 2]), Turns::new(schedule, 3, vec![1])];
        let mut times: Vec<u64> = vec![];
        for (turns, count) in threads.iter_mut().zip([4, 2]) {
            for _ in 0..count {
                times.push(turns.next_due() / 1_000_000);
                turns.take();
            }
        }
        times.sort_unstable();
        assert_eq!(times, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_connection_knows_its_own_times() {
        let turns = Turns::new(Schedule::new(1_000, 1), 4, vec![1, 3]);
        assert_eq!([turns.due(0, 0), turns.due(1, 0), turns.due(0, 2)], [1_000_000, 3_000_000, 9_000_000]);
    }
}
