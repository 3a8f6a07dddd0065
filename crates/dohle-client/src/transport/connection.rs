//! One connection to one broker: requests leave in order, answers come back in the same order.
//!
//! Owns the socket's two halves in one task, the answers that are waited for, and the versions that both sides know.
//! A request that is not answered in time ends the connection, as the answers behind it would never come either.

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use dohle_protocol::frame::Splitter;
use dohle_protocol::header::{Head, decode_answer};
use dohle_protocol::{ApiKey, DecodeError, EncodeError, Message, Pieces, Reader, Request, Str};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::handshake::Versions;

/// No answer is larger: a broker that claims more is not believed.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Requests that wait for the socket; whoever has one more waits too.
const OUTBOX_MAX: usize = 64;
/// Answers are read in pieces of this size at least.
const READ_BYTES: usize = 64 << 10;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The answer did not come in time; the broker may have done what was asked.
    #[error("{api} at {peer}: no answer within {after:?}; the broker is overloaded or unreachable")]
    Timeout {
        /// What was asked.
        api: ApiKey,
        /// Whom.
        peer: Arc<str>,
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended before the answer; the broker may have done what was asked.
    #[error("{api} at {peer}: the connection was closed; see the broker's log for the reason")]
    Lost {
        /// What was asked.
        api: ApiKey,
        /// Whom.
        peer: Arc<str>,
    },
    /// There is no version of the API that both sides know.
    #[error("{peer} {}", unserved(*.api, .theirs))]
    Unsupported {
        /// What was to be asked.
        api: ApiKey,
        /// Whom.
        peer: Arc<str>,
        /// The lowest and highest version that the broker serves, if it serves any.
        theirs: Option<(i16, i16)>,
    },
    /// The request cannot be written in the version that both sides know.
    #[error("{api} at {peer}: {source}; the broker is too old for what was asked")]
    Inexpressible {
        /// What was to be asked.
        api: ApiKey,
        /// Whom.
        peer: Arc<str>,
        /// What cannot be written.
        source: EncodeError,
    },
    /// The answer cannot be read.
    #[error("{api} at {peer}: unreadable answer: {source}; is this a Kafka broker?")]
    Malformed {
        /// What was asked.
        api: ApiKey,
        /// Whom.
        peer: Arc<str>,
        /// What was found.
        source: DecodeError,
    },
}

fn unserved(api: ApiKey, theirs: &Option<(i16, i16)>) -> String {
    let ours = api.stable_versions();
    let (low, high) = (ours.start(), ours.end());
    match theirs {
        None => format!("does not serve {api}: the broker is too old for it, or does not have it"),
        Some((least, most)) => format!(
            "serves {api} in versions {least} to {most}, and this client knows {low} to {high}: upgrade the older of the two"
        ),
    }
}

/// A connection that stands, or has stood. Cheap to clone; it ends when the last clone is gone.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    peer: Arc<str>,
    client_id: Str,
    versions: Versions,
    outbox: mpsc::Sender<Outgoing>,
    correlation: AtomicI32,
    task: AbortHandle,
}

struct Outgoing {
    pieces: Pieces,
    correlation: i32,
    /// Nobody waits for the answer to a request that has none.
    answer: Option<oneshot::Sender<Bytes>>,
}

struct Awaited {
    correlation: i32,
    answer: oneshot::Sender<Bytes>,
}

