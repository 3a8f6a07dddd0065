//! What was promised, and whether it is kept.
//!
//! Owns the account: every acknowledged record with its offset, every record that anybody has read, every acknowledged commit. A check
//! reads a topic from its first offset to its last and is compared with all of it. Each breach counts once, however often it is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::event::{Event, Mark, Place, Writer};

/// Findings beyond this many are counted and not told.
const FINDINGS_TOLD_MAX: usize = 20;

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) acknowledged: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
    /// What was found, in words.
    pub(super) findings: Vec<String>,
    /// Clients that gave up: no promise was broken, and yet nothing was proven.
    gave_up: u64,
}

/// What kind of promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Breach {
    Lost,
    Duplicated,
    Reordered,
    /// A client, not the broker, did not do its part.
    GaveUp,
}

/// The account of one world.
#[derive(Default)]
pub(super) struct Ledger {
    tally: Tally,
    partitions: BTreeMap<Place, Partition>,
    /// What counted already.
    seen: BTreeSet<(Breach, Place, i64)>,
}

/// What is known of one partition.
#[derive(Default)]
struct Partition {
    /// By offset.
    known: Vec<Option<Known>>,
    /// The highest acknowledged commit, and the highest that was tried.
    committed: Option<i64>,
    committing: Option<i64>,
    /// Numbers from which on nothing may be acknowledged, because a sync has failed.
    barred: BTreeMap<Writer, i64>,
    is_barred: bool,
    check: Option<Check>,
}

/// A record that was seen at an offset.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Known {
    mark: Mark,
    /// Else it was only read.
    is_acknowledged: bool,
}

/// A reading that is under way.
struct Check {
    /// Everything below was acknowledged or read before it began.
    due: i64,
    /// What must at least be committed.
    committed: Option<i64>,
    low: i64,
    high: i64,
    read: BTreeMap<i64, Option<Mark>>,
}

impl Ledger {
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Takes down what the load says.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Acked { place, mark, offset } => self.acked(*place, *mark, *offset),
            Event::Refused { place, mark, why } => {
                self.breach(Breach::GaveUp, *place, mark.number, &format!("{mark} was given up: {why}"));
            }
            Event::Committing { place, offset } => raise(&mut self.at(*place).committing, *offset),
            Event::Committed { place, offset } => raise(&mut self.at(*place).committed, *offset),
            Event::Next { place, mark } => {
                self.at(*place).barred.insert(mark.writer, mark.number);
            }
            Event::Checking { topic } => self.begin(*topic),
            Event::Spans { place, low, high } => {
                if let Some(check) = &mut self.at(*place).check {
                    (check.low, check.high) = (*low, *high);
                }
            }
            Event::Read { place, offset, mark } => self.read(*place, *offset, Some(*mark)),
            Event::Strange { place, offset } => self.read(*place, *offset, None),
            Event::Stands { place, offset } => self.stands(*place, *offset),
            Event::Checked { topic } => self.finish(*topic),
            Event::Trouble(what) => {
                // What a reading did not come to is not lost.
                self.partitions.values_mut().for_each(|partition| partition.check = None);
                self.breach(Breach::GaveUp, Place { topic: 0, partition: -1 }, self.tally.gave_up as i64, what);
            }
            Event::Marked | Event::Drained => {}
        }
    }

    /// The topic is gone.
    pub(super) fn forget(&mut self, topic: u32) {
        self.partitions.retain(|place, _| place.topic != topic);
    }

    /// Nothing that was sent behind the last marks may be acknowledged in this partition, until [`Ledger::unbar`].
    pub(super) fn bar(&mut self, place: Place) {
        self.at(place).is_barred = true;
    }

    /// The broker has begun anew.
    pub(super) fn unbar(&mut self) {
        self.partitions.values_mut().for_each(|partition| partition.is_barred = false);
    }

    fn at(&mut self, place: Place) -> &mut Partition {
        self.partitions.entry(place).or_default()
    }

    fn acked(&mut self, place: Place, mark: Mark, offset: i64) {
        self.tally.acknowledged += 1;
        let partition = self.at(place);
        let is_barred =
            partition.is_barred && partition.barred.get(&mark.writer).is_some_and(|first| mark.number >= *first);
        let before = partition.know(offset, Known { mark, is_acknowledged: true });
        if is_barred {
            let told = format!("{mark} was acknowledged at {offset} although a sync had failed");
            self.breach(Breach::Lost, place, offset, &told);
        }
        if let Some(before) = before.filter(|before| before.mark != mark) {
            let told = format!("offset {offset} was {} and is acknowledged for {mark}", before.mark);
            self.breach(Breach::Lost, place, offset, &told);
        }
    }

    fn begin(&mut self, topic: u32) {
        for (_, partition) in self.partitions.iter_mut().filter(|(place, _)| place.topic == topic) {
            partition.check = Some(Check {
                due: partition.known.len() as i64,
                committed: partition.committed,
                low: 0,
                high: 0,
                read: BTreeMap::new(),
            });
        }
    }

    fn read(&mut self, place: Place, offset: i64, mark: Option<Mark>) {
        let Some(check) = &mut self.at(place).check else { return };
        if check.read.insert(offset, mark).is_some() {
            let told = format!("offset {offset} came twice in one reading");
            self.breach(Breach::Duplicated, place, offset, &told);
        }
    }

    fn stands(&mut self, place: Place, offset: i64) {
        let partition = self.at(place);
        let promised = partition.check.as_ref().and_then(|check| check.committed).unwrap_or(-1);
        let tried = partition.committing.unwrap_or(-1);
        if offset < promised {
            let told = format!("the group's offset went back from {promised} to {offset}");
            self.breach(Breach::Lost, place, promised, &told);
        } else if offset > tried {
            let told = format!("the group's offset is {offset}, and no more than {tried} was ever committed");
            self.breach(Breach::Reordered, place, offset, &told);
        }
    }

    fn finish(&mut self, topic: u32) {
        let places: Vec<Place> = self.partitions.keys().filter(|place| place.topic == topic).copied().collect();
        for place in places {
            let Some(check) = self.at(place).check.take() else { continue };
            for (breach, offset, told) in self.at(place).compare(&check).into_iter().chain(judge_order(&check)) {
                self.breach(breach, place, offset, &told);
            }
            for (offset, mark) in check.read {
                if let Some(mark) = mark {
                    self.at(place).know(offset, Known { mark, is_acknowledged: false });
                }
            }
        }
    }

    fn breach(&mut self, breach: Breach, place: Place, offset: i64, told: &str) {
        if !self.seen.insert((breach, place, offset)) {
            return;
        }
        let tally = &mut self.tally;
        match breach {
            Breach::Lost => tally.lost += 1,
            Breach::Duplicated => tally.duplicated += 1,
            Breach::Reordered => tally.reordered += 1,
            Breach::GaveUp => tally.gave_up += 1,
        }
        if tally.findings.len() < FINDINGS_TOLD_MAX {
            tally.findings.push(format!("{place}: {told}"));
        }
    }
}

