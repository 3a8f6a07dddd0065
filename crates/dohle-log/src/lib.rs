//! Durability of one partition on one disk, synchronous, through the `Disk` trait.
//!
//! Knows no replica, no request, no thread and no clock: it is given `now`.
