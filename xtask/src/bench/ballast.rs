//! Memory that is held while brokers are measured, so that the machine has little that is free.
//!
//! What a virtual machine has not used for a second or two goes back to its host, and a page that has to be fetched from there again costs more than
//! all that a broker does with it. With little to choose from the same pages go round.

use anyhow::Result;

use super::machine;

const PAGE_BYTES: usize = 4096;
pub(super) const GIB: u64 = 1 << 30;

/// Memory of this process, given back when dropped.
pub(super) struct Ballast {
    pages: Vec<u8>,
}

impl Ballast {
    /// Takes what is available but for so many bytes.
    pub(super) fn take(leave: u64) -> Result<Self> {
        let bytes = machine::available_bytes()?.saturating_sub(leave);
        let mut pages = vec![0; usize::try_from(bytes)?];
        // Memory is not taken before it is written to.
        pages.iter_mut().step_by(PAGE_BYTES).for_each(|byte| *byte = 1);
        Ok(Self { pages })
    }

    /// How much it is.
    pub(super) fn bytes(&self) -> u64 {
        self.pages.len() as u64
    }
}
