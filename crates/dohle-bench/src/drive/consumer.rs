//! One consumer at one broker: a connection, a fetch session, and the position in each partition.
//!
//! One request is on its way at a time, as with Kafka's clients. Nothing is allocated once it runs.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use dohle_base::ErrorCode;

use crate::answer;
use crate::answer::fetch::{Partition, batches};
use crate::failure::Failure;
use crate::request::fetch::{self, Session, Terms, Wanted};
use crate::tally::{Flow, Tally, Window};
use crate::template::first_stamp;
use crate::wire::call::Call;
use crate::wire::cluster::{EARLIEST, list_offsets};
use crate::wire::link::Link;

/// How long a consumer rests after an error, so that it does not ask in a circle.
const REST: u64 = 100_000_000;
const SESSIONS_SINCE: i16 = 7;

/// A topic's partitions on one broker.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) name: String,
    /// The topic's id, or its name in versions without.
    pub(crate) topic: Vec<u8>,
    /// The place of its first position; the others follow in the order of their numbers.
    pub(crate) first: usize,
    pub(crate) count: usize,
}

/// Where a consumer stands in a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub(crate) lane: usize,
    pub(crate) partition: i32,
    /// The next offset.
    pub(crate) next: i64,
    /// Up to where it is to be read; `i64::MAX` without an end.
    pub(crate) end: i64,
}

/// A consumer as it is opened.
pub(crate) struct Opened {
    pub(crate) link: Link,
    pub(crate) address: Arc<str>,
    pub(crate) terms: Terms,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) positions: Vec<Position>,
    /// Whether checksums are verified.
    pub(crate) check: bool,
    /// Whether records carry the time at which they were meant to leave.
    pub(crate) stamped: bool,
}

pub(crate) struct Consumer {
    link: Link,
    desk: Desk,
}

struct Desk {
    address: Arc<str>,
    terms: Terms,
    lanes: Vec<Lane>,
    positions: Vec<Position>,
    check: bool,
    stamped: bool,
    session: Session,
    correlation: i32,
    /// Positions that the next request names, those of one topic side by side.
    moved: Vec<usize>,
    /// Partitions whose position is not there any more.
    lost: Vec<usize>,
    /// Positions that are not at their end.
    open: usize,
    request: Vec<u8>,
    /// Bytes of the request that are out.
    sent: usize,
    /// Whether an answer is waited for.
    asked: bool,
    rests_until: u64,
}

/// What a consumer counts into.
pub(crate) struct Count<'a> {
    pub(crate) tally: &'a mut Tally,
    pub(crate) window: Window,
    /// Whether what arrives is what is told each second.
    pub(crate) tells_times: bool,
    /// Records that were read since the run began.
    pub(crate) read: &'a mut u64,
    /// Called with the first error of all.
    pub(crate) complain: &'a mut dyn FnMut(String),
}

impl Consumer {
    pub(crate) fn new(opened: Opened) -> Self {
        let open = opened.positions.iter().filter(|it| it.next < it.end).count();
        let desk = Desk {
            address: opened.address,
            terms: opened.terms,
            moved: (0..opened.positions.len()).collect(),
            lost: Vec::with_capacity(opened.positions.len()),
            lanes: opened.lanes,
            positions: opened.positions,
            check: opened.check,
            stamped: opened.stamped,
            session: Session::default(),
            correlation: 0,
            open,
            request: vec![],
            sent: 0,
            asked: false,
            rests_until: 0,
        };
        Self { link: opened.link, desk }
    }

    /// Whether everything was read that was to be read.
    pub(crate) fn is_done(&self) -> bool {
        self.desk.open == 0
    }

    /// When it asks again, if it rests.
    pub(crate) fn wakes_at(&self) -> Option<u64> {
        (!self.desk.asked).then_some(self.desk.rests_until)
    }

    /// Asks for more, unless it has asked or rests.
    pub(crate) fn ask(&mut self, now: u64) -> Result<(), Failure> {
        if !self.desk.asked && now >= self.desk.rests_until {
            self.desk.relocate()?;
            self.desk.write_request();
            self.flush()?;
        }
        Ok(())
    }

