//! What must not go on after a law was broken: the threads without which a broker only seems to serve, and what a lock guards.
//!
//! Owns the one decision: the process ends at once, as if it had been killed. The next start recovers everything that was acknowledged.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

/// Starts a thread whose death is the process's.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let named = name.to_owned();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if catch_unwind(AssertUnwindSafe(body)).is_err() {
            end(&format!("thread {named} died"));
        }
    })
}

/// Ends the process.
pub(crate) fn end(why: &str) -> ! {
    tracing::error!("{why}: the broker ends, the next start recovers what was acknowledged");
    std::process::abort()
}
