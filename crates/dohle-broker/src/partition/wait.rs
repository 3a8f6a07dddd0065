//! Waiting until an offset is safe.

use std::sync::Arc;

use dohle_base::{ErrorCode, Instant, Offset, Token};
use dohle_replication::partition::Event;

use super::{Aftermath, Log, Partition};
use crate::clock::Clock;
use crate::lock::hold;

/// What became of a caller who waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything below the offset is safe.
    Safe,
    /// The deadline came first: the records may become safe later.
    Expired,
    /// The partition is not served here any more, or too many wait for it.
    Refused,
}

/// A token that waits on a partition, withdrawn when dropped.
struct Interest {
    partition: Arc<Partition>,
    token: Token,
}

impl Drop for Interest {
    fn drop(&mut self) {
        let token = self.token;
        // On a partition that stopped nobody waits.
        let _ = self.partition.step(|leading, effects| {
            leading.leader.step(Instant::ZERO, Event::Withdrawn { token }, effects);
        });
    }
}

impl Partition {
    /// Waits until everything below `offset` is safe, or `deadline` has come.
    pub(crate) async fn safe(self: &Arc<Self>, clock: &Clock, offset: Offset, deadline: Instant) -> Outcome {
        if self.high_watermark() >= offset {
            return Outcome::Safe;
        }
        let mut waiter = self.waiters.admit();
        let Some(interest) = self.interest(waiter.token(), offset, deadline) else { return Outcome::Refused };
        let outcome = tokio::select! {
            outcome = &mut waiter => outcome,
            () = tokio::time::sleep_until(clock.timer(deadline)) => {
                self.tick(clock.instant().max(deadline));
                waiter.await
            }
        };
        drop(interest);
        outcome.unwrap_or(Outcome::Refused)
    }

    /// Lets `token` be told when `offset` is safe; none if the partition has stopped.
    fn interest(self: &Arc<Self>, token: Token, offset: Offset, deadline: Instant) -> Option<Interest> {
        let awaited = Event::Awaited { token, offset, deadline };
        let stepped = self.step(|leading, effects| leading.leader.step(Instant::ZERO, awaited, effects));
        stepped.ok().map(|()| Interest { partition: Arc::clone(self), token })
    }

    fn tick(self: &Arc<Self>, now: Instant) {
        let _ = self.step(|leading, effects| leading.leader.step(now, Event::Ticked, effects));
    }

    /// Serves nobody any more and says why; whoever waits is refused. Returns the log to close or delete, if there was one.
    pub(crate) fn stop(self: &Arc<Self>, why: ErrorCode) -> Option<Log> {
        let mut aftermath = Aftermath::default();
        let log = hold(&self.state).stop(why, &mut aftermath.effects);
        self.settle(aftermath);
        self.watchers.tell();
        log
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};
    use std::time::Duration;

    use dohle_log::options::Durability;

    use super::super::fixture::Fixture;
    use super::super::watch::Letterbox;
    use super::*;

    /// One who is acknowledged, and looks then how many words have been left.
    struct Producer {
        letterbox: Arc<Letterbox>,
        words: AtomicUsize,
    }

    impl Wake for Producer {
        fn wake(self: Arc<Self>) {
            self.letterbox.take(|_place| {
                self.words.fetch_add(1, Ordering::Relaxed);
            });
        }
    }

    #[test]
    fn who_watches_is_told_before_who_waits() {
        let (fixture, clock) = (Fixture::with(1, Durability::Synced), Clock::start());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let (partition, letterbox) = (&fixture.partitions[0], Arc::new(Letterbox::default()));
        let watch = partition.watch(0, &letterbox).unwrap();
        letterbox.take(drop);
        watch.rearm();
        fixture.append(0);
        let producer = Arc::new(Producer { letterbox, words: AtomicUsize::new(0) });
        let waker = Waker::from(Arc::clone(&producer));
        let mut context = Context::from_waker(&waker);
        let mut safe = pin!(partition.safe(&clock, Offset(1), clock.instant() + Duration::from_secs(60)));
        assert!(safe.as_mut().poll(&mut context).is_pending());
        partition.flush(|| clock.now());
        assert_eq!(safe.as_mut().poll(&mut context), Poll::Ready(Outcome::Safe));
        assert_eq!(producer.words.load(Ordering::Relaxed), 1);
    }
}
