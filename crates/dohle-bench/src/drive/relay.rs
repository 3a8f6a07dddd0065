//! How late the machine is with a message that threads only hand on: what every latency here has in it, whoever is measured. A virtual machine's host that
//! has other things to do shows in it, and so does all else that keeps a processor from a thread that was woken.

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::histogram::Times;

/// Often enough that three hundred of a minute lie beyond its p99, and too seldom to be in anybody's way.
const NAP: Duration = Duration::from_millis(2);

/// Three threads that wait: one for the time, as the producer does, one for the first, as the broker does, and one for the second, as the consumer does. They
/// go on until this is dropped.
pub(super) struct Relay {
    late: Arc<Mutex<Times>>,
    /// Nothing is ever sent: the first thread ends with it, and each other with the one before.
    _lives: Sender<Infallible>,
}

impl Relay {
    pub(super) fn start() -> io::Result<Self> {
        let late: Arc<Mutex<Times>> = Arc::default();
        let (lives, alarm) = channel();
        let (start, first) = channel();
        let (hand_on, second) = channel();
        let told = Arc::clone(&late);
        spawn("relay-0", move || send(&alarm, &start))?;
        spawn("relay-1", move || first.iter().try_for_each(|due| hand_on.send(due)).unwrap_or_default())?;
        spawn("relay-2", move || {
            second.iter().for_each(|due: Instant| hold(&told).record(due.elapsed().as_nanos() as u64))
        })?;
        Ok(Self { late, _lives: lives })
    }

    /// How late each message arrived since the last call.
    pub(super) fn take(&self) -> Times {
        std::mem::take(&mut hold(&self.late))
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

/// Sends when each message was due, for as long as somebody listens.
fn send(alarm: &Receiver<Infallible>, start: &Sender<Instant>) {
    loop {
        let due = Instant::now() + NAP;
        if !matches!(alarm.recv_timeout(NAP), Err(RecvTimeoutError::Timeout)) || start.send(due).is_err() {
            return;
        }
    }
}

fn hold(late: &Mutex<Times>) -> MutexGuard<'_, Times> {
    late.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_each_message_once() {
        let (begun, mut told) = (Instant::now(), 0);
        let relay = Relay::start().unwrap();
        while told < 5 {
            told += relay.take().count();
            assert!(begun.elapsed() < Duration::from_secs(30), "nothing arrives");
            thread::yield_now();
        }
        assert!(begun.elapsed() >= NAP * told as u32, "nothing arrives before the time");
    }

    #[test]
    fn its_threads_end_with_it() {
        let relay = Relay::start().unwrap();
        let late = Arc::downgrade(&relay.late);
        drop(relay);
        let begun = Instant::now();
        while late.strong_count() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(30), "the last one still waits");
            thread::yield_now();
        }
    }
}
