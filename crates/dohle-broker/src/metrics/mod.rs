//! What is counted, and how it is told. Cells belong to the thing that they measure; this room knows their names.

pub(crate) mod collect;
pub(crate) mod requests;

mod exposition;
