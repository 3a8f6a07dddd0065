//! Standing watches: whoever follows many partitions is told of those that have news, and of no others.
//!
//! Owns the way from a partition to the letterbox of the one who watches; what the news are, he finds out by looking.
//! Laws: a partition changes first and tells then, without its lock; the watcher takes the word out of his letterbox, lets the watch be told
//! again, and looks only then. So a change is either seen by the look or told after it. A letterbox holds one word of each watch at most.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

use super::Partition;
use crate::lock::hold;

/// The most watches of one partition; one more is refused.
const WATCHES_MAX: usize = 100_000;

/// What a watcher calls a partition that it watches.
pub(crate) type Place = u32;

/// Where partitions leave word for one watcher.
#[derive(Debug, Default)]
pub(crate) struct Letterbox(Mutex<Mail>);

#[derive(Debug, Default)]
struct Mail {
    /// The places that have news.
    words: Vec<Place>,
    /// The round that may wait here: an earlier one was overtaken.
    round: i32,
    waker: Option<Waker>,
}

/// A place of a partition's list and one of a letterbox, given up when dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    place: Place,
    /// Whether the word lies in the letterbox. Only ever swapped, so that whoever takes the flag back sees what was changed before each
    /// attempt to set it.
    told: AtomicBool,
    letterbox: Arc<Letterbox>,
}

/// Who watches a partition. Watches that were given up go when the list would grow, or is told.
#[derive(Debug, Default)]
pub(super) struct Watchers(Mutex<Vec<Weak<Watch>>>);

/// A later request of the same session came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overtaken;

impl Partition {
    /// Watches from now on; none where too many do. The watch begins with a word, because what the watcher has seen was before it.
    pub(crate) fn watch(&self, place: Place, letterbox: &Arc<Letterbox>) -> Option<Arc<Watch>> {
        self.watchers.admit(place, letterbox)
    }
}

impl Watchers {
    /// Tells all that there are news. Called without the partition's lock.
    pub(super) fn tell(&self) {
        // One alone, as most are, costs no allocation.
        let (mut last, mut others) = (None, vec![]);
        // The list is short, and a word left in a letterbox is a few instructions.
        hold(&self.0).retain(|watch| {
            let Some(watch) = watch.upgrade() else { return false };
            if let Some(waker) = watch.tell() {
                others.extend(last.replace(waker));
            }
            true
        });
        // To wake who waits on another core is a system call, for which nobody else should wait here.
        others.into_iter().chain(last).for_each(Waker::wake);
    }

    fn admit(&self, place: Place, letterbox: &Arc<Letterbox>) -> Option<Arc<Watch>> {
        let watch = Arc::new(Watch { place, told: AtomicBool::new(true), letterbox: Arc::clone(letterbox) });
        let mut watchers = hold(&self.0);
        if watchers.len() == watchers.capacity() || watchers.len() >= WATCHES_MAX {
            watchers.retain(|watch| watch.strong_count() > 0);
            // Room for as many as there are, so that the list is swept once in as many watches.
            let room = watchers.len().max(1);
            watchers.reserve_exact(room);
        }
        if watchers.len() >= WATCHES_MAX {
            return None;
        }
        watchers.push(Arc::downgrade(&watch));
        drop(watchers);
        let waker = watch.letterbox.post(place);
        let _ = waker.map(Waker::wake);
        Some(watch)
    }
}

impl Watch {
    /// Leaves the word; answers with who is to be woken for it.
    fn tell(&self) -> Option<Waker> {
        if self.claim() { self.letterbox.post(self.place) } else { None }
    }

    /// Whether the word is to be left: not if it lies in the letterbox already.
    fn claim(&self) -> bool {
        !self.told.swap(true, Ordering::AcqRel)
    }

    /// The word was taken: the next change is told again. The partition is looked at after this.
    pub(crate) fn rearm(&self) {
        self.told.swap(false, Ordering::AcqRel);
    }
}

impl Letterbox {
    /// Answers with who is to be woken. On the core where he waits too, he has his turn in the same turn of the loop.
    fn post(&self, place: Place) -> Option<Waker> {
        let mut mail = hold(&self.0);
        mail.words.push(place);
        mail.waker.take()
    }

    /// Takes out what lies here.
    pub(crate) fn take(&self, mut word: impl FnMut(Place)) {
        hold(&self.0).words.drain(..).for_each(&mut word);
    }

    /// Lets only this round wait here from now on.
    pub(crate) fn begin(&self, round: i32) {
        let waker = {
            let mut mail = hold(&self.0);
            mail.round = round;
            mail.waker.take()
        };
        let _ = waker.map(Waker::wake);
    }

    /// Waits until there is a word.
    pub(crate) fn word(&self, round: i32) -> Waiting<'_> {
        Waiting { letterbox: self, round }
    }
}

/// A round that waits for a word.
pub(crate) struct Waiting<'a> {
    letterbox: &'a Letterbox,
    round: i32,
}

