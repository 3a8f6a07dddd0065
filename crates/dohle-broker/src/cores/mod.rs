//! One thread for each core, each with a runtime of its own. A task stays on its core; what can end and begin anew elsewhere is told when it should
//! ([`stir`]).
//!
//! Owns threads, the dealing and the balance; knows nothing of what the tasks do.

mod balance;

use std::cell::OnceCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use self::balance::{Handover, Load};
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
/// How often it is looked who has much to do.
const LOOK_EVERY: Duration = Duration::from_millis(100);

thread_local! {
    /// The core that this thread is.
    static HERE: OnceCell<Arc<Gauge>> = const { OnceCell::new() };
}

/// The cores.
pub(crate) struct Cores {
    /// None once the broker stops.
    inboxes: RwLock<Vec<Inbox>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Inbox {
    tasks: mpsc::UnboundedSender<(Term, Task)>,
    gauge: Arc<Gauge>,
}

/// What a core has to do, and what it is to hand over.
#[derive(Default)]
struct Gauge {
    /// Its runtime, once it runs.
    runtime: OnceLock<Handle>,
    /// How long it has been busy until the last look, in nanoseconds.
    busy_until: AtomicU64,
    /// The part of the time between the last two looks in which it was busy, in thousandths.
    busy: AtomicU32,
    /// Looks so far.
    looks: AtomicU32,
    /// Tasks that have done something since the last look.
    stirred: AtomicUsize,
    /// So many of them are to go,
    leaving: AtomicUsize,
    /// to this core.
    target: AtomicUsize,
}

/// Notes that a task does something that could as well go on on another core, and says on which it should. `look` is the task's own, 0 at first: it
/// is asked once between two looks.
pub(crate) fn stir(look: &mut u32) -> Option<usize> {
    HERE.with(|here| here.get()?.stir(look))
}

impl Cores {
    /// Starts `count` threads.
    pub(crate) fn start(count: usize) -> io::Result<Arc<Self>> {
        let (mut inboxes, mut threads) = (vec![], vec![]);
        for number in 0..count {
            let (sender, tasks) = mpsc::unbounded_channel();
            let gauge = Arc::new(Gauge::default());
            inboxes.push(Inbox { tasks: sender, gauge: Arc::clone(&gauge) });
            let runtime = Builder::new_current_thread;
            let body = move || match runtime().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => {
                    gauge.begin(runtime.handle());
                    runtime.block_on(run(tasks));
                }
                Err(error) => vital::end(&format!("a core has no runtime: {error}")),
            };
            threads.push(vital::spawn(&format!("core-{number}"), body)?);
        }
        let cores = Arc::new(Self { inboxes: RwLock::new(inboxes), threads: Mutex::new(threads) });
        if count > 1 {
            let balanced = Arc::clone(&cores);
            cores.keep(Box::new(move || Box::pin(async move { balanced.balance().await })));
        }
        Ok(cores)
    }

    /// Gives a task to a core that has time for it. When the broker stops, it is waited for.
    pub(crate) fn deal(&self, task: Task) {
        self.give(Term::Own, task);
    }

    /// The same, for a task that would never end: when the broker stops, it is dropped.
    pub(crate) fn keep(&self, task: Task) {
        self.give(Term::Broker, task);
    }

    /// Gives a task to the core of this number.
    pub(crate) fn deal_to(&self, core: usize, task: Task) {
        if let Some(inbox) = read(&self.inboxes).get(core) {
            inbox.give(Term::Own, task);
        }
    }

    fn give(&self, term: Term, task: Task) {
        let inboxes = read(&self.inboxes);
        let core = balance::place(inboxes.iter().map(|inbox| inbox.gauge.busy()));
        if let Some(inbox) = inboxes.get(core) {
            inbox.give(term, task);
        }
    }

    /// Lets crowded cores hand over, as long as the broker runs.
    async fn balance(&self) {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = Instant::now();
            self.look(now - last);
            last = now;
        }
    }

    fn look(&self, since: Duration) {
        let inboxes = read(&self.inboxes);
        let loads: Vec<Load> = inboxes.iter().map(|inbox| inbox.gauge.look(since)).collect();
        for Handover { from, to, count } in balance::handovers(&loads) {
            inboxes[from].gauge.hand_over(count, to);
        }
        inboxes.iter().for_each(|inbox| inbox.gauge.end_look());
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
        // A core that has ended takes nothing any more: the broker has stopped.
        let _ = self.tasks.send((term, task));
    }
}

impl Gauge {
    /// Says that this thread is the core.
    fn begin(self: &Arc<Self>, runtime: &Handle) {
        let _ = self.runtime.set(runtime.clone());
        HERE.with(|here| drop(here.set(Arc::clone(self))));
    }

    fn busy(&self) -> f64 {
        f64::from(self.busy.load(Ordering::Relaxed)) / 1e3
    }

