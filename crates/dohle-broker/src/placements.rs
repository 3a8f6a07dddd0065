//! In which log directories this broker's replicas lie, told to the controller (KIP-858; `AssignmentsManager`).
//!
//! Owns the way there. What could not be told is told at the next start, which finds that the metadata say otherwise.

use std::sync::Arc;

use dohle_base::Uuid;

use crate::cores::Cores;
use crate::partition::Partition;
use crate::quorum::Quorum;

/// Tells the controller.
#[derive(Clone)]
pub(crate) struct Placements {
    pub(crate) cores: Arc<Cores>,
    pub(crate) quorum: Arc<Quorum>,
}

impl Placements {
    /// The partition lies in this directory. Waits for nothing.
    pub(crate) fn tell(&self, partition: &Arc<Partition>, directory: Uuid) {
        let (quorum, partition) = (Arc::clone(&self.quorum), Arc::clone(partition));
        let told = async move {
            if let Err(refusal) = quorum.place(partition.topic_id, partition.index, directory).await {
                tracing::warn!(?partition, %directory, "the controller does not know where it lies: {refusal}");
            }
        };
        self.cores.deal(Box::new(move || Box::pin(told)));
    }
}
