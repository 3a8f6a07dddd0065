//! The threads beside the cores: what reaches them, what each is started with, and what ends them.
//!
//! What they do, their own rooms say. Law: of these only the publisher runs before the cluster counts on this broker, for what the others write down
//! comes from what is led here. (Flushers and readers are threads too: they belong to the disks and to the cores, which need them from the first.)

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use dohle_base::Uuid;

use crate::cleaner::rate::Rate;
use crate::cleaner::{Cleaner, Desk};
use crate::context::Context;
use crate::partition::Outcome;
use crate::placements::Placements;
use crate::publish::{Mailbox, Publisher};
use crate::removals::Removals;
use crate::scrubber::Scrubber;
use crate::upkeep::{Ending, Upkeep};
use crate::waiters::Waiters;

/// What reaches the threads.
pub(crate) struct Background {
    /// Images for the publisher.
    pub(crate) mailbox: Arc<Mailbox>,
    /// What is to be removed.
    pub(crate) removals: Arc<Removals>,
    /// Which logs the cleaners and the scrubber are at.
    pub(crate) desk: Arc<Desk>,
    /// Producers who wait for what they have appended: the publisher hands them to each partition that it opens.
    pub(crate) waiters: Arc<Waiters<Outcome>>,
    ending: Arc<Ending>,
}

impl Background {
    /// No thread runs yet.
    pub(crate) fn new() -> Self {
        Self {
            mailbox: Arc::default(),
            removals: Arc::default(),
            desk: Arc::default(),
            waiters: Waiters::new(),
            ending: Arc::default(),
        }
    }

    /// Starts the thread that obeys what the cluster decides. `incarnation` is this life of the broker.
    pub(crate) fn start_publisher(&self, context: &Context, incarnation: Uuid) -> io::Result<JoinHandle<()>> {
        let publisher = Publisher {
            node: context.settings.node.id,
            clock: context.clock,
            catalog: Arc::clone(&context.catalog),
            storage: Arc::clone(&context.storage),
            groups: Arc::clone(&context.groups),
            transactions: Arc::clone(&context.transactions),
            removals: Arc::clone(&self.removals),
            moves: Arc::clone(&context.moves),
            placements: Placements { cores: Arc::clone(&context.cores), quorum: Arc::clone(&context.quorum) },
            waiters: Arc::clone(&self.waiters),
            incarnation,
            begun: false,
        };
        publisher.start(Arc::clone(&self.mailbox))
    }

    /// Starts all others.
    pub(crate) fn start(&self, context: &Context) -> io::Result<Vec<JoinHandle<()>>> {
        let mut threads = vec![self.upkeep(context).start()?, self.removals.start(context.clock)?];
        threads.extend(self.cleaner(context).start()?);
        threads.extend(self.scrubber(context).start()?);
        threads.extend(context.moves.start()?);
        Ok(threads)
    }

    /// Lets all threads end but the movers, who end with the moves.
    pub(crate) fn close(&self) {
        self.mailbox.close();
        self.ending.wish();
        self.removals.close();
        self.desk.close();
    }

    fn upkeep(&self, context: &Context) -> Upkeep {
        Upkeep {
            clock: context.clock,
            settings: context.settings.upkeep.clone(),
            catalog: Arc::clone(&context.catalog),
            storage: Arc::clone(&context.storage),
            removals: Arc::clone(&self.removals),
            ending: Arc::clone(&self.ending),
            checkpoints: Arc::clone(&context.checkpoints),
        }
    }

    fn cleaner(&self, context: &Context) -> Cleaner {
        Cleaner {
            clock: context.clock,
            rate: Rate::new(context.settings.cleaner.bytes_per_second),
            settings: context.settings.cleaner.clone(),
            catalog: Arc::clone(&context.catalog),
            removals: Arc::clone(&self.removals),
            desk: Arc::clone(&self.desk),
            cells: Arc::clone(&context.cleaner),
        }
    }

    fn scrubber(&self, context: &Context) -> Scrubber {
        Scrubber {
            clock: context.clock,
            settings: context.settings.scrub.clone(),
            catalog: Arc::clone(&context.catalog),
            storage: Arc::clone(&context.storage),
            desk: Arc::clone(&self.desk),
            cells: Arc::clone(&context.scrub),
        }
    }
}
