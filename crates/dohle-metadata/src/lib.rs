//! What the cluster is and who may change it: image, delta, controller, placement.
//!
//! Does not know how records travel.
