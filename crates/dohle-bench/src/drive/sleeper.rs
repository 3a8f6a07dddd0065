//! How late the machine wakes a thread that only sleeps: what every latency here has in it, whoever is measured. A virtual machine's host that has other
//! things to do shows in it.

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::histogram::Times;

/// Often enough that three hundred of a minute lie beyond its p99, and too seldom to be in anybody's way.
const NAP: Duration = Duration::from_millis(2);

/// A thread that sleeps again and again, until this is dropped.
pub(super) struct Sleeper {
    late: Arc<Mutex<Times>>,
    /// Nothing is ever sent: the thread ends with it.
    _lives: Sender<Infallible>,
}

impl Sleeper {
    pub(super) fn start() -> io::Result<Self> {
        let (late, (lives, alarm)) = (Arc::default(), channel());
        let told = Arc::clone(&late);
        thread::Builder::new().name("sleeper".to_owned()).spawn(move || sleep(&alarm, &told))?;
        Ok(Self { late, _lives: lives })
    }

    /// How late it was woken each time since the last call.
    pub(super) fn take(&self) -> Times {
        std::mem::take(&mut hold(&self.late))
    }
}

fn sleep(alarm: &Receiver<Infallible>, late: &Mutex<Times>) {
    loop {
        let begun = Instant::now();
        match alarm.recv_timeout(NAP) {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        hold(late).record(begun.elapsed().saturating_sub(NAP).as_nanos() as u64);
    }
}

fn hold(late: &Mutex<Times>) -> MutexGuard<'_, Times> {
    late.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_each_time_once() {
        let (begun, mut told) = (Instant::now(), 0);
        let sleeper = Sleeper::start().unwrap();
        while told < 5 {
            told += sleeper.take().count();
            assert!(begun.elapsed() < Duration::from_secs(30), "it sleeps on");
            thread::yield_now();
        }
        assert!(begun.elapsed() >= NAP * told as u32, "nobody wakes before the time");
    }
}
