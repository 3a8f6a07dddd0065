//! What a rope becomes: slices to be sent in order.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// A written message: slices to be sent one after the other, in one vectored write where possible.
#[derive(Debug, Clone, Default)]
pub struct Pieces {
    pieces: VecDeque<Bytes>,
    remaining: usize,
}

impl Pieces {
    pub(super) fn with_capacity(slices: usize) -> Self {
        Self { pieces: VecDeque::with_capacity(slices), remaining: 0 }
    }

    /// Adds a slice at the end, unless it is empty.
    pub(super) fn push(&mut self, slice: Bytes) {
        if !slice.is_empty() {
            self.remaining += slice.len();
            self.pieces.push_back(slice);
        }
    }

    /// The slices that are left.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// How many bytes are left.
    pub fn len(&self) -> usize {
        self.remaining
    }

    /// Whether everything was sent.
    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// What is left as one slice. Copies unless it is one already.
    pub fn into_bytes(mut self) -> Bytes {
        if self.pieces.len() == 1 {
            self.pieces.pop_front().unwrap_or_default()
        } else {
            self.copy_to_bytes(self.remaining)
        }
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let count = self.pieces.len().min(slices.len());
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
        }
        count
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.remaining, "advance past the end");
        self.remaining -= count;
        let mut left = count;
        while let Some(front) = self.pieces.front_mut() {
            if left < front.len() {
                front.advance(left);
                return;
            }
            left -= front.len();
            self.pieces.pop_front();
        }
    }
}
