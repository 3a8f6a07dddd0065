//! A socket that never blocks, and the frames that come out of it.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

/// What a buffer begins with; answers of producers are much smaller.
const BUFFER_BYTES: usize = 4 << 10;
/// No frame is larger.
const FRAME_BYTES_MAX: usize = 1 << 30;
const PREFIX_BYTES: usize = 4;

/// A connection of a loop. Readiness is told by edges: whoever is told reads until nothing is left.
#[derive(Debug)]
pub(crate) struct Link {
    socket: TcpStream,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Link {
    pub(crate) fn over(socket: TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, buffer: vec![0; BUFFER_BYTES], begin: 0, end: 0 })
    }

    /// Reads what there is; whether more may be there.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        self.make_room();
        let room = &mut self.buffer[self.end..];
        let asked = room.len();
        match self.socket.read(room) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.end += read;
                Ok(read == asked)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The next whole frame, without its length.
    pub(crate) fn frame(&mut self) -> io::Result<Option<&[u8]>> {
        let Some(length) = self.frame_bytes()? else { return Ok(None) };
        let from = self.begin + PREFIX_BYTES;
        if self.end - from < length {
            return Ok(None);
        }
        self.begin = from + length;
        Ok(Some(&self.buffer[from..from + length]))
    }

    /// Writes as much as the socket takes; 0 when it takes nothing now.
    pub(crate) fn write(&mut self, pieces: &[IoSlice]) -> io::Result<usize> {
        loop {
            match self.socket.write_vectored(pieces) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => return written,
            }
        }
    }

    fn frame_bytes(&self) -> io::Result<Option<usize>> {
        let Some(prefix) = self.buffer[self.begin..self.end].first_chunk() else { return Ok(None) };
        let length = usize::try_from(i32::from_be_bytes(*prefix)).ok().filter(|length| *length <= FRAME_BYTES_MAX);
        length.map(Some).ok_or_else(|| io::Error::other("an answer of impossible length"))
    }

    /// Room for the rest of the frame that has begun, at the least for something.
    fn make_room(&mut self) {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
        }
        let wanted = self.frame_bytes().ok().flatten().map_or(0, |length| length + PREFIX_BYTES);
        if self.begin + wanted > self.buffer.len() || self.end == self.buffer.len() {
            self.buffer.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        let least = wanted.max(self.end + 1);
        if least > self.buffer.len() {
            self.buffer.resize(least.next_power_of_two(), 0);
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