impl Partition {
    /// Notes what is at an offset, and says what was noted there before.
    fn know(&mut self, offset: i64, known: Known) -> Option<Known> {
        let place = offset as usize;
        if place >= self.known.len() {
            self.known.resize(place + 1, None);
        }
        let before = self.known[place];
        let is_acknowledged = known.is_acknowledged || before.is_some_and(|before| before.is_acknowledged);
        self.known[place] = Some(Known { mark: known.mark, is_acknowledged });
        before
    }

    /// What was promised and is not as promised.
    fn compare(&self, check: &Check) -> Vec<(Breach, i64, String)> {
        let mut breaches = Vec::new();
        if check.low != 0 {
            breaches.push((Breach::Lost, -1, format!("it begins at {} although nothing may be removed", check.low)));
        }
        for (offset, known) in (0..check.due.max(check.high)).zip(self.known.iter().chain(std::iter::repeat(&None))) {
            let read = check.read.get(&offset);
            let told = match (known, read) {
                (None, Some(Some(_))) => continue,
                (Some(known), Some(Some(mark))) if known.mark == *mark => continue,
                (Some(known), Some(Some(mark))) => format!("offset {offset} was {} and is {mark}", known.mark),
                (Some(known), Some(None)) => format!("offset {offset} was {} and is not whole", known.mark),
                (Some(known), None) if known.is_acknowledged => {
                    format!("{} was acknowledged at {offset} and is not there", known.mark)
                }
                (Some(known), None) => format!("{} was read at {offset} and is not there", known.mark),
                (None, Some(None)) => format!("offset {offset} holds what nobody sent"),
                (None, None) if offset < check.high => format!("there is nothing at offset {offset}"),
                (None, None) => continue,
            };
            breaches.push((Breach::Lost, offset, told));
        }
        breaches
    }
}

/// Whether the records of each writer are there in its order, each once where it says so.
fn judge_order(check: &Check) -> Vec<(Breach, i64, String)> {
    let mut breaches = Vec::new();
    let mut expected: BTreeMap<Writer, i64> = BTreeMap::new();
    let mut skipped: BTreeSet<(Writer, i64)> = BTreeSet::new();
    for (offset, mark) in &check.read {
        let Some(mark) = mark else { continue };
        let next = expected.entry(mark.writer).or_insert(0);
        if mark.number == *next {
            *next += 1;
        } else if mark.number > *next {
            breaches.push((Breach::Reordered, *offset, format!("{mark} at {offset} comes before number {next}")));
            skipped.extend((*next..mark.number).map(|number| (mark.writer, number)));
            *next = mark.number + 1;
        } else if !skipped.remove(&(mark.writer, mark.number)) {
            match mark.writer {
                Writer::Once(_) => {
                    breaches.push((Breach::Duplicated, *offset, format!("{mark} is there again at {offset}")));
                }
                // It was not told whether the first one arrived.
                Writer::Plain(_) => {}
            }
        }
    }
    breaches
}

fn raise(highest: &mut Option<i64>, offset: i64) {
    *highest = Some(highest.map_or(offset, |highest| highest.max(offset)));
}

impl Tally {
    /// Whether nothing was broken.
    pub(super) fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.reordered + self.gave_up == 0
    }

    /// Whether a client has given up.
    pub(super) fn has_given_up(&self) -> bool {
        self.gave_up > 0
    }

    /// Takes over the figures of another world.
    pub(super) fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.gave_up += other.gave_up;
        self.findings.extend(other.findings);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, lost, duplicated, reordered, .. } = self;
        write!(f, "{acknowledged} acknowledged, {lost} lost, {duplicated} duplicated, {reordered} reordered")?;
        match self.gave_up {
            0 => Ok(()),
            gave_up => write!(f, ", {gave_up} given up by a client"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crash-{}:{}", self.topic, self.partition)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.writer {
            Writer::Once(place) => write!(f, "once{place}/{}", self.number),
            Writer::Plain(place) => write!(f, "plain{place}/{}", self.number),
        }
    }
}

#[cfg(test)]
mod tests;
