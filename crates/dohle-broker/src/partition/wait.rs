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
