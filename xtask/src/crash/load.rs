//! The process that puts the load on the broker: orders go in, events come out, a line each.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::event::Event;

/// Events that wait to be taken down; then the load waits.
const EVENTS_MAX: usize = 100_000;

/// The process. Dropping it kills it.
pub(super) struct Load {
    child: Child,
    orders: ChildStdin,
    events: Receiver<Result<Event, String>>,
}

impl Load {
    /// Starts it; it does nothing until it is told to.
    pub(super) fn start(program: &Path, bootstrap: &str, log: &Path) -> Result<Self> {
        let errors = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let mut command = Command::new(program);
        command.arg(bootstrap).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let orders = child.stdin.take().context("the load takes orders")?;
        let output = BufReader::new(child.stdout.take().context("the load tells what happens")?);
        let (sender, events) = mpsc::sync_channel(EVENTS_MAX);
        thread::spawn(move || {
            for line in output.lines() {
                let event = line
                    .map_err(|error| error.to_string())
                    .and_then(|line| Event::parse(&line).ok_or_else(|| format!("the load says `{line}`")));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, orders, events })
    }

    /// Gives an order.
    pub(super) fn order(&mut self, order: &str) -> Result<()> {
        writeln!(self.orders, "{order}").with_context(|| format!("tell the load to {order}"))
    }

    /// The next event; none when there is none before the deadline.
    pub(super) fn next(&mut self, deadline: Instant) -> Result<Option<Event>> {
        match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok(event)) => Ok(Some(event)),
            Ok(Err(error)) => bail!("{error}"),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("the load has ended by itself"),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Whoever ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
