//! When to try again, and what to do first: the waits between attempts and the meaning of an error code.

use std::time::Duration;

use dohle_base::{ErrorCode, Rng};

/// Waits that double from the first to the most, each a fifth more or less by chance (KIP-580).
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// No wait is longer than this, but for chance.
    pub most: Duration,
}

impl Backoff {
    /// How long to wait after `failures` failures in a row; the first failure is 1.
    pub fn wait(&self, failures: u32, rng: &mut Rng) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        let permille = 800 + rng.below(401) as u32;
        doubled.min(self.most) * permille / 1_000
    }
}

/// What an answer's error code asks of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is no error.
    Done,
    /// The same request to the same broker may succeed later.
    Retry,
    /// The leader is elsewhere: ask for metadata, then try again.
    Refresh,
    /// The coordinator is elsewhere: find it, then try again.
    Rediscover,
    /// Trying again would not help.
    Fail,
}

/// What a code asks for.
pub fn judge(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::None => Verdict::Done,
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::UnknownTopicId
        | ErrorCode::InconsistentTopicId
        | ErrorCode::LeaderNotAvailable
        | ErrorCode::NotLeaderOrFollower
        | ErrorCode::ReplicaNotAvailable
        | ErrorCode::FencedLeaderEpoch
        | ErrorCode::KafkaStorageError
        | ErrorCode::NotController
        | ErrorCode::ListenerNotFound => Verdict::Refresh,
        ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => Verdict::Rediscover,
        retriable if retriable.is_retriable() => Verdict::Retry,
        _ => Verdict::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most() {
        let backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) };
        let mut rng = Rng::new(1);
        for (failures, ms) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1_000), (60, 1_000)] {
            let wait = backoff.wait(failures, &mut rng);
            let range = Duration::from_millis(ms * 8 / 10)..=Duration::from_millis(ms * 12 / 10);
            assert!(range.contains(&wait), "{failures}: {wait:?}");
        }
    }

    #[test]
    fn codes_are_sorted_by_what_they_ask_for() {
        let cases = [
            (ErrorCode::None, Verdict::Done),
            (ErrorCode::NotLeaderOrFollower, Verdict::Refresh),
            (ErrorCode::NotCoordinator, Verdict::Rediscover),
            (ErrorCode::CoordinatorLoadInProgress, Verdict::Retry),
            (ErrorCode::RequestTimedOut, Verdict::Retry),
            (ErrorCode::MessageTooLarge, Verdict::Fail),
            (ErrorCode::TopicAuthorizationFailed, Verdict::Fail),
        ];
        for (code, verdict) in cases {
            assert_eq!(judge(code), verdict, "{code}");
        }
    }
}
