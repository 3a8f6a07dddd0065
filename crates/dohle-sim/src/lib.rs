//! The simulated world: network, disk, clock and clients around the machines, one file per invariant.
