//! Producer ids: given to this broker in blocks, by this broker one by one (`RPCProducerIdManager`).

use std::ops::Range;
use std::sync::Mutex;

use dohle_base::ProducerId;
use dohle_metadata::controller::{Command, Reply};

use super::{Quorum, unled};
use crate::lock::hold;

/// Ids that the controller gave to this broker and that it has not given on.
#[derive(Debug, Default)]
pub(crate) struct ProducerIdBlock(Mutex<Range<i64>>);

impl ProducerIdBlock {
    fn take(&self) -> Option<ProducerId> {
        hold(&self.0).next().map(ProducerId)
    }

    /// Puts a new block in the place of an empty one. Of two that come together one is lost, which harms nobody.
    fn fill(&self, block: Range<i64>) {
        let mut ids = hold(&self.0);
        if ids.is_empty() {
            *ids = block;
        }
    }
}

impl Quorum {
    /// An id that no producer has had.
    pub(crate) async fn producer_id(&self) -> Result<ProducerId, dohle_metadata::Refusal> {
        loop {
            if let Some(id) = self.producer_ids.take() {
                return Ok(id);
            }
            let command = Command::AllocateProducerIds { broker: self.voter.id, epoch: self.broker_epoch() };
            match self.ask(command).await.map_err(unled)? {
                Reply::ProducerIds(block) => {
                    let block = block?;
                    self.producer_ids.fill(block.first.0..block.first.0 + i64::from(block.count));
                }
                _ => unreachable!("an allocation is answered as one"),
            }
        }
    }
}
