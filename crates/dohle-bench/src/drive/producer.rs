//! One producer: a connection, a ring of requests laid out beforehand, and which of them are on their way.
//!
//! Answers come in the order of requests, so that a ring is enough. Nothing is allocated once it runs.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use dohle_base::ErrorCode;

use super::course::Course;
use crate::answer;
use crate::failure::Failure;
use crate::request::produce::Frame;
use crate::tally::{Flow, Tally, Window};
use crate::template::{Sequenced, Template, stamp};
use crate::wire::link::Link;

/// Pieces of one write: more are written by the next.
const PIECES_MAX: usize = 256;
/// Requests of one producer without answers that are sent in one go, before others have their turn.
const UNANSWERED_IN_A_ROW: u64 = 64;

/// Who a producer is to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// A producer as it is opened.
pub(crate) struct Opened {
    pub(crate) link: Link,
    pub(crate) address: Arc<str>,
    /// Of Produce.
    pub(crate) version: i16,
    pub(crate) identity: Option<Identity>,
    pub(crate) course: Course,
    /// A request as it is laid out.
    pub(crate) frame: Frame,
    pub(crate) in_flight: usize,
    /// Not with acks=0.
    pub(crate) answered: bool,
}

/// What all producers of a loop share.
pub(crate) struct Batch {
    pub(crate) template: Template,
    /// Where stamps go, if records carry them.
    pub(crate) stamps: Option<Vec<usize>>,
}

pub(crate) struct Producer {
    link: Link,
    ring: Ring,
}

/// The requests: `answered <= sent <= begun <= answered + requests.len()`.
struct Ring {
    address: Arc<str>,
    version: i16,
    identity: Option<Identity>,
    course: Course,
    requests: Vec<Prepared>,
    begun: u64,
    sent: u64,
    /// Bytes that are out of the first request that is not sent.
    sent_bytes: usize,
    answered: u64,
    has_answers: bool,
    /// Requests that are due and not begun; without a rate there is always one.
    owed: u64,
}

struct Prepared {
    frame: Frame,
    /// Where records are stamped, for they differ from those of other requests then.
    body: Option<Vec<u8>>,
    due: u64,
}

impl Producer {
    pub(crate) fn new(opened: Opened, batch: &Batch) -> Self {
        let body = || batch.stamps.as_ref().map(|_| batch.template.body().to_vec());
        let prepared = |_| Prepared { frame: opened.frame.clone(), body: body(), due: 0 };
        let ring = Ring {
            requests: (0..opened.in_flight).map(prepared).collect(),
            address: opened.address,
            version: opened.version,
            identity: opened.identity,
            course: opened.course,
            begun: 0,
            sent: 0,
            sent_bytes: 0,
            answered: 0,
            has_answers: opened.answered,
            owed: 0,
        };
        Self { link: opened.link, ring }
    }

    /// One more request is due.
    pub(crate) fn owe(&mut self) {
        self.ring.owed += 1;
    }

    /// How many requests are due and not begun.
    pub(crate) fn owed(&self) -> u64 {
        self.ring.owed
    }

    /// How many requests were begun.
    pub(crate) fn begun(&self) -> u64 {
        self.ring.begun
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.ring.answered == self.ring.begun
    }

    /// Sends what is due, as far as the pipeline has room; `due` tells when request `n` of this producer was. Whether it
    /// would go on but leaves the turn to others.
    pub(crate) fn pump(
        &mut self,
        now: u64,
        batch: &Batch,
        due: impl Fn(u64) -> u64,
        count: &mut Count,
    ) -> Result<bool, Failure> {
        let begun = self.ring.begun;
        while self.ring.owed > 0 && self.ring.has_room() {
            self.ring.owed -= 1;
            let due = due(self.ring.begun);
            count.tally.late.record(now.saturating_sub(due));
            self.ring.begin(due, batch);
            self.flush_when_full(now, batch, count)?;
            if !self.ring.has_answers && self.ring.begun - begun >= UNANSWERED_IN_A_ROW {
                break;
            }
        }
        self.flush(now, batch, count)?;
        Ok(self.ring.owed > 0 && self.ring.has_room())
    }

    /// Sends as fast as the pipeline has room. Whether it would go on but leaves the turn to others.
    pub(crate) fn pump_freely(&mut self, now: u64, batch: &Batch, count: &mut Count) -> Result<bool, Failure> {
        let begun = self.ring.begun;
        while self.ring.has_room() && self.ring.begun - begun < UNANSWERED_IN_A_ROW {
            self.ring.begin(now, batch);
            self.flush_when_full(now, batch, count)?;
        }
        self.flush(now, batch, count)?;
        Ok(self.ring.has_room())
    }