impl Connection {
    /// Takes over a socket on which the versions have been agreed.
    pub(crate) fn over(socket: TcpStream, peer: Arc<str>, client_id: Str, versions: Versions) -> Self {
        let (outbox, inbox) = mpsc::channel(OUTBOX_MAX);
        let name = peer.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = carry(socket, inbox).await {
                tracing::debug!(peer = %name, %error, "connection ended");
            }
        });
        let shared =
            Shared { peer, client_id, versions, outbox, correlation: AtomicI32::new(1), task: task.abort_handle() };
        Self { shared: Arc::new(shared) }
    }

    /// Whom this connects to.
    pub(crate) fn peer(&self) -> &Arc<str> {
        &self.shared.peer
    }

    /// Whether requests can still be made.
    pub(crate) fn stands(&self) -> bool {
        !self.shared.outbox.is_closed()
    }

    /// The highest version of `R` that both sides know, at most `version_max`.
    pub(crate) fn version<R: Request>(&self, version_max: i16) -> Result<i16, CallError> {
        self.shared.versions.pick(R::KEY, version_max).ok_or_else(|| CallError::Unsupported {
            api: R::KEY,
            peer: self.peer().clone(),
            theirs: self.shared.versions.served(R::KEY),
        })
    }

    /// Asks in the highest version that both sides know and waits for the answer.
    pub(crate) async fn call<R: Request>(&self, request: &R, wait: Duration) -> Result<R::Response, CallError> {
        let version = self.version::<R>(i16::MAX)?;
        self.call_in(version, request, wait).await
    }

    /// Asks in one version and waits for the answer.
    pub(crate) async fn call_in<R: Request>(
        &self,
        version: i16,
        request: &R,
        wait: Duration,
    ) -> Result<R::Response, CallError> {
        self.begin(version, request).await?.wait(wait).await
    }

    /// Asks, and returns before the answer: requests leave in the order in which this was called.
    pub(crate) async fn begin<R: Request>(&self, version: i16, request: &R) -> Result<Answer<R>, CallError> {
        let (sender, receiver) = oneshot::channel();
        let answer = Answer { connection: self.clone(), version, receiver, request: PhantomData };
        self.send(version, request, Some(sender)).await?;
        Ok(answer)
    }

    /// Sends a request that is not answered.
    pub(crate) async fn tell<R: Request>(&self, version: i16, request: &R) -> Result<(), CallError> {
        self.send(version, request, None).await
    }

    async fn send<R: Request>(
        &self,
        version: i16,
        request: &R,
        answer: Option<oneshot::Sender<Bytes>>,
    ) -> Result<(), CallError> {
        let (api, peer) = (R::KEY, self.peer());
        let correlation = self.shared.correlation.fetch_add(1, Ordering::Relaxed);
        let head = Head { api, version, correlation_id: correlation, client_id: Some(self.shared.client_id.clone()) };
        let pieces =
            head.frame(request).map_err(|source| CallError::Inexpressible { api, peer: peer.clone(), source })?;
        let outgoing = Outgoing { pieces, correlation, answer };
        self.shared.outbox.send(outgoing).await.map_err(|_| CallError::Lost { api, peer: peer.clone() })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer that is still to come.
pub(crate) struct Answer<R> {
    connection: Connection,
    version: i16,
    receiver: oneshot::Receiver<Bytes>,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> Answer<R> {
    /// The answer. One that does not come in time ends the connection.
    pub(crate) async fn wait(mut self, wait: Duration) -> Result<R::Response, CallError> {
        let (api, peer) = (R::KEY, self.connection.peer().clone());
        let frame = match tokio::time::timeout(wait, &mut self.receiver).await {
            Ok(answered) => answered.map_err(|_| CallError::Lost { api, peer: peer.clone() })?,
            Err(_) => {
                self.connection.shared.task.abort();
                return Err(CallError::Timeout { api, peer, after: wait });
            }
        };
        let malformed = |source| CallError::Malformed { api, peer: peer.clone(), source };
        let mut reader = Reader::new(frame);
        decode_answer(&mut reader, api, self.version).map_err(malformed)?;
        R::Response::decode(&mut reader, self.version).map_err(malformed)
    }
}

/// Carries requests and answers until either side ends. Whoever waits then finds that nobody will answer.
async fn carry(socket: TcpStream, inbox: mpsc::Receiver<Outgoing>) -> io::Result<()> {
    let (read, write) = socket.into_split();
    let (awaited, waiting) = mpsc::unbounded_channel();
    tokio::select! {
        end = write_all(write, inbox, awaited) => end,
        end = read_all(read, waiting) => end,
    }
}

/// The list of those who wait is as long as the requests under way, which their callers bound.
async fn write_all(
    mut write: OwnedWriteHalf,
    mut inbox: mpsc::Receiver<Outgoing>,
    awaited: mpsc::UnboundedSender<Awaited>,
) -> io::Result<()> {
    while let Some(mut outgoing) = inbox.recv().await {
        if let Some(answer) = outgoing.answer.take() {
            // Before the bytes leave, so that the answer finds who waits for it.
            let _ = awaited.send(Awaited { correlation: outgoing.correlation, answer });
        }
        while outgoing.pieces.has_remaining() {
            write.write_buf(&mut outgoing.pieces).await?;
        }
    }
    Ok(())
}

async fn read_all(mut read: OwnedReadHalf, mut waiting: mpsc::UnboundedReceiver<Awaited>) -> io::Result<()> {
    let splitter = Splitter::new(ANSWER_BYTES_MAX);
    let mut buffer = BytesMut::new();
    let mut frames: VecDeque<Bytes> = VecDeque::new();
    loop {
        while let Some(frame) = splitter.split(&mut buffer).map_err(io::Error::other)? {
            frames.push_back(frame);
        }
        for frame in frames.drain(..) {
            answer(frame, waiting.try_recv().ok())?;
        }
        // The buffer doubles with what came, up to what the frame says it will be.
        let wanted = splitter.peek(&buffer).map_err(io::Error::other)?.unwrap_or(0);
        let missing = wanted.saturating_sub(buffer.len());
        buffer.reserve(missing.clamp(READ_BYTES, READ_BYTES.max(buffer.len())));
        if read.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn answer(frame: Bytes, awaited: Option<Awaited>) -> io::Result<()> {
    let correlation = frame.first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
    match awaited {
        Some(awaited) if Some(awaited.correlation) == correlation => {
            // Whoever waited may have gone.
            let _ = awaited.answer.send(frame);
            Ok(())
        }
        _ => Err(io::Error::other("an answer that nobody waits for")),
    }
}
