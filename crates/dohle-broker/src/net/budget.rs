//! Memory for what arrives, counted over the whole node: where it is used up, sockets are not read. That is the only
//! back-pressure that the broker knows.
//!
//! Laws: what is shared out returns when its [`Share`] is dropped; a frame half received can always be finished, because one
//! connection at a time may overdraw.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The node's bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
    returned: Notify,
    overdraft: Arc<Semaphore>,
}

/// A part of the budget, returned when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    bytes: u64,
    overdraft: Option<OwnedSemaphorePermit>,
    budget: Arc<Budget>,
}

impl Budget {
    /// `limit` bytes to share out.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
            returned: Notify::new(),
            overdraft: Arc::new(Semaphore::new(1)),
        })
    }

    /// How much is shared out now, in bytes.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// A share of nothing, to grow.
    pub(crate) fn open(self: &Arc<Self>) -> Share {
        Share { bytes: 0, overdraft: None, budget: Arc::clone(self) }
    }

    /// Waits until there are `bytes` and counts them. Where it had to overdraw, it returns the permit.
    async fn take(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        if self.try_take(bytes) {
            return None;
        }
        loop {
            // Registered before the attempt, so that a return between attempt and wait is not missed.
            let mut returned = std::pin::pin!(self.returned.notified());
            returned.as_mut().enable();
            if self.try_take(bytes) {
                return None;
            }
            tokio::select! {
                () = returned => {}
                permit = Arc::clone(&self.overdraft).acquire_owned() => {
                    self.used.fetch_add(bytes, Ordering::Relaxed);
                    return permit.ok();
                }
            }
        }
    }

    fn try_take(&self, bytes: u64) -> bool {
        let enough = |used: u64| (used + bytes <= self.limit).then_some(used + bytes);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough).is_ok()
    }
}

impl Share {
    /// Waits until there are `bytes` more. Giving up while waiting takes nothing.
    pub(crate) async fn grow(&mut self, bytes: u64) {
        if self.overdraft.is_some() {
            self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        } else {
            self.overdraft = self.budget.take(bytes).await;
        }
        self.bytes += bytes;
    }

    /// How much this share holds, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The frame is complete: nothing more will be asked for, and another may overdraw.
    pub(crate) fn close(&mut self) {
        self.overdraft = None;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
            self.budget.returned.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn one_may_overdraw_and_the_others_wait_until_it_returns_its_share() {
        let budget = Budget::new(100);
        let (mut first, mut second, mut third) = (budget.open(), budget.open(), budget.open());
        first.grow(80).await;
        second.grow(80).await;
        assert_eq!(budget.used(), 160);
        let waiting = tokio::select! {
            biased;
            () = third.grow(50) => false,
            () = std::future::ready(()) => true,
        };
        assert!(waiting && third.bytes() == 0);
        drop(second);
        drop(first);
        third.grow(50).await;
        assert_eq!((third.bytes(), budget.used()), (50, 50));
        drop(third);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_frame_larger_than_the_whole_budget_still_passes() {
        let budget = Budget::new(10);
        let mut share = budget.open();
        share.grow(8).await;
        share.grow(1_000).await;
        share.close();
        assert_eq!(budget.used(), 1_008);
    }
}
