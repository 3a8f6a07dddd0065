//! What a handler may reach: everything that the cores share.

use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::dispatch::Apis;
use crate::net::budget::Budget;
use crate::net::listener::Crowd;
use crate::notice::Notice;

/// Shared by all cores.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) apis: Apis,
    pub(crate) requests_budget: Arc<Budget>,
    pub(crate) crowd: Crowd,
    pub(crate) notices: Notices,
    /// True when the broker stops.
    pub(crate) stop: watch::Sender<bool>,
}

/// Lines that strangers can provoke.
#[derive(Default)]
pub(crate) struct Notices {
    pub(crate) connections: Notice,
    pub(crate) malformed: Notice,
    pub(crate) crowded: Notice,
}
