//! One thread for each core, each with a runtime of its own: a task that was dealt to a core stays there.
//!
//! Owns threads and the dealing; knows nothing of what the tasks do.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::lock::{hold, read, write};
use crate::vital;

/// Makes a task on the core that it was dealt to.
pub(crate) type Task = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// For how long a task lives.
#[derive(Clone, Copy)]
enum Term {
    /// Until it ends by itself.
    Own,
    /// As long as the broker runs.
    Broker,
}

/// How long tasks may take to end when the broker stops.
const GRACE: Duration = Duration::from_secs(3);

/// The cores.
pub(crate) struct Cores {
    /// None once the broker stops.
    inboxes: RwLock<Vec<Inbox>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Inbox {
    tasks: mpsc::UnboundedSender<(Term, Task)>,
    load: Arc<AtomicUsize>,
}

impl Cores {
    /// Starts `count` threads.
    pub(crate) fn start(count: usize) -> io::Result<Arc<Self>> {
        let (mut inboxes, mut threads) = (vec![], vec![]);
        for number in 0..count {
            let (sender, tasks) = mpsc::unbounded_channel();
            let load = Arc::new(AtomicUsize::new(0));
            inboxes.push(Inbox { tasks: sender, load: Arc::clone(&load) });
            let runtime = Builder::new_current_thread;
            let body = move || match runtime().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => runtime.block_on(run(tasks, load)),
                Err(error) => vital::end(&format!("a core has no runtime: {error}")),
            };
            threads.push(vital::spawn(&format!("core-{number}"), body)?);
        }
        Ok(Arc::new(Self { inboxes: RwLock::new(inboxes), threads: Mutex::new(threads) }))
    }

    /// Gives a task to the core with the fewest. When the broker stops, it is waited for.
    pub(crate) fn deal(&self, task: Task) {
        self.give(Term::Own, task);
    }

    /// The same, for a task that would never end: when the broker stops, it is dropped.
    pub(crate) fn keep(&self, task: Task) {
        self.give(Term::Broker, task);
    }

    fn give(&self, term: Term, task: Task) {
        let inboxes = read(&self.inboxes);
        if let Some(idlest) = inboxes.iter().min_by_key(|inbox| inbox.load.load(Ordering::Relaxed)) {
            idlest.give(term, task);
        }
    }

    /// Lets the tasks end, for a few seconds, and waits for the threads.
    pub(crate) fn join(&self) {
        write(&self.inboxes).clear();
        for thread in hold(&self.threads).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a core died");
            }
        }
    }
}

impl Inbox {
    fn give(&self, term: Term, task: Task) {
        self.load.fetch_add(1, Ordering::Relaxed);
        // A core that has ended takes nothing any more: the broker has stopped.
        let _ = self.tasks.send((term, task));
    }
}

/// The life of a core.
async fn run(mut tasks: mpsc::UnboundedReceiver<(Term, Task)>, load: Arc<AtomicUsize>) {
    let (mut running, mut kept) = (JoinSet::new(), JoinSet::new());
    loop {
        tokio::select! {
            task = tasks.recv() => match task {
                Some((Term::Own, task)) => drop(running.spawn_local(task())),
                Some((Term::Broker, task)) => drop(kept.spawn_local(task())),
                None => break,
            },
            Some(ended) = running.join_next(), if !running.is_empty() => note(&load, Term::Own, ended),
            Some(ended) = kept.join_next(), if !kept.is_empty() => note(&load, Term::Broker, ended),
        }
    }
    let all = async {
        while let Some(ended) = running.join_next().await {
            note(&load, Term::Own, ended);
        }
    };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::debug!("tasks still ran when the broker stopped");
    }
}

fn note(load: &AtomicUsize, term: Term, ended: Result<(), JoinError>) {
    load.fetch_sub(1, Ordering::Relaxed);
    match (ended, term) {
        (Ok(()), _) => {}
        (Err(error), Term::Own) => tracing::error!("a task died: {error}"),
        (Err(error), Term::Broker) => vital::end(&format!("a task died that the broker cannot do without: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_spread_and_may_end_before_the_threads_do() {
        let cores = Cores::start(2).unwrap();
        let (sender, names) = std::sync::mpsc::channel();
        for _ in 0..4 {
            let sender = sender.clone();
            cores.deal(Box::new(move || {
                Box::pin(async move {
                    sender.send(std::thread::current().name().map(str::to_owned)).unwrap();
                    tokio::task::yield_now().await;
                })
            }));
        }
        drop(sender);
        let mut names: Vec<_> = names.iter().flatten().collect();
        names.sort();
        names.dedup();
        assert_eq!(names, ["core-0", "core-1"]);
        cores.join();
    }
}
