//! Answers on their way to a client, as slices that nobody copied.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::Buf;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use super::answers::Sealed;

/// Slices handed to the kernel at once.
const SLICES_MAX: usize = 64;
/// While more than this waits to be sent, no further request is read.
const PENDING_BYTES_MAX: usize = 1 << 20;

/// The writing end of a connection.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Sealed>,
    bytes: usize,
}

impl Outbox {
    /// Puts an answer behind the others.
    pub(crate) fn push(&mut self, answer: Sealed) {
        self.bytes += answer.pieces.len();
        self.queue.push_back(answer);
    }

    /// Whether everything was sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the client keeps up well enough to be asked for more.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes <= PENDING_BYTES_MAX
    }

    /// Sends some of what waits and says how many bytes. Giving up while waiting sends nothing.
    pub(crate) async fn write(&mut self, sink: &mut OwnedWriteHalf) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        for answer in &self.queue {
            count += answer.pieces.chunks_vectored(&mut slices[count..]);
            if count == SLICES_MAX {
                break;
            }
        }
        let sent = sink.write_vectored(&slices[..count]).await?;
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(sent);
        Ok(sent)
    }

    fn advance(&mut self, mut sent: usize) {
        self.bytes -= sent;
        while let Some(front) = self.queue.front_mut() {
            let step = sent.min(front.pieces.len());
            front.pieces.advance(step);
            sent -= step;
            if !front.pieces.is_empty() {
                return;
            }
            self.queue.pop_front();
        }
    }
}
