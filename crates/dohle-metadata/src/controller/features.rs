//! How the log of a new cluster begins, and what a leadership does with a transaction that it finds open.
//!
//! Owns the records of `ActivationRecordsGenerator`; which levels a release begins with is said in the image.

use dohle_protocol::record::MetadataRecord;
use dohle_protocol::record::metadata::{
    AbortTransactionRecord, BeginTransactionRecord, EndTransactionRecord, FeatureLevelRecord,
};

use super::{Controller, Decided};
use crate::image::features::{FEATURES, Feature};
use crate::image::{Image, Resource};
use crate::snapshot::config_record;

/// The key whose value eligible leaders depend on: with them on, it is set for all brokers and nowhere else.
pub(super) const MIN_IN_SYNC: &str = "min.insync.replicas";

impl Controller {
    /// What a new leadership writes first: the end of a transaction that the last one left open, and the beginning of
    /// the log if there is none.
    pub(super) fn bootstrap(&self) -> Decided<bool> {
        let mut records = vec![];
        if self.image.in_transaction() {
            let reason = Some("another controller leads".into());
            let abort = AbortTransactionRecord { reason, ..Default::default() };
            records.push(MetadataRecord::AbortTransaction(abort));
        }
        let is_new = self.settled_image().features.is_empty();
        if is_new {
            records.extend(self.first_records());
        }
        (records, is_new)
    }

    /// The image as it is when the open transaction, if any, was aborted.
    fn settled_image(&self) -> Image {
        let mut image = self.image.clone();
        if image.in_transaction() {
            let abort = MetadataRecord::AbortTransaction(AbortTransactionRecord::default());
            image.apply(image.offset, &abort).expect("an open transaction can be aborted");
        }
        image
    }

    fn first_records(&self) -> Vec<MetadataRecord> {
        let name = Some("first records of the cluster".into());
        let mut records = vec![MetadataRecord::BeginTransaction(BeginTransactionRecord { name, ..Default::default() })];
        records.extend(FEATURES.iter().map(level));
        let least = self.min_in_sync_at_start();
        records.push(config_record(&Resource::all_brokers(), MIN_IN_SYNC, Some(&least)));
        records.push(MetadataRecord::EndTransaction(EndTransactionRecord::default()));
        records
    }

    fn min_in_sync_at_start(&self) -> String {
        let started_with = self.policy.statics.get(MIN_IN_SYNC).map(String::as_str);
        let default = || self.policy.tables.broker.find(MIN_IN_SYNC).ok().and_then(|key| key.default);
        started_with.or_else(default).unwrap_or("1").to_owned()
    }
}

fn level(feature: &Feature) -> MetadataRecord {
    let name = feature.name.into();
    MetadataRecord::FeatureLevel(FeatureLevelRecord { name, feature_level: feature.most, ..Default::default() })
}
