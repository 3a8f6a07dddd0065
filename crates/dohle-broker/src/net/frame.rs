//! Frames as they arrive: four bytes of length, then that many bytes.
//!
//! Laws: memory follows the bytes received, of this frame or of the one before it, never the length claimed; whoever stops waiting for a frame loses nothing of it.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

use super::budget::{Budget, Share};

/// What a connection's buffer begins with, in bytes; an idle connection has none.
const FIRST_BYTES: usize = 4 << 10;
/// A client that sends large frames gets a buffer for one of them at once, so that it comes in one piece and is never moved; but no larger one
/// than this. The memory is only touched by what is received.
const USUAL_BYTES_MAX: usize = 2 << 20;
/// A buffer is so much larger than the frame that is expected: one that is not filled says that nothing more is there, without another call.
const SLACK_BYTES: usize = 256;
/// How far a buffer grows at once while less than this was received; beyond, it doubles.
const STEP_BYTES: usize = 64 << 10;
const PREFIX_BYTES: usize = 4;

/// A request's bytes without their length, and the memory that they are counted for.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    pub(crate) share: Share,
}

/// What nobody who speaks the protocol would send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("a frame of {0} bytes")]
    Negative(i32),
    #[error("a frame of {claimed} bytes, above socket.request.max.bytes = {limit}")]
    TooLarge { claimed: i32, limit: usize },
    #[error("HTTP on the port of the Kafka protocol; metrics are on the address of --http")]
    Http,
    #[error("TLS on a plaintext listener; set security.protocol=PLAINTEXT in the client")]
    Tls,
}

/// Why no further frame comes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("closed by the client")]
    Closed,
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Failed(#[from] io::Error),
}

/// The reading end of a connection.
#[derive(Debug)]
pub(crate) struct Frames {
    buffer: BytesMut,
    share: Share,
    budget: Arc<Budget>,
    frame_bytes_max: usize,
    received: u64,
    /// What the last frame took of the buffer: the next is likely to be of the same kind.
    usual: usize,
    starved: bool,
}

impl Frames {
    /// A connection that has sent nothing yet.
    pub(crate) fn new(budget: Arc<Budget>, frame_bytes_max: usize) -> Self {
        let (buffer, share) = (BytesMut::new(), budget.open());
        Self { buffer, share, budget, frame_bytes_max, received: 0, usual: FIRST_BYTES, starved: false }
    }

    /// Waits for the next whole frame.
    pub(crate) async fn next(&mut self, source: &mut OwnedReadHalf) -> Result<Frame, End> {
        loop {
            match look(&self.buffer, self.frame_bytes_max)? {
                Look::Complete(length) => return Ok(self.complete(length).await),
                Look::Missing(bytes) => self.receive(source, bytes).await?,
            }
        }
    }

    /// Whether part of a frame is here and the client owes the rest: not so while the node has no memory for it.
    pub(crate) fn is_owed(&self) -> bool {
        !self.buffer.is_empty() && !self.starved
    }

    /// How many bytes came since the connection began.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Gives the memory of an idle connection back.
    pub(crate) fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    async fn complete(&mut self, length: usize) -> Frame {
        let uncounted = (length as u64).saturating_sub(self.share.bytes());
        if uncounted > 0 {
            self.grow(uncounted).await;
        }
        self.usual = (PREFIX_BYTES + length + SLACK_BYTES).clamp(FIRST_BYTES, USUAL_BYTES_MAX);
        self.buffer.advance(PREFIX_BYTES);
        let bytes = self.buffer.split_to(length).freeze();
        let mut share = std::mem::replace(&mut self.share, self.budget.open());
        share.close();
        Frame { bytes, share }
    }

    async fn receive(&mut self, source: &mut OwnedReadHalf, missing: usize) -> Result<(), End> {
        if self.buffer.is_empty() {
            // Nothing is held for a client that is silent.
            source.readable().await?;
            if self.usual > FIRST_BYTES {
                self.grow((self.usual - FIRST_BYTES) as u64).await;
            }
            self.buffer.reserve(self.usual);
        } else if self.buffer.len() == self.buffer.capacity() {
            let step = missing.min(self.buffer.len().max(STEP_BYTES));
            self.grow(step as u64).await;
            self.buffer.reserve(step);
        }
        let received = source.read_buf(&mut self.buffer).await?;
        self.received += received as u64;
        if received == 0 { Err(End::Closed) } else { Ok(()) }
    }

    async fn grow(&mut self, bytes: u64) {
        self.starved = true;
        self.share.grow(bytes).await;
        self.starved = false;
    }
}

enum Look {
    Complete(usize),
    /// At least this many bytes must still come.
    Missing(usize),
}

