//! The end as the outside wants it: Ctrl-C, or the signal of whoever supervises the process.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Waits for the first SIGINT or SIGTERM. From the call on, they do not end the process by themselves.
pub(crate) async fn wait() -> io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    Ok(())
}
