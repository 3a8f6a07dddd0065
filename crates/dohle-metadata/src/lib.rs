//! What the cluster is and who may change it: image, delta, snapshot, effective configuration, controller, placement.
//!
//! Does not know how records travel.

pub mod controller;
pub mod delta;
pub mod directory;
pub mod effective;
pub mod image;
pub mod placement;
pub mod snapshot;

mod refusal;

#[cfg(test)]
mod fixture;

pub use image::Image;
pub use refusal::Refusal;