    /// What was done since the last look. What was to be handed over by now and was not, stays.
    fn look(&self, since: Duration) -> Load {
        let busy =
            self.runtime.get().map_or(0, |runtime| runtime.metrics().worker_total_busy_duration(0).as_nanos() as u64);
        let more = busy - self.busy_until.swap(busy, Ordering::Relaxed);
        self.busy.store((more as f64 / since.as_nanos() as f64 * 1e3) as u32, Ordering::Relaxed);
        self.leaving.store(0, Ordering::Relaxed);
        Load { busy: self.busy(), stirred: self.stirred.swap(0, Ordering::Relaxed) }
    }

    fn hand_over(&self, count: usize, target: usize) {
        self.target.store(target, Ordering::Relaxed);
        self.leaving.store(count, Ordering::Relaxed);
    }

    /// From here on everybody is counted, and may be told to go, once more.
    fn end_look(&self) {
        self.looks.fetch_add(1, Ordering::Release);
    }

    fn stir(&self, look: &mut u32) -> Option<usize> {
        let looks = self.looks.load(Ordering::Acquire);
        if std::mem::replace(look, looks) == looks {
            return None;
        }
        self.stirred.fetch_add(1, Ordering::Relaxed);
        let goes =
            self.leaving.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |leaving| leaving.checked_sub(1)).is_ok();
        goes.then(|| self.target.load(Ordering::Relaxed))
    }
}

/// The life of a core.
async fn run(mut tasks: mpsc::UnboundedReceiver<(Term, Task)>) {
    let (mut running, mut kept) = (JoinSet::new(), JoinSet::new());
    loop {
        tokio::select! {
            task = tasks.recv() => match task {
                Some((Term::Own, task)) => drop(running.spawn_local(task())),
                Some((Term::Broker, task)) => drop(kept.spawn_local(task())),
                None => break,
            },
            Some(ended) = running.join_next(), if !running.is_empty() => note(Term::Own, ended),
            Some(ended) = kept.join_next(), if !kept.is_empty() => note(Term::Broker, ended),
        }
    }
    let all = async {
        while let Some(ended) = running.join_next().await {
            note(Term::Own, ended);
        }
    };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::debug!("tasks still ran when the broker stopped");
    }
}

fn note(term: Term, ended: Result<(), JoinError>) {
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
    fn tasks_gather_unless_they_are_sent_elsewhere_and_may_end_before_the_threads_do() {
        let cores = Cores::start(2).unwrap();
        let (sender, names) = std::sync::mpsc::channel();
        let task = || -> Task {
            let sender = sender.clone();
            Box::new(move || {
                Box::pin(async move {
                    sender.send(std::thread::current().name().map(str::to_owned)).unwrap();
                    tokio::task::yield_now().await;
                })
            })
        };
        (0..3).for_each(|_| cores.deal(task()));
        cores.deal_to(1, task());
        drop(sender);
        let mut names: Vec<_> = names.iter().flatten().collect();
        names.sort();
        assert_eq!(names, ["core-0", "core-0", "core-0", "core-1"]);
        cores.join();
    }

    #[test]
    fn as_many_go_as_are_told_to_and_each_is_asked_once_between_two_looks() {
        let gauge = Gauge::default();
        gauge.end_look();
        let mut looks = [0; 5];
        assert!(looks.iter_mut().all(|look| gauge.stir(look).is_none()), "nobody is told to go");
        assert_eq!(gauge.look(LOOK_EVERY).stirred, 5);
        gauge.hand_over(2, 7);
        gauge.end_look();
        let mut told: Vec<_> = looks.iter_mut().map(|look| gauge.stir(look)).collect();
        told.extend(looks.iter_mut().map(|look| gauge.stir(look)));
        assert_eq!(told, [Some(7), Some(7), None, None, None, None, None, None, None, None]);
        gauge.hand_over(2, 7);
        assert_eq!(gauge.look(LOOK_EVERY).stirred, 5);
        gauge.end_look();
        assert_eq!(gauge.stir(&mut looks[0]), None, "what was not handed over in time stays");
    }

    #[test]
    fn a_core_that_works_is_busy_and_hands_over_what_can_go() {
        let cores = Cores::start(2).unwrap();
        let (sender, names) = std::sync::mpsc::channel();
        for _ in 0..4 {
            cores.deal_to(0, worker(&cores, &sender));
        }
        while names.recv().unwrap() != "core-1" {}
        drop(names);
        cores.join();
    }

    /// Works as long as somebody listens, and goes where it is told to.
    fn worker(cores: &Arc<Cores>, sender: &std::sync::mpsc::Sender<String>) -> Task {
        let (cores, sender) = (Arc::clone(cores), sender.clone());
        Box::new(move || {
            Box::pin(async move {
                let (name, mut look) = (std::thread::current().name().unwrap_or_default().to_owned(), 0);
                while sender.send(name.clone()).is_ok() {
                    if let Some(core) = stir(&mut look) {
                        return cores.deal_to(core, worker(&cores, &sender));
                    }
                    let begun = Instant::now();
                    while begun.elapsed() < Duration::from_micros(100) {}
                    tokio::task::yield_now().await;
                }
            })
        })
    }
}
