//! What a handler may reach: everything that the cores share.

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_metadata::effective;
use tokio::sync::watch;

use crate::catalog::{Catalog, View};
use crate::checkpoints::Checkpoints;
use crate::cleaner::cells::{CleanerCells, ScrubCells};
use crate::clock::Clock;
use crate::config::settings::Settings;
use crate::config::tables;
use crate::cores::Cores;
use crate::dispatch::Apis;
use crate::fetch::readers::Readers;
use crate::fetch::sessions::Sessions;
use crate::ledgers::groups::Groups;
use crate::ledgers::transactions::Transactions;
use crate::moves::Moves;
use crate::net::budget::Budget;
use crate::net::listener::Crowd;
use crate::notice::Notice;
use crate::quorum::Quorum;
use crate::storage::Storage;
use crate::topics::Creations;

/// Shared by all cores.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) cores: Arc<Cores>,
    pub(crate) apis: Apis,
    /// What the cluster is and which partitions lead here.
    pub(crate) catalog: Arc<Catalog>,
    /// What is written down of each partition now and then.
    pub(crate) checkpoints: Arc<Checkpoints>,
    /// The way to the controller.
    pub(crate) quorum: Arc<Quorum>,
    /// The group coordinators.
    pub(crate) groups: Arc<Groups>,
    /// The transaction coordinators.
    pub(crate) transactions: Arc<Transactions>,
    /// The log directories.
    pub(crate) storage: Arc<Storage>,
    /// Partitions on their way from one of them to another.
    pub(crate) moves: Arc<Moves>,
    /// Topics that are being created because clients asked for them.
    pub(crate) topics: Creations,
    /// Fetch sessions.
    pub(crate) sessions: Sessions,
    /// Threads that wait for the disk.
    pub(crate) readers: Readers,
    /// Memory for what arrives.
    pub(crate) requests_budget: Arc<Budget>,
    /// Memory for records on their way out.
    pub(crate) answers_budget: Arc<Budget>,
    pub(crate) crowd: Crowd,
    pub(crate) notices: Notices,
    pub(crate) cleaner: Arc<CleanerCells>,
    pub(crate) scrub: Arc<ScrubCells>,
    /// True when the broker stops.
    pub(crate) stop: watch::Sender<bool>,
}

impl Context {
    /// Effective configuration, as this broker sees it in `view`.
    pub(crate) fn effective<'a>(&'a self, view: &'a View) -> effective::View<'a> {
        effective::View {
            tables: tables::all(),
            configs: &view.image.configs,
            broker: self.settings.node.id,
            statics: self.statics(),
        }
    }

    /// What this broker was started with.
    pub(crate) fn statics(&self) -> &BTreeMap<String, String> {
        &self.settings.written
    }
}

/// Lines that strangers can provoke.
#[derive(Default)]
pub(crate) struct Notices {
    /// Connections that spoke another protocol, by mistake of whoever configured the client.
    pub(crate) strangers: Notice,
    pub(crate) connections: Notice,
    pub(crate) unacknowledged: Notice,
    pub(crate) malformed: Notice,
    pub(crate) crowded: Notice,
}
