//! The shell: sockets, threads, timers and disks. It drives every machine and decides nothing.
//!
//! Does not know the products built on the protocol.

mod api;
mod background;
mod catalog;
mod chance;
mod checkpoints;
mod cleaner;
mod clock;
mod config;
mod context;
mod cores;
mod dispatch;
mod fetch;
mod flusher;
mod http;
mod ledgers;
mod lock;
mod marks;
mod membership;
mod metrics;
mod moves;
mod net;
mod notice;
mod partition;
mod placements;
mod publish;
mod quorum;
mod recovery;
mod removals;
mod running;
mod scrubber;
mod space;
mod start;
mod storage;
mod topics;
mod upkeep;
mod vital;
mod volume;
mod waiters;

pub use config::listeners::{Endpoint, InvalidListeners, Listener};
pub use config::properties::{Properties, parse as parse_properties};
pub use config::settings::{InvalidSettings, Settings};
pub use config::tables::config_tables;
pub use running::Running;
pub use start::{StartError, start};
