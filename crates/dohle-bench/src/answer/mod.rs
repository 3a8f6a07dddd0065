//! What the generator reads of an answer: as much as it counts, and nothing twice.
//!
//! Nothing is allocated and nothing copied. The layouts are those that `dohle-protocol` knows, which the tests hold them to.

pub mod cursor;
pub mod fetch;
pub mod produce;