    /// Goes on sending, and reads the answers that have come.
    pub(crate) fn on_ready(&mut self, now: impl Fn() -> u64, batch: &Batch, count: &mut Count) -> Result<(), Failure> {
        self.flush(now(), batch, count)?;
        loop {
            let more = self.link.fill().map_err(|source| self.ring.lost(source))?;
            let now = now();
            while let Some(frame) = self.link.frame().map_err(|source| self.ring.lost(source))? {
                self.ring.take_answer(frame, now, batch, count)?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// With acks=0 a request is done when it is written, and the ring is free again.
    fn flush_when_full(&mut self, now: u64, batch: &Batch, count: &mut Count) -> Result<(), Failure> {
        if self.ring.has_answers || self.ring.has_room() { Ok(()) } else { self.flush(now, batch, count) }
    }

    fn flush(&mut self, now: u64, batch: &Batch, count: &mut Count) -> Result<(), Failure> {
        while self.ring.sent < self.ring.begun {
            let (written, all) = self.ring.write(&mut self.link, batch).map_err(|source| self.ring.lost(source))?;
            self.ring.advance(written);
            if !self.ring.has_answers {
                while self.ring.answered < self.ring.sent {
                    self.ring.complete(now, batch, 0, count);
                }
            }
            if !all {
                break;
            }
        }
        Ok(())
    }
}

/// What a producer counts into.
pub(crate) struct Count<'a> {
    pub(crate) tally: &'a mut Tally,
    pub(crate) window: Window,
    /// Whether acknowledgements are what is told each second.
    pub(crate) tells_times: bool,
    /// Records that were acknowledged since the run began.
    pub(crate) acknowledged: &'a mut u64,
    /// Called with the first error of all.
    pub(crate) complain: &'a mut dyn FnMut(String),
}

impl Ring {
    fn has_room(&self) -> bool {
        self.begun - self.answered < self.requests.len() as u64
    }

    fn place(&self, number: u64) -> usize {
        (number % self.requests.len() as u64) as usize
    }

    fn lost(&self, source: io::Error) -> Failure {
        Failure::Lost { address: self.address.to_string(), source }
    }

    /// Stamps the next request.
    fn begin(&mut self, due: u64, batch: &Batch) {
        let place = self.place(self.begun);
        let Prepared { frame, body, due: intended } = &mut self.requests[place];
        *intended = due;
        let template = &batch.template;
        if let Some((body, places)) = body.as_mut().zip(batch.stamps.as_ref()) {
            stamp(body, places, due);
        }
        let stamped = body.as_deref();
        let plain = stamped.map_or_else(|| template.head(), |body| template.head_over(body));
        let identity = self.identity;
        let topic = self.course.take(frame.batches(), template.records(), |number, target| {
            let head = match identity {
                None => plain,
                Some(Identity { id, epoch }) => template.sequenced_head_over(
                    stamped.unwrap_or_else(|| template.body()),
                    Sequenced { id, epoch, sequence: target.sequence },
                ),
            };
            frame.place(number, target.partition, &head);
        });
        frame.address(self.begun as i32, topic);
        self.begun += 1;
    }

    /// Writes of what is begun: how many bytes, and whether that is all that was offered.
    fn write(&self, link: &mut Link, batch: &Batch) -> io::Result<(usize, bool)> {
        let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
        let (mut count, mut offered) = (0, 0);
        let mut skip = self.sent_bytes;
        for number in self.sent..self.begun {
            let Prepared { frame, body, .. } = &self.requests[self.place(number)];
            let body = body.as_deref().unwrap_or_else(|| batch.template.body());
            let goes_on = frame.pieces(body, skip, &mut |piece| {
                if count == PIECES_MAX {
                    return false;
                }
                offered += piece.len();
                pieces[count] = piece;
                count += 1;
                true
            });
            skip = 0;
            if !goes_on {
                break;
            }
        }
        let written = link.write(&pieces[..count])?;
        Ok((written, written == offered))
    }

    fn advance(&mut self, written: usize) {
        let mut left = written;
        while left > 0 {
            let missing = self.requests[self.place(self.sent)].frame.length() - self.sent_bytes;
            if left < missing {
                self.sent_bytes += left;
                return;
            }
            left -= missing;
            self.sent_bytes = 0;
            self.sent += 1;
        }
    }

    fn take_answer(&mut self, frame: &[u8], now: u64, batch: &Batch, count: &mut Count) -> Result<(), Failure> {
        let mut refused = 0;
        let correlation = answer::produce::read(frame, self.version, |partition, code| {
            if code != 0 {
                refused += 1;
                let code = ErrorCode::from_code(code);
                if count.tally.refuse(code) {
                    (count.complain)(format!("produce to partition {partition} at {}: {code}", self.address));
                }
            }
        });
        if self.answered == self.sent || correlation != Ok(self.answered as i32) {
            return Err(Failure::Unreadable { address: self.address.to_string() });
        }
        self.complete(now, batch, refused, count);
        Ok(())
    }

    /// The oldest request is done, but for `refused` of its batches.
    fn complete(&mut self, now: u64, batch: &Batch, refused: u64, count: &mut Count) {
        let Prepared { frame, due, .. } = &self.requests[self.place(self.answered)];
        self.answered += 1;
        let taken = frame.batches() as u64 - refused;
        let records = taken * batch.template.records();
        *count.acknowledged += records;
        let flow = Flow { requests: 1, records, bytes: taken * batch.template.size() as u64 };
        count.tally.second.produced += flow;
        if count.window.contains(now) {
            count.tally.produced += flow;
        }
        if taken > 0 && self.has_answers {
            let time = now.saturating_sub(*due);
            if count.window.contains(*due) {
                count.tally.acknowledged.record(time);
            }
            if count.tells_times {
                count.tally.second.times.record(time);
            }
        }
    }
}

impl AsFd for Producer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}
