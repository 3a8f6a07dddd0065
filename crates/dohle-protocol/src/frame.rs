//! Frames: a signed 32-bit length, then as many bytes.
//!
//! Cuts a stream of bytes into frames. A length is checked before anything is kept for it, and memory follows the bytes
//! that came, never the length that was claimed.

use bytes::{Bytes, BytesMut};

/// The length before a frame.
pub const PREFIX_BYTES: usize = 4;

/// Why a stream cannot be read further: the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length below zero.
    #[error("frame of {length} bytes")]
    Negative {
        /// The length.
        length: i32,
    },
    /// A length over the limit.
    #[error("frame of {length} bytes, more than {limit}")]
    TooLarge {
        /// The length.
        length: usize,
        /// The limit.
        limit: usize,
    },
}

/// The bytes of a frame after its length, when the length is one that is allowed.
pub fn length(prefix: [u8; PREFIX_BYTES], limit: usize) -> Result<usize, FrameError> {
    let signed = i32::from_be_bytes(prefix);
    let length = usize::try_from(signed).map_err(|_| FrameError::Negative { length: signed })?;
    if length > limit { Err(FrameError::TooLarge { length, limit }) } else { Ok(length) }
}

/// Cuts frames off the front of a buffer.
#[derive(Debug, Clone, Copy)]
pub struct Splitter {
    limit: usize,
}

impl Splitter {
    /// Refuses frames of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit }
    }

    /// The length of the first frame, once its four bytes are there.
    pub fn peek(&self, buffer: &[u8]) -> Result<Option<usize>, FrameError> {
        match buffer.first_chunk() {
            Some(prefix) => length(*prefix, self.limit).map(Some),
            None => Ok(None),
        }
    }

    /// The first frame without its length, once it is there whole. Copies nothing.
    pub fn split(&self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        match self.peek(buffer)? {
            Some(length) if buffer.len() >= PREFIX_BYTES + length => {
                let mut frame = buffer.split_to(PREFIX_BYTES + length).freeze();
                Ok(Some(frame.split_off(PREFIX_BYTES)))
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::{FrameError, Splitter};

    fn split_all(limit: usize, stream: &[u8], step: usize) -> Result<Vec<Bytes>, FrameError> {
        let splitter = Splitter::new(limit);
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        for chunk in stream.chunks(step) {
            buffer.extend_from_slice(chunk);
            while let Some(frame) = splitter.split(&mut buffer)? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_are_the_same_however_they_arrive() {
        let stream = [0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 5, 1];
        for step in 1..=stream.len() {
            assert_eq!(split_all(5, &stream, step).unwrap(), [&[7, 8][..], &[], &[9]], "{step} bytes at a time");
        }
    }

    #[test]
    fn a_length_that_is_not_allowed_ends_the_stream() {
        assert_eq!(split_all(5, &[255, 255, 255, 255], 1), Err(FrameError::Negative { length: -1 }));
        assert_eq!(split_all(5, &[0, 0, 0, 6], 4), Err(FrameError::TooLarge { length: 6, limit: 5 }));
    }
}
