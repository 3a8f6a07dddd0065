//! The shell: sockets, threads, timers and disks. It drives every machine and decides nothing.
//!
//! Does not know the products built on the protocol.

mod clock;
mod config;
mod lock;
mod net;
mod notice;
mod waiters;
