//! One file for each API: in its head what it serves, below it the handler, and nothing else. A handler turns the wire into a
//! command and a result into the wire; it holds no state and knows no disk.
//!
//! The table of what is served, the answer to ApiVersions and the documentation are made from these heads.

use std::ops::RangeInclusive;

use dohle_base::BrokerId;
use dohle_protocol::{ApiKey, Str};

use crate::catalog::View;
use crate::dispatch::{Call, Client};
use crate::net::answers::Answering;

/// The head of an API file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Api {
    pub(crate) key: ApiKey,
    /// A request may start before an earlier one of its connection is answered, if that one may overlap too. Only for a handler
    /// that has done what it does to the world when it waits for the first time, or waits for that with [`Client::ahead`].
    pub(crate) overlaps: bool,
    advertised_from: Option<i16>,
}

impl Api {
    /// Served in every stable version of the release, one request after the other.
    pub(crate) const fn of(key: ApiKey) -> Self {
        Self { key, overlaps: false, advertised_from: None }
    }

    /// The same, and requests may overlap.
    pub(crate) const fn overlapping(mut self) -> Self {
        self.overlaps = true;
        self
    }

    /// The same, and ApiVersions claims older versions than are served.
    pub(crate) const fn advertised_from(mut self, version: i16) -> Self {
        self.advertised_from = Some(version);
        self
    }

    /// What is served.
    pub(crate) fn versions(&self) -> RangeInclusive<i16> {
        self.key.stable_versions()
    }

    /// What ApiVersions says.
    pub(crate) fn advertised(&self) -> RangeInclusive<i16> {
        let served = self.versions();
        self.advertised_from.unwrap_or(*served.start())..=*served.end()
    }
}

/// An API and the way to its handler.
pub(crate) struct Served {
    pub(crate) api: &'static Api,
    pub(crate) start: fn(Call) -> Answering,
}

macro_rules! serve {
    ($($file:ident)*) => {
        $(pub(crate) mod $file;)*

        /// Everything that is served.
        pub(crate) const SERVED: &[Served] =
            &[$(Served { api: &$file::API, start: |call| Box::pin(call.answer($file::handle)) },)*];
    };
}

serve! {
    add_offsets_to_txn
    add_partitions_to_txn
    alter_configs
    alter_replica_log_dirs
    api_versions
    create_partitions
    create_topics
    delete_groups
    delete_records
    delete_topics
    describe_cluster
    describe_configs
    describe_groups
    describe_log_dirs
    describe_producers
    describe_quorum
    describe_topic_partitions
    describe_transactions
    end_txn
    fetch
    find_coordinator
    heartbeat
    incremental_alter_configs
    init_producer_id
    join_group
    leave_group
    list_config_resources
    list_groups
    list_offsets
    list_transactions
    metadata
    offset_commit
    offset_delete
    offset_fetch
    offset_for_leader_epoch
    produce
    sync_group
    txn_offset_commit
    write_txn_markers
}

mod controlling;
mod coordination;
mod lookup;
mod operations;
mod replicas;
mod resource;
mod transacting;
mod verification;

/// Where a broker can be called on the listener that the client called: its number, host, port and rack.
fn endpoint(view: &View, client: &Client, broker: i32) -> Option<(i32, Str, i32, Option<Str>)> {
    let broker = view.image.brokers.get(BrokerId(broker))?;
    let listener = broker.listener(&client.peer.listener.bind.name)?;
    let rack = broker.rack.as_deref().map(Into::into);
    Some((broker.id.0, listener.host.as_str().into(), i32::from(listener.port), rack))
}

#[cfg(test)]
mod tests {
    use super::SERVED;

    #[test]
    fn an_api_is_served_once_and_only_on_a_brokers_listener() {
        for (place, served) in SERVED.iter().enumerate() {
            assert!(served.api.key.is_for_brokers(), "{}", served.api.key);
            assert!(SERVED[..place].iter().all(|other| other.api.key != served.api.key), "{}", served.api.key);
        }
    }
}