impl Future for Waiting<'_> {
    type Output = Result<(), Overtaken>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Overtaken>> {
        let mut mail = hold(&self.letterbox.0);
        if mail.round != self.round {
            return Poll::Ready(Err(Overtaken));
        }
        if !mail.words.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match &mut mail.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut mail = hold(&self.letterbox.0);
        if mail.round == self.round {
            mail.waker = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A partition of which only the version counts, one who changes it a few times, another one who does, and one who follows it: each
    /// does one indivisible step when it has its turn.
    struct Scene {
        watch: Arc<Watch>,
        letterbox: Arc<Letterbox>,
        version: usize,
        tellers: [Teller; 2],
        reader: Reader,
        seen: usize,
        bell: Arc<Bell>,
    }

    /// Changes the partition and tells: three steps for each change.
    #[derive(Default)]
    struct Teller {
        steps_max: usize,
        steps: usize,
        claimed: bool,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Reader {
        Take,
        Rearm,
        Look,
        Wait,
        /// Waits since the bell had rung so often.
        Parked(usize),
    }

    impl Scene {
        fn new(changes: [usize; 2]) -> Self {
            let tellers = changes.map(|changes| Teller { steps_max: 3 * changes, ..Teller::default() });
            let (watchers, letterbox) = (Watchers::default(), Arc::new(Letterbox::default()));
            let watch = watchers.admit(0, &letterbox).unwrap();
            let (bell, reader) = (Arc::new(Bell::default()), Reader::Wait);
            Self { watch, letterbox, version: 1, tellers, reader, seen: 0, bell }
        }

        /// Who has something to do.
        fn ready(&self) -> Vec<usize> {
            let tellers = (0..2).filter(|teller| self.tellers[*teller].steps < self.tellers[*teller].steps_max);
            let rung = self.bell.0.load(Ordering::Relaxed);
            let reads = self.reader != Reader::Parked(rung);
            tellers.chain(reads.then_some(2)).collect()
        }

        fn step(&mut self, who: usize) {
            if who == 2 {
                return self.read();
            }
            let teller = &mut self.tellers[who];
            match teller.steps % 3 {
                0 => self.version += 1,
                1 => teller.claimed = self.watch.claim(),
                _ if teller.claimed => drop(self.letterbox.post(0).map(Waker::wake)),
                _ => {}
            }
            teller.steps += 1;
        }

        fn read(&mut self) {
            self.reader = match self.reader {
                Reader::Take => {
                    let mut words = 0;
                    self.letterbox.take(|_| words += 1);
                    assert!(words <= 1, "one word of each watch");
                    if words == 0 { Reader::Wait } else { Reader::Rearm }
                }
                Reader::Rearm => {
                    self.watch.rearm();
                    Reader::Look
                }
                Reader::Look => {
                    self.seen = self.version;
                    Reader::Wait
                }
                Reader::Wait | Reader::Parked(_) => {
                    let rung = self.bell.0.load(Ordering::Relaxed);
                    let waker = Waker::from(Arc::clone(&self.bell));
                    let waiting = self.letterbox.word(0);
                    let mut waiting = std::mem::ManuallyDrop::new(waiting);
                    match Pin::new(&mut *waiting).poll(&mut Context::from_waker(&waker)) {
                        Poll::Ready(_) => Reader::Take,
                        Poll::Pending => Reader::Parked(rung),
                    }
                }
            };
        }
    }

    #[test]
    fn in_every_order_of_steps_whoever_waits_has_seen_the_last_change() {
        run_all([1, 1]);
        run_all([2, 0]);
    }

    fn run_all(changes: [usize; 2]) {
        let (mut choices, mut schedules): (Vec<(usize, usize)>, u64) = (vec![], 0);
        loop {
            let (mut scene, mut depth) = (Scene::new(changes), 0);
            loop {
                let ready = scene.ready();
                if ready.is_empty() {
                    break;
                }
                if depth == choices.len() {
                    choices.push((0, ready.len()));
                }
                scene.step(ready[choices[depth].0]);
                depth += 1;
            }
            schedules += 1;
            assert_eq!(scene.seen, scene.version, "{choices:?}");
            // The next schedule: another choice at the last place where there is one.
            while choices.pop_if(|(chosen, of)| *chosen + 1 == *of).is_some() {}
            match choices.last_mut() {
                Some((chosen, _)) => *chosen += 1,
                None => break,
            }
        }
        assert!(schedules > 1_000, "{schedules}");
    }

    #[test]
    fn watches_that_were_given_up_do_not_pile_up() {
        let (watchers, letterbox) = (Watchers::default(), Arc::new(Letterbox::default()));
        let kept: Vec<_> = (0..3).map(|place| watchers.admit(place, &letterbox).unwrap()).collect();
        for place in 0..10_000 {
            drop(watchers.admit(place, &letterbox));
            assert!(hold(&watchers.0).len() <= 2 * (kept.len() + 1));
        }
        watchers.tell();
        assert_eq!(hold(&watchers.0).len(), kept.len());
    }

    #[test]
    fn a_round_that_was_overtaken_ends_and_one_that_has_left_is_not_woken() {
        let (watchers, letterbox, bell) =
            (Watchers::default(), Arc::new(Letterbox::default()), Arc::new(Bell::default()));
        let watch = watchers.admit(7, &letterbox).unwrap();
        let waker = Waker::from(Arc::clone(&bell));
        let mut context = Context::from_waker(&waker);
        letterbox.begin(1);
        letterbox.take(|place| assert_eq!(place, 7));
        watch.rearm();
        let mut first = letterbox.word(1);
        assert!(Pin::new(&mut first).poll(&mut context).is_pending());
        letterbox.begin(2);
        assert_eq!(bell.0.load(Ordering::Relaxed), 1);
        assert_eq!(Pin::new(&mut first).poll(&mut context), Poll::Ready(Err(Overtaken)));
        let mut second = letterbox.word(2);
        assert!(Pin::new(&mut second).poll(&mut context).is_pending());
        drop(first);
        watchers.tell();
        watchers.tell();
        assert_eq!(bell.0.load(Ordering::Relaxed), 2);
        drop(second);
        letterbox.take(drop);
        watch.rearm();
        watchers.tell();
        assert_eq!(bell.0.load(Ordering::Relaxed), 2, "nobody waits");
    }
}
