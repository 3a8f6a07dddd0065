//! Requests of one connection that are not answered yet, and the order in which they are.
//!
//! Laws: answers leave in the order of their requests; a request starts when everything before it is answered, or when it
//! and everything before it may overlap and none of them holds the others up.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fs;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use dohle_protocol::Pieces;

use super::budget::Share;

/// Requests of one connection that are read but not answered. One more is not read.
const IN_FLIGHT_MAX: usize = 32;

/// An answer as it goes over the wire.
pub(crate) struct Sealed {
    pub(crate) parts: VecDeque<Piece>,
    /// The memory that its records are counted for, returned when they are sent.
    pub(crate) _share: Option<Share>,
}

/// A part of an answer.
pub(crate) enum Piece {
    /// In memory.
    Held(Pieces),
    /// In a log: the kernel takes it from there.
    Filed(Filed),
}

/// Bytes of a file that is held open until they are sent. One that was dropped meanwhile is whole for as long as `file.delete.delay.ms` says.
pub(crate) struct Filed {
    pub(crate) file: Arc<fs::File>,
    pub(crate) range: Range<u64>,
}

impl Filed {
    /// How many bytes are left.
    pub(crate) fn len(&self) -> u64 {
        self.range.end - self.range.start
    }
}

impl Sealed {
    /// An answer whose gaps are filled from these logs, one for each.
    pub(crate) fn new(held: Vec<Pieces>, filed: Vec<Filed>, share: Option<Share>) -> Self {
        assert!(held.len() == filed.len() + 1, "every gap of an answer is filled");
        let mut parts = VecDeque::with_capacity(held.len() + filed.len());
        let mut filed = filed.into_iter();
        for pieces in held {
            parts.push_back(Piece::Held(pieces));
            parts.extend(filed.next().map(Piece::Filed));
        }
        Self { parts, _share: share }
    }
}

impl Piece {
    /// How many bytes are left of it.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Held(pieces) => pieces.len(),
            Self::Filed(filed) => filed.len() as usize,
        }
    }
}

/// What becomes of a request.
pub(crate) enum Answer {
    /// The client is answered.
    Send(Sealed),
    /// The client does not want an answer (Produce with acks=0).
    Nothing,
    /// The connection ends: the request cannot be answered, or its failure cannot be told otherwise.
    Close,
}

/// A request that will be answered.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Answer>>>;

/// A request that is read.
pub(crate) struct Asked {
    /// Becomes the answer. What a request that may overlap does to the world, it does when it is first polled.
    pub(crate) answering: Answering,
    /// Whether it may start while an earlier one that may overlap is not answered.
    pub(crate) overlaps: bool,
    /// Set while nothing behind it may start, although it overlaps: what it does to the world is still to be done.
    pub(crate) holds_up: Rc<Cell<bool>>,
    /// The memory that its bytes are counted for, returned when it is answered.
    pub(crate) _share: Share,
}

/// The requests of a connection in the order of their arrival.
#[derive(Default)]
pub(crate) struct Answers {
    queue: VecDeque<Slot>,
}

enum Slot {
    Working { asked: Asked, has_waited: bool },
    Done(Answered),
}

/// An answer, and whether it was waited for: not if it was there when the request was first worked on.
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) has_waited: bool,
}

impl Answers {
    /// Puts a request behind the others.
    pub(crate) fn push(&mut self, asked: Asked) {
        self.queue.push_back(Slot::Working { asked, has_waited: false });
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether another request may be read.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < IN_FLIGHT_MAX
    }

