//! Memory for large reads, which goes round: what a read needs was used by one before, so that neither the kernel has to find pages for it
//! nor anybody to fill them with zeros.
//!
//! Owns the buffers that nobody uses: no more than [`IDLE_BYTES_MAX`], and none after [`release_buffers`].

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// What a direct read wants of the place in the file, of the place in memory, and of the size. No disk has larger blocks.
pub(super) const ALIGN: usize = 4 << 10;
/// A buffer is made for sizes up to the next multiple, so that it fits the next read too.
const STEP: usize = 64 << 10;
/// A larger buffer is not kept: a read that has so much to do does not feel what it costs.
const KEPT_BYTES_MAX: usize = 2 << 20;
/// Two answers of four partitions.
const IDLE_BYTES_MAX: usize = 9 << 20;

static IDLE: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// Gives back the memory of large reads that is not in use, for whoever sees that there has been none for a while.
pub fn release_buffers() {
    // Freed when the lock is.
    let _idle = std::mem::take(&mut *idle());
}

fn idle() -> MutexGuard<'static, Vec<Box<[u8]>>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory for the bytes of a file from some place on, laid so that those at a multiple of [`ALIGN`] in the file are so in memory.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    window: Range<usize>,
    wanted: Range<usize>,
}

impl Buffer {
    /// A shorter read takes memory of its own.
    pub(super) const WORTH_IT: usize = STEP;

    /// For `size` bytes at `at`. What is in it is anything.
    pub(super) fn of(at: u64, size: usize) -> Self {
        let lead = (at % ALIGN as u64) as usize;
        let bytes = take(size.next_multiple_of(STEP) + 2 * ALIGN);
        let start = bytes.as_ptr().align_offset(ALIGN);
        let window = start..start + (lead + size).next_multiple_of(ALIGN);
        let wanted = start + lead..start + lead + size;
        Self { bytes, window, wanted }
    }

    /// The memory for what is wanted.
    pub(super) fn wanted(&mut self) -> &mut [u8] {
        &mut self.bytes[self.wanted.clone()]
    }

    /// The memory for all blocks in which that is, but for those that lie before `done` bytes of it; and how much of the first block lies before
    /// these.
    pub(super) fn blocks_behind(&mut self, done: usize) -> (usize, &mut [u8]) {
        let before = self.wanted.start - self.window.start + done;
        let from = before / ALIGN * ALIGN;
        (before - from, &mut self.bytes[self.window.start + from..self.window.end])
    }

    /// The first `size` bytes of what was wanted, for others to read.
    pub(super) fn into_bytes(mut self, size: usize) -> Bytes {
        self.wanted.end = self.wanted.end.min(self.wanted.start + size);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.wanted.clone()]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut idle = idle();
        let held: usize = idle.iter().map(|bytes| bytes.len()).sum();
        if bytes.len() <= KEPT_BYTES_MAX && held + bytes.len() <= IDLE_BYTES_MAX {
            idle.push(bytes);
        }
    }
}

/// One that nobody uses, if it is not far too large; the one that was used last, whose memory may be in the processor's cache.
fn take(size: usize) -> Box<[u8]> {
    let mut idle = idle();
    match idle.iter().rposition(|bytes| (size..=2 * size).contains(&bytes.len())) {
        Some(place) => idle.remove(place),
        None => {
            drop(idle);
            vec![0; size].into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_like_the_file_and_ends_behind_what_is_wanted() {
        for (at, size) in [(0, 1), (4_095, 2), (4_096, 4_096), (1_000_001, 300_000), (61, 65_536)] {
            for done in [0, size / 2, size - 1] {
                let mut buffer = Buffer::of(at, size);
                buffer.wanted().fill(7);
                let (before, blocks) = buffer.blocks_behind(done);
                assert_eq!((at as usize + done - before) % ALIGN, 0);
                assert_eq!(blocks.as_ptr().align_offset(ALIGN), 0);
                assert!(blocks.len().is_multiple_of(ALIGN) && blocks.len() >= before + size - done);
                assert!(before < ALIGN && blocks[before..before + size - done].iter().all(|byte| *byte == 7));
                assert_eq!(buffer.into_bytes(size), vec![7; size]);
            }
        }
    }

    #[test]
    fn no_more_than_the_bound_is_kept() {
        drop((0..64).map(|_| Buffer::of(0, 1 << 20)).collect::<Vec<_>>());
        drop(Buffer::of(0, 4 << 20));
        let held = idle().iter().map(|bytes| bytes.len()).sum::<usize>();
        assert!(held > 0 && held <= IDLE_BYTES_MAX, "{held}");
    }
}
