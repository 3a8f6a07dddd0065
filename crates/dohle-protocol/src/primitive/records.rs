//! Record batches as a field of a message: bytes for this crate, whatever is in them.

use bytes::Bytes;

/// The bytes of record batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// Held in memory. What was read is always held.
    Held(Bytes),
    /// So many bytes that lie elsewhere: the message has a gap there, which whoever sends it fills
    /// ([`Rope::seal_with_gaps`](super::Rope::seal_with_gaps)).
    Elsewhere(u32),
}

impl Records {
    /// How many bytes they are.
    pub fn len(&self) -> usize {
        match self {
            Self::Held(bytes) => bytes.len(),
            Self::Elsewhere(length) => *length as usize,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes; empty where they lie elsewhere.
    pub fn held(&self) -> &[u8] {
        match self {
            Self::Held(bytes) => bytes,
            Self::Elsewhere(_) => &[],
        }
    }

    /// The same, for whoever keeps them.
    pub fn into_held(self) -> Bytes {
        match self {
            Self::Held(bytes) => bytes,
            Self::Elsewhere(_) => Bytes::new(),
        }
    }
}

impl Default for Records {
    fn default() -> Self {
        Self::Held(Bytes::new())
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self::Held(bytes)
    }
}
