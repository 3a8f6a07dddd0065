//! A broker that serves, and the order in which it stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use dohle_log::directory::Checkpoint;

use crate::background::Background;
use crate::config::listeners::Listener;
use crate::context::Context;
use crate::partition::Partition;

/// A broker that serves. Dropping it without [`Running::stop`] leaves it as if it had been killed: nothing that was acknowledged is
/// lost, and the next start has to look at the logs.
pub struct Running {
    pub(crate) context: Arc<Context>,
    pub(crate) background: Background,
    /// Publisher, upkeep, removals, cleaners and scrubber, which end with the background, and movers, which end with the moves.
    pub(crate) threads: Vec<JoinHandle<()>>,
    pub(crate) flushers: Vec<JoinHandle<()>>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) http: Option<SocketAddr>,
}

impl Running {
    /// Where clients may call, with the ports that were really opened.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Where `/metrics` and `/health` are, if anywhere.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// The id of the cluster.
    pub fn cluster_id(&self) -> &str {
        self.context.storage.cluster_id()
    }

    /// Whether the disk of the metadata log, or every disk of partitions, has failed: the broker cannot do its work any more, and its
    /// process should end with an error.
    pub fn has_failed(&self) -> bool {
        let storage = &self.context.storage;
        storage.metadata().is_offline() || storage.volumes().iter().all(|volume| volume.is_offline())
    }

    /// Stops in order: no new request, no answer lost, everything durable. Waits until that is done.
    pub fn stop(self) {
        self.context.stop.send_replace(true);
        self.context.cores.join();
        self.background.close();
        self.context.moves.close();
        for thread in self.threads {
            // A thread that died has told so itself.
            let _ = thread.join();
        }
        for volume in self.context.storage.all() {
            volume.flusher.close();
        }
        for flusher in self.flushers {
            let _ = flusher.join();
        }
        close(&self.context);
    }
}

/// Makes every log durable, writes the last checkpoints, and says that the stop was clean where all of that was done.
fn close(context: &Context) {
    let (storage, clock) = (&context.storage, context.clock);
    let view = context.catalog.view();
    let partitions: Vec<&Arc<Partition>> = view.led.values().chain([context.quorum.partition()]).collect();
    partitions.iter().for_each(|partition| partition.flush(|| clock.now()));
    for checkpoint in [Checkpoint::RecoveryPoint, Checkpoint::HighWatermark, Checkpoint::LogStart] {
        context.checkpoints.write(checkpoint, clock.instant());
    }
    partitions.iter().for_each(|partition| storage.close(partition, clock.wall()));
    let broker_epoch = context.quorum.broker_epoch().0;
    for volume in storage.all().filter(|volume| !volume.is_offline()) {
        if let Err(failure) = volume.mark_clean_stop(broker_epoch) {
            tracing::error!("the stop does not count as clean: {failure}");
        }
    }
}
