//! Offsets of groups that count when a transaction is committed.

use dohle_base::ErrorCode;
use dohle_protocol::message::add_offsets_to_txn::AddOffsetsToTxnRequest;
use dohle_protocol::message::join_group::JoinGroupResponse;
use dohle_protocol::message::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use dohle_protocol::message::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

use crate::client::Client;
use crate::groups::alone;
use crate::producer::{END_BEFORE, Life, broker, coordinated, settled, wait};
use crate::topics::{create, topic};

/// The versions in which a commit adds its group to the transaction, and in which it was added before.
const COMMIT: i16 = 5;
const COMMIT_BEFORE: i16 = 4;

fn request(life: &Life, offset: i64, member: Option<&JoinGroupResponse>) -> TxnOffsetCommitRequest {
    let place = |partition_index: i32| TxnOffsetCommitRequestPartition {
        partition_index,
        committed_offset: offset,
        committed_metadata: Some("mine".into()),
        ..Default::default()
    };
    let topic =
        TxnOffsetCommitRequestTopic { name: "t".into(), partitions: vec![place(0), place(9)], ..Default::default() };
    TxnOffsetCommitRequest {
        transactional_id: life.transactional_id.as_str().into(),
        group_id: "group".into(),
        producer_id: life.id,
        producer_epoch: life.epoch,
        generation_id_or_member_epoch: member.map_or(-1, |member| member.generation_id),
        member_id: member.map(|member| member.member_id.clone()).unwrap_or_default(),
        topics: vec![topic],
        ..Default::default()
    }
}

/// Commits, as often as it has to ask; the other partition does not exist.
fn commit(client: &mut Client, request: &TxnOffsetCommitRequest, version: i16) -> ErrorCode {
    let mut told = ErrorCode::UnknownServerError;
    wait("offsets are taken or refused", || {
        let places = client.ask_in(request, version).topics.remove(0).partitions;
        assert_eq!(places[1].error_code, ErrorCode::UnknownTopicOrPartition.code());
        told = ErrorCode::from_code(places[0].error_code);
        !told.is_retriable()
    });
    told
}

fn fetched(client: &mut Client, require_stable: bool) -> Result<i64, ErrorCode> {
    let topic = OffsetFetchRequestTopics { name: "t".into(), partition_indexes: vec![0], ..Default::default() };
    let group = OffsetFetchRequestGroup { group_id: "group".into(), topics: Some(vec![topic]), ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], require_stable, ..Default::default() };
    let place = client.ask_in(&request, 9).groups.remove(0).topics.remove(0).partitions.remove(0);
    if place.error_code == 0 { Ok(place.committed_offset) } else { Err(ErrorCode::from_code(place.error_code)) }
}

fn settled_at(client: &mut Client, offset: i64) {
    wait("the offset is stable", || match fetched(client, true) {
        Ok(found) => {
            assert_eq!(found, offset);
            true
        }
        Err(code) => {
            assert_eq!(code, ErrorCode::UnstableOffsetCommit);
            false
        }
    });
}

#[test]
fn offsets_count_when_their_transaction_is_committed_and_not_when_it_is_aborted() {
    let broker = broker(&[]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let mut life = Life::begin(&mut client, "tx");
    life.write(&mut client, "t", &["a"]);
    assert_eq!(commit(&mut client, &request(&life, 5, None), COMMIT), ErrorCode::None);
    assert_eq!(fetched(&mut client, false), Ok(-1));
    assert_eq!(fetched(&mut client, true), Err(ErrorCode::UnstableOffsetCommit));
    life.end(&mut client, true);
    settled_at(&mut client, 5);
    assert_eq!(commit(&mut client, &request(&life, 9, None), COMMIT), ErrorCode::None);
    assert_eq!(
        (fetched(&mut client, false), fetched(&mut client, true)),
        (Ok(5), Err(ErrorCode::UnstableOffsetCommit))
    );
    life.end(&mut client, false);
    settled_at(&mut client, 5);
    settled(&mut client, "t");
}

#[test]
fn in_the_older_protocol_the_group_is_added_before() {
    let broker = broker(&[]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let life = Life::begin(&mut client, "tx");
    assert_eq!(commit(&mut client, &request(&life, 5, None), COMMIT_BEFORE), ErrorCode::TransactionAbortable);
    assert_eq!(commit(&mut client, &request(&life, 5, None), 3), ErrorCode::InvalidTxnState);
    let add = AddOffsetsToTxnRequest {
        transactional_id: "tx".into(),
        producer_id: life.id,
        producer_epoch: life.epoch,
        group_id: "group".into(),
        ..Default::default()
    };
    assert_eq!(client.ask(&add).error_code, 0);
    assert_eq!(commit(&mut client, &request(&life, 5, None), COMMIT_BEFORE), ErrorCode::None);
    assert_eq!(life.end_in(&mut client, true, END_BEFORE).error_code, 0);
    settled_at(&mut client, 5);
}

#[test]
fn only_a_member_of_the_generation_speaks_for_its_group() {
    let broker = broker(&[]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let life = Life::begin(&mut client, "tx");
    let member = alone(&mut client, "group");
    assert_eq!(commit(&mut client, &request(&life, 5, Some(&member)), COMMIT), ErrorCode::None);
    let later = JoinGroupResponse { generation_id: member.generation_id + 1, ..member.clone() };
    assert_eq!(commit(&mut client, &request(&life, 5, Some(&later)), COMMIT), ErrorCode::IllegalGeneration);
    let stranger = JoinGroupResponse { member_id: "stranger".into(), ..member.clone() };
    assert_eq!(commit(&mut client, &request(&life, 5, Some(&stranger)), COMMIT), ErrorCode::UnknownMemberId);
    let zombie = Life { epoch: life.epoch - 1, ..life.clone() };
    let fenced = commit(&mut client, &request(&zombie, 5, Some(&member)), COMMIT);
    assert_eq!(fenced, ErrorCode::InvalidProducerEpoch);
}

#[test]
fn offsets_of_an_open_transaction_are_held_back_after_a_crash_too() {
    let broker = broker(&[]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let mut life = Life::begin(&mut client, "tx");
    assert_eq!(commit(&mut client, &request(&life, 5, None), COMMIT), ErrorCode::None);
    life.end(&mut client, true);
    settled_at(&mut client, 5);
    assert_eq!(commit(&mut client, &request(&life, 9, None), COMMIT), ErrorCode::None);
    let survivor = broker.survivor();
    let mut client = survivor.client();
    coordinated(&mut client);
    crate::groups::coordinated(&mut client);
    assert_eq!(
        (fetched(&mut client, false), fetched(&mut client, true)),
        (Ok(5), Err(ErrorCode::UnstableOffsetCommit))
    );
    // Whoever reads the log next finds the end of a transaction as well as its offsets.
    wait("the coordinator ends it", || life.end_in(&mut client, true, crate::producer::END).error_code == 0);
    settled_at(&mut client, 9);
    let again = survivor.survivor();
    let mut client = again.client();
    crate::groups::coordinated(&mut client);
    settled_at(&mut client, 9);
}
