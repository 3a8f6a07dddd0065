//! Every version that is advertised is answered in its own form.

use std::collections::BTreeSet;

use dohle_protocol::message::add_offsets_to_txn::AddOffsetsToTxnRequest;
use dohle_protocol::message::add_partitions_to_txn::AddPartitionsToTxnRequest;
use dohle_protocol::message::alter_configs::AlterConfigsRequest;
use dohle_protocol::message::alter_replica_log_dirs::AlterReplicaLogDirsRequest;
use dohle_protocol::message::api_versions::ApiVersionsRequest;
use dohle_protocol::message::create_partitions::CreatePartitionsRequest;
use dohle_protocol::message::create_topics::CreateTopicsRequest;
use dohle_protocol::message::delete_groups::DeleteGroupsRequest;
use dohle_protocol::message::delete_records::DeleteRecordsRequest;
use dohle_protocol::message::delete_topics::DeleteTopicsRequest;
use dohle_protocol::message::describe_cluster::DescribeClusterRequest;
use dohle_protocol::message::describe_configs::DescribeConfigsRequest;
use dohle_protocol::message::describe_groups::DescribeGroupsRequest;
use dohle_protocol::message::describe_log_dirs::DescribeLogDirsRequest;
use dohle_protocol::message::describe_producers::DescribeProducersRequest;
use dohle_protocol::message::describe_quorum::{DescribeQuorumRequest, RequestPartitionData, RequestTopicData};
use dohle_protocol::message::describe_topic_partitions::DescribeTopicPartitionsRequest;
use dohle_protocol::message::describe_transactions::DescribeTransactionsRequest;
use dohle_protocol::message::end_txn::EndTxnRequest;
use dohle_protocol::message::fetch::FetchRequest;
use dohle_protocol::message::find_coordinator::FindCoordinatorRequest;
use dohle_protocol::message::heartbeat::HeartbeatRequest;
use dohle_protocol::message::incremental_alter_configs::IncrementalAlterConfigsRequest;
use dohle_protocol::message::init_producer_id::InitProducerIdRequest;
use dohle_protocol::message::join_group::JoinGroupRequest;
use dohle_protocol::message::leave_group::LeaveGroupRequest;
use dohle_protocol::message::list_config_resources::ListConfigResourcesRequest;
use dohle_protocol::message::list_groups::ListGroupsRequest;
use dohle_protocol::message::list_offsets::ListOffsetsRequest;
use dohle_protocol::message::list_transactions::ListTransactionsRequest;
use dohle_protocol::message::metadata::MetadataRequest;
use dohle_protocol::message::offset_commit::OffsetCommitRequest;
use dohle_protocol::message::offset_delete::OffsetDeleteRequest;
use dohle_protocol::message::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use dohle_protocol::message::offset_for_leader_epoch::OffsetForLeaderEpochRequest;
use dohle_protocol::message::produce::ProduceRequest;
use dohle_protocol::message::sync_group::SyncGroupRequest;
use dohle_protocol::message::txn_offset_commit::TxnOffsetCommitRequest;
use dohle_protocol::message::write_txn_markers::WriteTxnMarkersRequest;
use dohle_protocol::{ApiKey, Request};

use crate::broker::Broker;
use crate::client::Client;

/// Asks in every stable version; the client decodes the answer to its last byte.
fn in_all_versions<Q: Request>(client: &mut Client, tried: &mut BTreeSet<i16>, request: impl Fn(i16) -> Q) {
    for version in Q::KEY.stable_versions() {
        client.ask_in(&request(version), version);
    }
    tried.insert(Q::KEY.code());
}

#[test]
fn every_api_answers_in_every_version() {
    let broker = Broker::new();
    let mut client = broker.client();
    let mut tried = BTreeSet::new();
    macro_rules! with_defaults {
        ($($request:ty)*) => { $(in_all_versions(&mut client, &mut tried, |_| <$request>::default());)* };
    }
    with_defaults! {
        AddOffsetsToTxnRequest AddPartitionsToTxnRequest AlterConfigsRequest AlterReplicaLogDirsRequest
        CreatePartitionsRequest CreateTopicsRequest DeleteGroupsRequest DeleteRecordsRequest DeleteTopicsRequest
        DescribeClusterRequest
        DescribeConfigsRequest DescribeGroupsRequest DescribeLogDirsRequest DescribeProducersRequest
        DescribeTopicPartitionsRequest DescribeTransactionsRequest EndTxnRequest FetchRequest FindCoordinatorRequest
        HeartbeatRequest IncrementalAlterConfigsRequest InitProducerIdRequest JoinGroupRequest LeaveGroupRequest
        ListConfigResourcesRequest ListGroupsRequest ListOffsetsRequest ListTransactionsRequest MetadataRequest
        OffsetCommitRequest OffsetDeleteRequest OffsetForLeaderEpochRequest SyncGroupRequest TxnOffsetCommitRequest
        WriteTxnMarkersRequest
    }
    in_all_versions(&mut client, &mut tried, |version| OffsetFetchRequest {
        topics: Some(vec![]),
        groups: if version < 8 { vec![] } else { vec![OffsetFetchRequestGroup::default()] },
        ..Default::default()
    });
    let partitions = [0, 1].map(|partition_index| RequestPartitionData { partition_index, ..Default::default() });
    in_all_versions(&mut client, &mut tried, |_| DescribeQuorumRequest {
        topics: vec![RequestTopicData {
            topic_name: "__cluster_metadata".into(),
            partitions: partitions.to_vec(),
            ..Default::default()
        }],
        ..Default::default()
    });
    in_all_versions(&mut client, &mut tried, |_| ProduceRequest { acks: -1, ..Default::default() });
    in_all_versions(&mut client, &mut tried, |_| ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..Default::default()
    });
    let served: BTreeSet<i16> =
        client.ask_in(&ApiVersionsRequest::default(), 0).api_keys.iter().map(|api| api.api_key).collect();
    let name = |code: &i16| ApiKey::from_code(*code).map(ApiKey::name);
    let untried: Vec<_> = served.difference(&tried).map(name).collect();
    assert!(untried.is_empty(), "{untried:?}");
}
