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
use std::sync::{Arc, Mutex, OnceLock, RwLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use self::balance::{Balance, Handover, Load};
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

/// A task that could not go is not told to for so many looks: what it waits for takes long, and it would be held up again and again.
const STAYS_LOOKS: u32 = 50;

thread_local! {
    /// The core that this thread is.
    static HERE: OnceCell<Arc<Gauge>> = const { OnceCell::new() };
}

/// The cores.
pub(crate) struct Cores {
    /// None once the broker stops.
    inboxes: RwLock<Vec<Inbox>>,
    /// Tasks that were given for good.
    kept: AtomicUsize,
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
    /// What tasks have told since the last look that they had done.
    work: AtomicUsize,
    /// Tasks that do so much together are to go,
    leaving: AtomicUsize,
    /// to this core.
    target: AtomicUsize,
}

/// What a task has done since a look.
#[derive(Default)]
pub(crate) struct Work {
    look: u32,
    done: usize,
    /// For how many looks it is not told to go.
    stays: u32,
}

impl Work {
    /// Says that the task was told to go and could not.
    pub(crate) fn stay(&mut self) {
        self.stays = STAYS_LOOKS;
    }
}

/// Notes that a task that could as well go on on another core does so much, in a unit that all such tasks share, and says on which it should go on.
pub(crate) fn stir(work: &mut Work, more: usize) -> Option<usize> {
    HERE.with(|here| here.get()?.stir(work, more))
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
        let cores = Self { inboxes: RwLock::new(inboxes), kept: AtomicUsize::new(0), threads: Mutex::new(threads) };
        let cores = Arc::new(cores);
        if count > 1 {
            // Where nobody has the cores any more, their threads end.
            let balanced = Arc::downgrade(&cores);
            cores.keep(Box::new(move || Box::pin(balance(balanced))));
        }
        Ok(cores)
    }

    /// Gives a task to a core that has time for it. When the broker stops, it is waited for.
    pub(crate) fn deal(&self, task: Task) {
        let inboxes = read(&self.inboxes);
        let core = balance::place(inboxes.iter().map(|inbox| inbox.gauge.busy()));
        if let Some(inbox) = inboxes.get(core) {
            inbox.give(Term::Own, task);
        }
    }

    /// Gives a task that would never end to one core after the other: when the broker stops, it is dropped.
    pub(crate) fn keep(&self, task: Task) {
        let (inboxes, kept) = (read(&self.inboxes), self.kept.fetch_add(1, Ordering::Relaxed));
        if let Some(inbox) = inboxes.get(kept % inboxes.len().max(1)) {
            inbox.give(Term::Broker, task);
        }
    }

    /// Gives a task to the core of this number.
    pub(crate) fn deal_to(&self, core: usize, task: Task) {
        if let Some(inbox) = read(&self.inboxes).get(core) {
            inbox.give(Term::Own, task);
        }
    }

    /// Looks who has much to do, and says who hands over.
    fn look(&self, since: Duration, balance: &mut Balance) {
        let inboxes = read(&self.inboxes);
        let loads: Vec<Load> = inboxes.iter().map(|inbox| inbox.gauge.look(since)).collect();
        for Handover { from, to, work } in balance.look(&loads) {
            inboxes[from].gauge.hand_over(work, to);
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

    /// What was done since the last look. What was to be handed over by now and was not told to go, stays.
    fn look(&self, since: Duration) -> Load {
        let more = self.runtime.get().map_or(0, |runtime| self.more_of(runtime));
        let part = (more as f64 / since.as_nanos() as f64).min(1.0);
        self.busy.store((part * 1e3) as u32, Ordering::Relaxed);
        self.leaving.store(0, Ordering::Relaxed);
        Load { busy: part, work: self.work.swap(0, Ordering::Relaxed) }
    }

    /// For how many nanoseconds it was busy since the last look; for ever where it is, and has not come so far that it counts.
    fn more_of(&self, runtime: &Handle) -> u64 {
        let metrics = runtime.metrics();
        let busy = metrics.worker_total_busy_duration(0).as_nanos() as u64;
        let more = busy - self.busy_until.swap(busy, Ordering::Relaxed);
        let is_awake = metrics.worker_park_unpark_count(0).is_multiple_of(2);
        if more == 0 && is_awake { u64::MAX } else { more }
    }

    fn hand_over(&self, work: usize, target: usize) {
        self.target.store(target, Ordering::Relaxed);
        self.leaving.store(work, Ordering::Release);
    }

    /// From here on everybody is counted, and may be told to go, once more.
    fn end_look(&self) {
        self.looks.fetch_add(1, Ordering::Release);
    }

    /// A task tells once between two looks what it has done, and goes if that is no more than what is to go and it could when it was told last.
    fn stir(&self, work: &mut Work, more: usize) -> Option<usize> {
        work.done += more;
        let looks = self.looks.load(Ordering::Acquire);
        if work.look == looks {
            return None;
        }
        let done = std::mem::take(&mut work.done);
        work.look = looks;
        self.work.fetch_add(done, Ordering::Relaxed);
        if let Some(stays) = work.stays.checked_sub(1) {
            work.stays = stays;
            return None;
        }
        let goes = self
            .leaving
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |leaving| leaving.checked_sub(done))
            .is_ok_and(|leaving| leaving > 0);
        goes.then(|| self.target.load(Ordering::Relaxed))
    }
}

/// Lets cores hand over, as long as there are any.
async fn balance(cores: Weak<Cores>) {
    let (mut last, mut balance) = (Instant::now(), Balance::default());
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(cores) = cores.upgrade() else { return };
        let now = Instant::now();
        cores.look(now - last, &mut balance);
        last = now;
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
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn tasks_are_dealt_and_sent_to_a_core_and_may_end_before_the_threads_do() {
        let cores = Cores::start(2).unwrap();
        let (sender, names) = mpsc::channel();
        let task = || -> Task {
            let sender = sender.clone();
            Box::new(move || {
                Box::pin(async move {
                    sender.send(name()).unwrap();
                    tokio::task::yield_now().await;
                })
            })
        };
        (0..3).for_each(|_| cores.deal(task()));
        cores.deal_to(1, task());
        drop(sender);
        let names: Vec<_> = names.iter().collect();
        assert_eq!(names.len(), 4);
        assert!(names.contains(&"core-1".to_owned()));
        cores.join();
    }

    #[test]
    fn who_does_no_more_than_what_is_to_go_goes_and_each_is_asked_once_between_two_looks() {
        let gauge = Gauge::default();
        gauge.end_look();
        let mut tasks = [5, 50, 10, 10, 10].map(|done| Work { done, ..Work::default() });
        assert!(tasks.iter_mut().all(|task| gauge.stir(task, 0).is_none()), "nobody is told to go");
        assert_eq!(gauge.look(LOOK_EVERY).work, 85);
        gauge.hand_over(27, 7);
        gauge.end_look();
        let done = [5, 50, 10, 10, 10];
        let mut told: Vec<_> = tasks.iter_mut().zip(done).map(|(task, done)| gauge.stir(task, done)).collect();
        told.extend(tasks.iter_mut().map(|task| gauge.stir(task, 1)));
        assert_eq!(told, [Some(7), None, Some(7), Some(7), None, None, None, None, None, None]);
        gauge.hand_over(27, 7);
        assert_eq!(gauge.look(LOOK_EVERY).work, 85);
        gauge.end_look();
        assert_eq!(gauge.stir(&mut tasks[0], 1), None, "what was not told in time stays");
    }

    #[test]
    fn who_could_not_go_is_left_alone_for_a_while_and_others_go() {
        let (gauge, mut stuck) = (Gauge::default(), Work::default());
        let look = |work: &mut Work| {
            gauge.look(LOOK_EVERY);
            gauge.hand_over(usize::MAX, 7);
            gauge.end_look();
            gauge.stir(work, 5)
        };
        assert_eq!(look(&mut stuck), Some(7));
        stuck.stay();
        assert!((0..STAYS_LOOKS).all(|_| look(&mut stuck).is_none()));
        assert_eq!(look(&mut Work::default()), Some(7));
        assert_eq!(look(&mut stuck), Some(7));
    }

    #[test]
    fn a_core_that_works_is_busy_and_hands_over_what_can_go() {
        let cores = Cores::start(2).unwrap();
        let (sender, names) = mpsc::channel();
        (0..4).for_each(|_| cores.deal_to(0, worker(&cores, &sender, works)));
        let begun = Instant::now();
        while names.recv_timeout(PATIENCE).unwrap() != "core-1" {
            assert!(begun.elapsed() < PATIENCE, "nobody went");
        }
        drop(names);
        cores.join();
    }

    #[test]
    fn tasks_that_do_little_on_two_cores_come_together() {
        let cores = Cores::start(2).unwrap();
        let (sender, names) = mpsc::channel();
        let rests = || tokio::time::sleep(Duration::from_millis(2));
        (0..4).for_each(|task| cores.deal_to(task % 2, worker(&cores, &sender, rests)));
        let (begun, mut gathered) = (Instant::now(), 0);
        // Of those on the second core nobody has said a word for as long as all of them say many.
        while gathered < 1_000 {
            assert!(begun.elapsed() < PATIENCE, "they are still apart");
            gathered = if names.recv_timeout(PATIENCE).unwrap() == "core-0" { gathered + 1 } else { 0 };
        }
        drop(names);
        cores.join();
    }

    #[test]
    fn threads_end_when_nobody_has_the_cores_any_more() {
        let cores = Cores::start(2).unwrap();
        let threads: Vec<_> = hold(&cores.threads).drain(..).collect();
        drop(cores);
        assert!(threads.into_iter().all(|thread| thread.join().is_ok()));
    }

    fn name() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    async fn works() {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(100) {}
        tokio::task::yield_now().await;
    }

    /// Goes on as long as somebody listens, and goes where it is told to.
    fn worker<F: Future<Output = ()> + 'static>(
        cores: &Arc<Cores>,
        sender: &mpsc::Sender<String>,
        step: impl Fn() -> F + Copy + Send + 'static,
    ) -> Task {
        let (cores, sender) = (Arc::clone(cores), sender.clone());
        Box::new(move || {
            Box::pin(async move {
                let mut work = Work::default();
                while sender.send(name()).is_ok() {
                    if let Some(core) = stir(&mut work, 1) {
                        return cores.deal_to(core, worker(&cores, &sender, step));
                    }
                    step().await;
                }
            })
        })
    }
}
