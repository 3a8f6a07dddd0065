//! What is gathered for one write of whole blocks: it begins at a block of memory, as what goes past the page cache has to.

use std::ops::Range;

use crate::disk::DIRECT_BLOCK;

/// Bytes that begin at a whole block. What was written once stays initialised, so that gathering anew clears nothing.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    begin: usize,
    length: usize,
}

impl Buffer {
    /// Forgets what was gathered.
    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    /// Puts these bytes behind the others.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    /// As much room behind the others, with whatever it holds.
    pub(super) fn room(&mut self, size: usize) -> &mut [u8] {
        let at = self.length;
        self.length += size;
        if self.begin + self.length > self.bytes.len() {
            self.grow(at);
        }
        &mut self.bytes[self.begin + at..self.begin + self.length]
    }

    /// Clears what is left of the last of such blocks.
    pub(super) fn fill(&mut self, block: usize) {
        let left = self.length.next_multiple_of(block) - self.length;
        self.room(left).fill(0);
    }

    /// How much has been gathered.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// What it could gather without more memory.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.len().saturating_sub(DIRECT_BLOCK)
    }

    /// What was gathered.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.begin..self.begin + self.length]
    }

    pub(super) fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        &mut self.bytes[self.begin..self.begin + self.length][range]
    }

    /// Moves the first `kept` bytes to memory that has room for all.
    fn grow(&mut self, kept: usize) {
        let mut bytes = vec![0; self.length.next_power_of_two() + DIRECT_BLOCK];
        let begin = bytes.as_ptr().align_offset(DIRECT_BLOCK);
        bytes[begin..begin + kept].copy_from_slice(&self.bytes[self.begin..self.begin + kept]);
        (self.bytes, self.begin) = (bytes, begin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_begins_at_a_block_of_memory_however_it_grows() {
        let mut buffer = Buffer::default();
        for sizes in [&[1, 36, DIRECT_BLOCK, 10 * DIRECT_BLOCK + 1, 7][..], &[11 * DIRECT_BLOCK + 1], &[300; 100], &[9]]
        {
            buffer.clear();
            let mut expected = vec![];
            for size in sizes {
                let bytes = vec![*size as u8; *size];
                buffer.put(&bytes);
                expected.extend(bytes);
                assert_eq!(buffer.bytes(), expected);
                assert_eq!(buffer.bytes().as_ptr().align_offset(DIRECT_BLOCK), 0);
            }
            buffer.fill(DIRECT_BLOCK);
            expected.resize(expected.len().next_multiple_of(DIRECT_BLOCK), 0);
            assert_eq!(buffer.bytes(), expected, "nothing of what was gathered before");
        }
        assert!((12 * DIRECT_BLOCK..24 * DIRECT_BLOCK).contains(&buffer.capacity()));
    }
}
