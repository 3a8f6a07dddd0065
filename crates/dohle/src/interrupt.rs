//! The end as the outside wants it: Ctrl-C, or the signal of whoever supervises the process.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Waits for the first SIGINT or SIGTERM. From the call on, they do not end the process by themselves.
pub(crate) fn wait() -> impl Future<Output = io::Result<()>> {
    // Not inside of the future: it runs only once somebody waits, and until then a signal would kill.
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (mut terminated, mut interrupted) = (signals.0?, signals.1?);
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        Ok(())
    }
}
