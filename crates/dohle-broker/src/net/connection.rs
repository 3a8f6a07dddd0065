//! One connection on its one core: frames in, requests worked on, answers out in order.
//!
//! Owns the order of things and the patience with a client; what a request means is the dispatcher's.
//! Law: a connection goes to another core between two requests, when everything is answered and sent.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use super::answers::{Answer, Answered, Answers};
use super::frame::{self, Frames};
use super::outbox::Outbox;
use super::peer::Peer;
use crate::context::Context;
use crate::{cores, dispatch};

/// How often a busy connection is looked at: patience is measured in these.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How long a client may leave an answer unread.
const UNREAD_MAX: Duration = Duration::from_secs(60);
/// How long a client may pause within a frame.
const PAUSE_IN_FRAME_MAX: Duration = Duration::from_secs(30);

/// A connection that is to go on on another core reads nothing until everything is answered, but no longer than this: it may wait for what never comes.
const LEAVES_WITHIN: Duration = Duration::from_millis(20);
/// So many bytes of requests are as much work as one more request.
const WORK_BYTES: usize = 16 << 10;

/// So many requests are worked on before what can be sent is sent: some are never answered.
const ASKED_MAX: usize = 16;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error(transparent)]
    Frame(#[from] frame::End),
    #[error(transparent)]
    Request(#[from] dispatch::Refusal),
    #[error("{0}")]
    Failed(#[from] std::io::Error),
    #[error("a request that cannot be answered")]
    Unanswerable,
    #[error("answers left unread for {UNREAD_MAX:?}")]
    Unread,
    #[error("silent for {PAUSE_IN_FRAME_MAX:?} within a frame")]
    PausedInFrame,
    #[error("idle")]
    Idle,
    #[error("the broker stops")]
    Stopped,
    #[error("goes on on core {0}")]
    Leaves(usize),
}

/// A connection that is on no core.
pub(crate) struct Adrift {
    stream: std::net::TcpStream,
    peer: Peer,
    frames: Frames,
}

pub(crate) struct Connection {
    context: Arc<Context>,
    peer: Rc<Peer>,
    frames: Frames,
    source: OwnedReadHalf,
    sink: OwnedWriteHalf,
    answers: Answers,
    outbox: Outbox,
    /// Requests since something was sent.
    asked_since: usize,
    /// What is to be sent goes at once: somebody has waited for it, or others had their turn.
    hurries: Cell<bool>,
    work: cores::Work,
    /// The core to which it goes when everything is answered, and until when that may be.
    leaves_for: Option<(usize, Instant)>,
    stop: watch::Receiver<bool>,
    patience: Patience,
}

/// What a connection has moved, looked at now and then instead of timing every byte.
struct Patience {
    alarm: Pin<Box<Sleep>>,
    /// The alarm is set for the end of an idle connection, not for the next look.
    resting: bool,
    moved: (u64, u64),
    quiet_since: Instant,
    sent: u64,
}

impl Connection {
    /// Takes a connection to this core.
    pub(crate) fn here(context: Arc<Context>, adrift: Adrift) -> io::Result<Self> {
        let Adrift { stream, peer, frames } = adrift;
        let (source, sink) = TcpStream::from_std(stream)?.into_split();
        let stop = context.stop.subscribe();
        let patience = Patience::new(context.settings.net.idle_max);
        Ok(Self {
            context,
            peer: Rc::new(peer),
            frames,
            source,
            sink,
            answers: Answers::default(),
            outbox: Outbox::default(),
            asked_since: 0,
            hurries: Cell::new(false),
            work: cores::Work::default(),
            leaves_for: None,
            stop,
            patience,
        })
    }

    /// Takes it from this core, when everything was answered.
    pub(crate) fn leave(self) -> io::Result<Adrift> {
        let stream = self.source.reunite(self.sink).map_err(io::Error::other)?.into_std()?;
        Ok(Adrift { stream, peer: Peer::clone(&self.peer), frames: self.frames })
    }

    /// Serves the client until one of the two has had enough.
    pub(crate) async fn run(&mut self) -> End {
        loop {
            // A buffer full of small requests is worked on without waiting for anything: others have their turn in between.
            tokio::task::consume_budget().await;
            if let Err(end) = self.turn().await {
                return end;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), End> {
        let stopping = *self.stop.borrow();
        let ending = stopping || self.leaves_for.is_some();
        if ending && self.answers.is_empty() && self.outbox.is_empty() {
            return Err(self.leaves_for.filter(|_| !stopping).map_or(End::Stopped, |(core, _)| End::Leaves(core)));
        }
        let reading = !ending && self.answers.has_room() && self.outbox.has_room();
        // Answers to requests that came together leave together: what is here already is worked on first.
        let full = self.outbox.is_full() || (self.asked_since >= ASKED_MAX && !self.outbox.is_empty());
        tokio::select! {
            biased;
            sent = self.outbox.send(&self.sink), if full => self.sent(sent?),
            answered = self.answers.next(), if !self.answers.is_empty() => self.answer(answered)?,
            frame = self.frames.next(&mut self.source), if reading => self.ask(frame?)?,
            sent = send(&self.outbox, &self.sink, &self.hurries), if !full && !self.outbox.is_empty() => self.sent(sent?),
            () = self.patience.alarm.as_mut() => self.look(reading)?,
            () = given_up(self.leaves_for) => self.stay(),
            _ = self.stop.changed(), if !stopping => {}
        }
        Ok(())
    }

    fn sent(&mut self, bytes: usize) {
        self.outbox.advance(bytes);
        self.asked_since = 0;
        self.hurries.set(self.hurries.get() && !self.outbox.is_empty());
        self.patience.sent += bytes as u64;
    }

    fn ask(&mut self, frame: frame::Frame) -> Result<(), End> {
        self.patience.wake();
        self.asked_since += 1;
        let told = cores::stir(&mut self.work, 1 + frame.bytes.len() / WORK_BYTES);
        self.leaves_for = self.leaves_for.or(told.map(|core| (core, Instant::now() + LEAVES_WITHIN)));
        self.answers.push(dispatch::ask(&self.context, &self.peer, frame)?);
        Ok(())
    }

    /// Has waited in vain for its leave.
    fn stay(&mut self) {
        self.leaves_for = None;
        self.work.stay();
    }

    fn answer(&mut self, Answered { answer, has_waited }: Answered) -> Result<(), End> {
        match answer {
            Answer::Send(answer) => {
                self.outbox.push(answer);
                self.hurries.set(self.hurries.get() || has_waited);
            }
            Answer::Nothing => {}
            Answer::Close => return Err(End::Unanswerable),
        }
        Ok(())
    }

    /// Looks whether the client still moves.
    fn look(&mut self, reading: bool) -> Result<(), End> {
        let quiet = self.patience.quiet(self.frames.received());
        if !self.outbox.is_empty() && quiet >= UNREAD_MAX {
            return Err(End::Unread);
        }
        if reading && self.frames.is_owed() && quiet >= PAUSE_IN_FRAME_MAX {
            return Err(End::PausedInFrame);
        }
        let idle_max = self.context.settings.net.idle_max;
        let idle = self.outbox.is_empty() && self.answers.is_empty() && !self.frames.is_owed();
        if idle && quiet >= idle_max {
            return Err(End::Idle);
        }
        if idle && !quiet.is_zero() {
            self.frames.rest();
            self.patience.rest(idle_max);
        } else {
            self.patience.look_again(idle_max);
        }
        Ok(())
    }
}

/// Sends; where nobody has waited, the other tasks of the core have their turn before: who waited for what was just written has it before the writer has the
/// acknowledgement.
async fn send(outbox: &Outbox, sink: &OwnedWriteHalf, hurries: &Cell<bool>) -> io::Result<usize> {
    poll_fn(|context| {
        if hurries.replace(true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    outbox.send(sink).await
}

/// Waits until a connection may not wait any longer for its leave.
async fn given_up(leaves_for: Option<(usize, Instant)>) {
    match leaves_for {
        Some((_, latest)) => sleep_until(latest).await,
        None => std::future::pending().await,
    }
}

impl Adrift {
    /// A connection that has sent nothing yet.
    pub(crate) fn new(context: &Context, stream: std::net::TcpStream, peer: Peer) -> Self {
        let frames = Frames::new(Arc::clone(&context.requests_budget), context.settings.net.request_bytes_max);
        Self { stream, peer, frames }
    }

    /// Where it comes from.
    pub(crate) fn client(&self) -> SocketAddr {
        self.peer.address
    }
}

impl Patience {
    fn new(idle_max: Duration) -> Self {
        let now = Instant::now();
        let alarm = Box::pin(sleep_until(now + LOOK_EVERY.min(idle_max)));
        Self { alarm, resting: false, moved: (0, 0), quiet_since: now, sent: 0 }
    }

    /// How long nothing has moved, to the precision of one look.
    fn quiet(&mut self, received: u64) -> Duration {
        let moved = (received, self.sent);
        if std::mem::replace(&mut self.moved, moved) != moved {
            self.quiet_since = Instant::now();
            return Duration::ZERO;
        }
        self.quiet_since.elapsed()
    }

    fn look_again(&mut self, idle_max: Duration) {
        self.resting = false;
        self.alarm.as_mut().reset(Instant::now() + LOOK_EVERY.min(idle_max));
    }

    fn rest(&mut self, idle_max: Duration) {
        self.resting = true;
        self.alarm.as_mut().reset(self.quiet_since + idle_max);
    }

    fn wake(&mut self) {
        if self.resting {
            self.look_again(LOOK_EVERY);
        }
    }
}
