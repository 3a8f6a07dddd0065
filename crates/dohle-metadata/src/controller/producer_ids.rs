//! Producer ids, given to brokers in blocks (KIP-730).

use dohle_base::{BrokerId, ErrorCode, ProducerId};
use dohle_protocol::record::MetadataRecord;
use dohle_protocol::record::metadata::ProducerIdsRecord;

use super::{Controller, Decided};
use crate::Refusal;
use crate::image::BrokerEpoch;

/// How many ids a broker gets at a time.
pub const PRODUCER_IDS_BLOCK: i32 = 1_000;

/// Ids that one broker may give to producers; nobody else ever will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIds {
    /// The first of them.
    pub first: ProducerId,
    /// How many there are.
    pub count: i32,
}

impl Controller {
    pub(super) fn allocate_producer_ids(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<Decided<ProducerIds>, Refusal> {
        self.living(broker, epoch)?;
        let first = self.image.next_producer_id;
        let exhausted = || Refusal::new(ErrorCode::UnknownServerError, "every producer id has been given away");
        let next = first.checked_add(i64::from(PRODUCER_IDS_BLOCK)).ok_or_else(exhausted)?;
        let record = ProducerIdsRecord {
            broker_id: broker.0,
            broker_epoch: epoch.0,
            next_producer_id: next,
            ..Default::default()
        };
        let ids = ProducerIds { first: ProducerId(first), count: PRODUCER_IDS_BLOCK };
        Ok((vec![MetadataRecord::ProducerIds(record)], ids))
    }
}
