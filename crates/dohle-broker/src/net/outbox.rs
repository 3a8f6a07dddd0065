//! Answers on their way to a client, as slices that nobody copied: from memory in vectored writes, from a log by `sendfile`.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use bytes::Buf;
use tokio::io::Interest;
use tokio::net::tcp::OwnedWriteHalf;

use super::answers::{Filed, Piece, Sealed};

/// Slices handed to the kernel at once.
const SLICES_MAX: usize = 64;
/// While more than this waits to be sent, no further request is read.
const PENDING_BYTES_MAX: usize = 1 << 20;
/// Answers, and bytes, that wait for others to be sent with them.
const GATHERED_MAX: usize = 16;
const GATHERED_BYTES_MAX: usize = 64 << 10;
/// Bytes of a log handed to the kernel at once, so that one client does not keep a core from the others.
const FILED_BYTES_MAX: u64 = 1 << 20;

/// The writing end of a connection.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Sealed>,
    bytes: usize,
}

impl Outbox {
    /// Puts an answer behind the others.
    pub(crate) fn push(&mut self, answer: Sealed) {
        self.bytes += answer.parts.iter().map(Piece::len).sum::<usize>();
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

    /// Whether enough waits that nothing should wait any longer for more.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= GATHERED_MAX || self.bytes >= GATHERED_BYTES_MAX
    }

    /// Sends some of what waits and says how many bytes, which are then to be [taken off](Self::advance). Giving up while waiting sends
    /// nothing.
    pub(crate) async fn send(&self, sink: &OwnedWriteHalf) -> io::Result<usize> {
        let stream = sink.as_ref();
        let sent = stream.async_io(Interest::WRITABLE, || self.send_some(stream)).await?;
        if sent == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(sent) }
    }

    /// One call to the kernel: what stands in memory up to the next piece of a log, or that piece.
    fn send_some(&self, sink: impl AsFd) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let mut more = false;
        for part in self.queue.iter().flat_map(|answer| &answer.parts) {
            match part {
                Piece::Held(pieces) => count += pieces.chunks_vectored(&mut slices[count..]),
                Piece::Filed(filed) if count == 0 => return send_file(sink, filed),
                Piece::Filed(_) => more = true,
            }
            if more || count == SLICES_MAX {
                break;
            }
        }
        send_slices(sink, &slices[..count], more)
    }

    /// Takes off what was sent.
    pub(crate) fn advance(&mut self, mut sent: usize) {
        self.bytes -= sent;
        while let Some(front) = self.queue.front_mut() {
            while let Some(part) = front.parts.front_mut() {
                let step = sent.min(part.len());
                match part {
                    Piece::Held(pieces) => pieces.advance(step),
                    Piece::Filed(filed) => filed.range.start += step as u64,
                }
                sent -= step;
                if part.len() > 0 {
                    return;
                }
                front.parts.pop_front();
            }
            self.queue.pop_front();
        }
    }
}

/// `more` tells the kernel that bytes follow at once, so that they share a packet.
fn send_slices(sink: impl AsFd, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    use rustix::net::{SendAncillaryBuffer, SendFlags};
    let flags = if more { SendFlags::NOSIGNAL | MORE } else { SendFlags::NOSIGNAL };
    Ok(rustix::net::sendmsg(sink, slices, &mut SendAncillaryBuffer::default(), flags)?)
}

#[cfg(target_os = "linux")]
const MORE: rustix::net::SendFlags = rustix::net::SendFlags::MORE;
#[cfg(not(target_os = "linux"))]
const MORE: rustix::net::SendFlags = rustix::net::SendFlags::empty();

/// Whether a log can be sent without being read.
pub(crate) const SENDS_FILES: bool = cfg!(target_os = "linux");

#[cfg(target_os = "linux")]
fn send_file(sink: impl AsFd, filed: &Filed) -> io::Result<usize> {
    let mut at = filed.range.start;
    let count = filed.len().min(FILED_BYTES_MAX) as usize;
    match rustix::fs::sendfile(sink, &filed.file, Some(&mut at), count)? {
        // The log was truncated under the answer: the client must not take the rest for records.
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        sent => Ok(sent),
    }
}

#[cfg(not(target_os = "linux"))]
fn send_file(_: impl AsFd, _: &Filed) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}
