//! The load generator: against any broker that speaks Kafka's protocol.
//!
//! The pure parts are apart from the loops that perform them: [`schedule`] says when requests are meant to start,
//! [`template`] and [`request`] what is sent and which of its bytes change, [`answer`] what is read of what comes back,
//! [`tally`] and [`report`] what it comes to. The loops know no runtime: one thread each, which sleeps on its sockets. Must
//! not know the broker.

pub mod answer;
pub mod failure;
pub mod group;
pub mod histogram;
pub mod machine;
pub mod payload;
pub mod plan;
pub mod report;
pub mod request;
pub mod schedule;
pub mod tally;
pub mod template;

mod drive;
mod wire;

pub use drive::{News, disturb, require_consumer_protocol, run, run_group};
pub use failure::Failure;
pub use plan::Plan;
pub use report::{Report, Results};