fn look(buffer: &[u8], frame_bytes_max: usize) -> Result<Look, Refusal> {
    let Some(prefix) = buffer.first_chunk::<PREFIX_BYTES>() else {
        return Ok(Look::Missing(PREFIX_BYTES - buffer.len()));
    };
    let claimed = i32::from_be_bytes(*prefix);
    let length = usize::try_from(claimed).map_err(|_| Refusal::Negative(claimed))?;
    if length > frame_bytes_max {
        return Err(stranger(prefix).unwrap_or(Refusal::TooLarge { claimed, limit: frame_bytes_max }));
    }
    let received = buffer.len() - PREFIX_BYTES;
    Ok(if received < length { Look::Missing(length - received) } else { Look::Complete(length) })
}

/// Another protocol, told by its first bytes.
fn stranger(prefix: &[u8; PREFIX_BYTES]) -> Option<Refusal> {
    match prefix {
        b"GET " | b"HEAD" | b"POST" | b"PUT " | b"DELE" | b"OPTI" | b"PATC" | b"PRI " => Some(Refusal::Http),
        [0x16, 0x03, ..] => Some(Refusal::Tls),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const LIMIT: usize = 1 << 20;

    #[test]
    fn a_length_that_no_client_sends_is_refused_before_anything_is_held() {
        let cases: &[(&[u8], Refusal)] = &[
            (&(-1_i32).to_be_bytes(), Refusal::Negative(-1)),
            (&i32::MAX.to_be_bytes(), Refusal::TooLarge { claimed: i32::MAX, limit: LIMIT }),
            (b"GET / HTTP/1.1", Refusal::Http),
            (&[0x16, 0x03, 0x01, 0x02, 0x00], Refusal::Tls),
        ];
        for (bytes, refusal) in cases {
            assert_eq!(look(bytes, LIMIT).err(), Some(*refusal));
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn memory_follows_what_was_received() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut source, _sink) = listener.accept().await.unwrap().0.into_split();
        let mut frames = Frames::new(Budget::new(LIMIT as u64), LIMIT);

        client.write_all(&(LIMIT as i32).to_be_bytes()).await.unwrap();
        let part = async {
            client.write_all(&[7; 100_000]).await.unwrap();
            std::future::pending::<()>().await;
        };
        let received = |frames: &Frames| frames.buffer.len() == 100_004;
        let mut part = std::pin::pin!(part);
        while !received(&frames) {
            tokio::select! {
                biased;
                frame = frames.next(&mut source) => panic!("{frame:?}"),
                () = &mut part => unreachable!(),
                () = tokio::task::yield_now() => {}
            }
        }
        assert!(frames.buffer.capacity() <= 2 * 100_000 + STEP_BYTES, "{}", frames.buffer.capacity());

        drop(client);
        assert!(matches!(frames.next(&mut source).await, Err(End::Closed)));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_client_of_large_frames_gets_a_buffer_for_the_next_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut source, _sink) = listener.accept().await.unwrap().0.into_split();
        let mut frames = Frames::new(Budget::new(LIMIT as u64), LIMIT);
        let frame = [&100_000_i32.to_be_bytes()[..], &[7; 100_000]].concat();
        let (sent, received) = tokio::join!(client.write_all(&frame), frames.next(&mut source));
        sent.unwrap();
        assert_eq!(received.unwrap().bytes.len(), 100_000);
        client.write_all(&frame[..10]).await.unwrap();
        frames.receive(&mut source, PREFIX_BYTES).await.unwrap();
        assert_eq!(frames.buffer.len(), 10);
        assert!(frames.buffer.capacity() >= frame.len());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn frames_that_arrive_together_leave_one_by_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut source, _sink) = listener.accept().await.unwrap().0.into_split();
        let mut frames = Frames::new(Budget::new(LIMIT as u64), LIMIT);
        client.write_all(&[0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 3]).await.unwrap();
        for expected in [&[1_u8, 2][..], &[], &[3]] {
            assert_eq!(frames.next(&mut source).await.unwrap().bytes, expected);
        }
        frames.rest();
        assert!(!frames.is_owed() && frames.buffer.capacity() == 0);
    }
    /// As when a connection goes to another core.
    #[test]
    fn a_whole_frame_and_half_of_one_go_along_to_another_runtime() {
        use std::io::Write;

        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (first, second) = (runtime(), runtime());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut frames = Frames::new(Budget::new(LIMIT as u64), LIMIT);

        client.write_all(&[0, 0, 0, 1, 7, 0, 0, 0, 1, 8, 0, 0, 0, 2, 9]).unwrap();
        let stream = first.block_on(async {
            let (mut source, sink) = TcpStream::from_std(stream).unwrap().into_split();
            assert_eq!(frames.next(&mut source).await.unwrap().bytes, &[7][..]);
            source.reunite(sink).unwrap().into_std().unwrap()
        });
        drop(first);
        assert_eq!(frames.received(), 15);
        second.block_on(async {
            let (mut source, _sink) = TcpStream::from_std(stream).unwrap().into_split();
            assert_eq!(
                frames.next(&mut source).await.unwrap().bytes,
                &[8][..],
                "the socket has nothing more to say of it"
            );
            client.write_all(&[10]).unwrap();
            assert_eq!(frames.next(&mut source).await.unwrap().bytes, &[9, 10][..]);
        });
        assert_eq!(frames.received(), 16);
    }
}