    /// Goes on asking, and takes the answers that have come.
    pub(crate) fn on_ready(&mut self, now: impl Fn() -> u64, count: &mut Count) -> Result<(), Failure> {
        self.flush()?;
        loop {
            let more = self.link.fill().map_err(|source| self.desk.broken(source))?;
            let now = now();
            let mut answered = false;
            while let Some(frame) = self.link.frame().map_err(|source| self.desk.broken(source))? {
                self.desk.take_answer(frame, now, count)?;
                answered = true;
            }
            if answered {
                self.ask(now)?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        while self.desk.sent < self.desk.request.len() {
            let rest = [IoSlice::new(&self.desk.request[self.desk.sent..])];
            match self.link.write(&rest).map_err(|source| self.desk.broken(source))? {
                0 => break,
                written => self.desk.sent += written,
            }
        }
        Ok(())
    }
}

impl Desk {
    fn broken(&self, source: io::Error) -> Failure {
        Failure::Lost { address: self.address.to_string(), source }
    }

    fn write_request(&mut self) {
        let wanted = self.moved.iter().map(|place| {
            let Position { lane, partition, next, .. } = self.positions[*place];
            Wanted { topic: &self.lanes[lane].topic, partition, offset: next }
        });
        self.correlation = self.correlation.wrapping_add(1);
        fetch::write(&mut self.request, self.correlation, &self.terms, self.session, wanted);
        (self.sent, self.asked) = (0, true);
    }

    fn take_answer(&mut self, frame: &[u8], now: u64, count: &mut Count) -> Result<(), Failure> {
        let unreadable = || Failure::Unreadable { address: self.address.to_string() };
        if !self.asked {
            return Err(unreadable());
        }
        self.asked = false;
        self.moved.clear();
        let mut arrived = Arrived { now, flow: Flow { requests: 1, ..Flow::default() } };
        let (version, mut known) = (self.terms.version, true);
        let summary = answer::fetch::read(frame, version, |partition| match self.place(&partition) {
            Some(place) => self.take_partition(place, &partition, &mut arrived, count),
            None => known = false,
        });
        let Some(summary) = summary.ok().filter(|it| known && it.correlation == self.correlation) else {
            return Err(Failure::Unreadable { address: self.address.to_string() });
        };
        *count.read += arrived.flow.records;
        count.tally.second.consumed += arrived.flow;
        if count.window.contains(now) {
            count.tally.consumed += arrived.flow;
        }
        if summary.error != 0 {
            self.refuse(ErrorCode::from_code(summary.error), "fetch", now, count);
        }
        self.go_on(summary.error != 0, summary.session);
        Ok(())
    }

    /// The session of the next request, and the partitions that it names.
    fn go_on(&mut self, failed: bool, session: i32) {
        if !failed && session != 0 && self.terms.version >= SESSIONS_SINCE {
            let epoch = self.session.epoch.checked_add(1).unwrap_or(1);
            self.session = Session { id: session, epoch };
            return;
        }
        self.session = Session::default();
        self.moved.clear();
        self.moved.extend(0..self.positions.len());
    }

    fn place(&self, partition: &Partition) -> Option<usize> {
        let lane = self.lanes.iter().find(|lane| lane.topic == partition.topic)?;
        let positions = &self.positions[lane.first..lane.first + lane.count];
        let found = positions.binary_search_by_key(&partition.partition, |position| position.partition);
        found.ok().map(|place| lane.first + place)
    }

    fn take_partition(&mut self, place: usize, partition: &Partition, arrived: &mut Arrived, count: &mut Count) {
        let before = self.positions[place].next;
        if partition.error != 0 {
            let code = ErrorCode::from_code(partition.error);
            let what = format!("fetch of {}-{}", self.lanes[self.positions[place].lane].name, partition.partition);
            self.refuse(code, &what, arrived.now, count);
            if code == ErrorCode::OffsetOutOfRange {
                self.lost.push(place)
            } else {
                self.moved.push(place)
            }
            return;
        }
        for batch in batches(partition.records) {
            let Ok(batch) = batch else {
                self.complain("UNREADABLE_BATCH", place, count);
                break;
            };
            self.take_batch(place, &batch, arrived, count);
        }
        let Position { next, end, .. } = self.positions[place];
        if next != before {
            self.moved.push(place);
            if before < end && next >= end {
                self.open -= 1;
            }
        }
    }

    fn take_batch(&mut self, place: usize, batch: &answer::fetch::Batch, arrived: &mut Arrived, count: &mut Count) {
        let header = &batch.header;
        let next = self.positions[place].next;
        if header.last_offset().0 < next {
            return;
        }
        if header.base_offset.0 > next {
            self.complain("OFFSET_GAP", place, count);
        }
        if self.check && !batch.is_intact() {
            self.complain("CHECKSUM", place, count);
        }
        let skipped = next.saturating_sub(header.base_offset.0).max(0);
        let records = (i64::from(header.record_count) - skipped).max(0) as u64;
        self.positions[place].next = header.next_offset().0;
        arrived.flow.records += records;
        arrived.flow.bytes += batch.bytes.len() as u64;
        if self.stamped
            && let Some(due) = first_stamp(batch.body()).filter(|due| *due <= arrived.now)
        {
            let time = arrived.now - due;
            if count.window.contains(due) {
                count.tally.end_to_end.record_n(time, records);
            }
            if count.tells_times {
                count.tally.second.times.record_n(time, records);
            }
        }
    }

    fn refuse(&mut self, code: ErrorCode, what: &str, now: u64, count: &mut Count) {
        self.rests_until = now + REST;
        if count.tally.refuse(code) {
            (count.complain)(format!("{what} at {}: {code}", self.address));
        }
    }

    fn complain(&self, name: &'static str, place: usize, count: &mut Count) {
        if count.tally.fail(name) {
            let Position { lane, partition, next, .. } = self.positions[place];
            (count.complain)(format!("{}-{partition} at offset {next}: {name}", self.lanes[lane].name));
        }
    }

    /// Retention has taken what was to be read next: goes on at what is there. Seldom, so that the loop may stand still.
    fn relocate(&mut self) -> Result<(), Failure> {
        if self.lost.is_empty() {
            return Ok(());
        }
        let mut call = Call::dial(&self.address)?;
        for place in std::mem::take(&mut self.lost) {
            let Position { lane, partition, .. } = self.positions[place];
            let offsets = list_offsets(&mut call, &self.lanes[lane].name, &[partition], EARLIEST)?;
            self.positions[place].next = offsets[0];
            if !self.moved.contains(&place) {
                self.moved.push(place);
            }
        }
        self.moved.sort_unstable();
        Ok(())
    }
}

/// What one answer brought.
struct Arrived {
    now: u64,
    flow: Flow,
}

impl AsFd for Consumer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}
