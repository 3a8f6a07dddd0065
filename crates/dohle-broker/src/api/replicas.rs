//! Who holds a partition and who leads it, as clients are told: one that cannot be called is not named as a leader.

use dohle_base::BrokerId;
use dohle_metadata::image::Assignment;

use crate::catalog::View;

/// A partition's brokers, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replicas {
    /// None where nobody leads, or nobody who lives.
    pub(super) leader: Option<i32>,
    pub(super) all: Vec<i32>,
    pub(super) in_sync: Vec<i32>,
    /// Those that are fenced or gone.
    pub(super) offline: Vec<i32>,
}

impl Replicas {
    /// As the cluster is in `view`.
    pub(super) fn of(view: &View, assignment: &Assignment) -> Self {
        let lives = |broker: &BrokerId| view.image.brokers.get(*broker).is_some_and(|broker| !broker.fenced);
        let offline = assignment.replicas.iter().filter(|broker| !lives(broker));
        Self {
            leader: (assignment.has_leader() && lives(&assignment.leader)).then_some(assignment.leader.0),
            all: numbers(&assignment.replicas),
            in_sync: numbers(&assignment.in_sync),
            offline: offline.map(|broker| broker.0).collect(),
        }
    }
}

/// Brokers by number.
pub(super) fn numbers(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}