    /// Waits for the answer to the oldest request and lets the others work meanwhile. With nobody waiting, it never comes.
    pub(crate) async fn next(&mut self) -> Answered {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answered> {
        self.work(context);
        match self.queue.pop_front() {
            Some(Slot::Done(answered)) => Poll::Ready(answered),
            Some(working) => {
                self.queue.push_front(working);
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }

    fn work(&mut self, context: &mut Context<'_>) {
        let mut unanswered = false;
        for slot in &mut self.queue {
            let Slot::Working { asked, has_waited } = slot else { continue };
            let overlaps = asked.overlaps;
            if unanswered && !overlaps {
                return;
            }
            match asked.answering.as_mut().poll(context) {
                Poll::Ready(answer) => {
                    let has_waited = *has_waited;
                    // The request's bytes and its share of memory go here.
                    *slot = Slot::Done(Answered { answer, has_waited });
                    continue;
                }
                Poll::Pending => *has_waited = true,
            }
            if !overlaps || asked.holds_up.get() {
                return;
            }
            unanswered = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::sync::oneshot;

    use super::*;
    use crate::net::budget::Budget;

    /// Requests that note when they start, and answer when they are told to.
    struct Fixture {
        answers: Answers,
        started: Rc<RefCell<Vec<usize>>>,
        holds_up: Vec<Rc<Cell<bool>>>,
        finish: Vec<Option<oneshot::Sender<()>>>,
    }

    impl Fixture {
        fn new(overlaps: &[bool]) -> Self {
            let (answers, started) = (Answers::default(), Rc::default());
            let mut fixture = Self { answers, started, holds_up: vec![], finish: vec![] };
            for (name, overlaps) in overlaps.iter().enumerate() {
                let (finish, finished) = oneshot::channel();
                let started = Rc::clone(&fixture.started);
                let answering: Answering = Box::pin(async move {
                    started.borrow_mut().push(name);
                    finished.await.unwrap();
                    Answer::Nothing
                });
                let (share, holds_up) = (Budget::new(1).open(), Rc::new(Cell::new(false)));
                fixture.holds_up.push(Rc::clone(&holds_up));
                fixture.answers.push(Asked { answering, overlaps: *overlaps, holds_up, _share: share });
                fixture.finish.push(Some(finish));
            }
            fixture
        }

        /// How many answers leave now.
        fn turn(&mut self) -> usize {
            let mut context = Context::from_waker(std::task::Waker::noop());
            (0..).take_while(|_| self.answers.poll(&mut context).is_ready()).count()
        }

        fn finish(&mut self, name: usize) -> usize {
            self.finish[name].take().unwrap().send(()).unwrap();
            self.turn()
        }
    }

    #[test]
    fn requests_that_overlap_start_together_and_leave_in_order() {
        let mut fixture = Fixture::new(&[true, true, true]);
        assert_eq!(fixture.turn(), 0);
        assert_eq!(*fixture.started.borrow(), [0, 1, 2]);
        assert_eq!(fixture.finish(2), 0);
        assert_eq!(fixture.finish(0), 1);
        assert_eq!(fixture.finish(1), 2);
        assert!(fixture.answers.is_empty());
    }

    #[test]
    fn a_request_that_must_not_overlap_waits_for_all_before_it_and_holds_up_all_behind_it() {
        let mut fixture = Fixture::new(&[true, false, true]);
        fixture.turn();
        assert_eq!(*fixture.started.borrow(), [0]);
        assert_eq!(fixture.finish(0), 1);
        assert_eq!(*fixture.started.borrow(), [0, 1]);
        assert_eq!(fixture.finish(1), 1);
        assert_eq!(*fixture.started.borrow(), [0, 1, 2]);
    }

    #[test]
    fn a_request_that_holds_the_others_up_lets_them_start_when_it_has_done_its_part() {
        let mut fixture = Fixture::new(&[true, true, true]);
        fixture.holds_up[1].set(true);
        fixture.turn();
        assert_eq!(*fixture.started.borrow(), [0, 1]);
        fixture.holds_up[1].set(false);
        fixture.turn();
        assert_eq!(*fixture.started.borrow(), [0, 1, 2]);
        assert_eq!((fixture.finish(2), fixture.finish(1), fixture.finish(0)), (0, 0, 3));
    }
}
