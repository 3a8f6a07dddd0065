//! Threads that wait for the disk, so that no core does.
//!
//! Owns the threads; what they read is asked by whoever hands them a job, and the answer is an event for him.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::lock::hold;

/// Reads that wait at the same time. A disk works on several better than on one; more only queue elsewhere.
const THREADS: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when this is dropped.
pub(crate) struct Readers {
    // No bound: whoever hands in a job waits for it, and only so many requests are in flight.
    jobs: mpsc::Sender<Job>,
}

/// A job at work: resolves to what it returns, or to none if it died.
pub(crate) struct Pending<T>(oneshot::Receiver<T>);

impl Readers {
    /// Starts the threads.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let inbox = Arc::new(Mutex::new(inbox));
        for number in 0..THREADS {
            let inbox = Arc::clone(&inbox);
            std::thread::Builder::new().name(format!("read-{number}")).spawn(move || work(&inbox))?;
        }
        Ok(Self { jobs })
    }

    /// Has a job done by one of the threads, from now on.
    pub(crate) fn begin<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Pending<T> {
        let (answer, done) = oneshot::channel();
        let job = move || {
            // Who does not wait any more is not told.
            let _ = answer.send(job());
        };
        // Without threads the answer's end goes with the job, and that is what the caller is told.
        let _ = self.jobs.send(Box::new(job));
        Pending(done)
    }
}

impl<T> Future for Pending<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(context).map(Result::ok)
    }
}

fn work(inbox: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // The lock is held by the one thread that waits for the next job, never while one is done.
        let next = hold(inbox).recv();
        let Ok(job) = next else { return };
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
            tracing::error!("a read died");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn jobs_are_done_elsewhere_and_one_that_dies_takes_nobody_along() {
        let readers = Readers::start().unwrap();
        let here = std::thread::current().id();
        for _ in 0..2 * THREADS {
            assert_eq!(readers.begin(|| -> u8 { panic!("on purpose") }).await, None);
        }
        assert_ne!(readers.begin(move || std::thread::current().id()).await, Some(here));
    }
}
