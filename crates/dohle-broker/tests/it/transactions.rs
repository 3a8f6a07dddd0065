//! Transactions: begun, written, ended, fenced, timed out, taken up again after a stop, shown and aborted by an operator.

use dohle_base::ErrorCode;
use dohle_protocol::message::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use dohle_protocol::message::describe_producers::{DescribeProducersRequest, ProducerState, TopicRequest};
use dohle_protocol::message::describe_transactions::{DescribeTransactionsRequest, TransactionState};
use dohle_protocol::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use dohle_protocol::message::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
use dohle_protocol::message::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest};

use crate::client::{Client, batch_of};
use crate::producer::{
    END, END_BEFORE, Life, PRODUCE, PRODUCE_BEFORE, aborted, broker, committed, coordinated, init_once, partition,
    settled, wait,
};
use crate::topics::{create, topic};

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code)
}

#[test]
fn what_is_committed_is_read_and_what_is_aborted_is_not() {
    let broker = broker(&[]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let mut life = Life::begin(&mut client, "tx");
    life.write(&mut client, "t", &["a", "b"]);
    life.write(&mut client, "t", &["c"]);
    let open = partition(&mut client, "t");
    assert_eq!((open.last_stable_offset, open.high_watermark), (0, 3));
    assert!(committed(&mut client, "t").is_empty());
    life.end(&mut client, true);
    settled(&mut client, "t");
    assert_eq!(committed(&mut client, "t"), ["a", "b", "c"]);
    // Not a word for the transaction before: the next one begins behind its marker.
    life.write(&mut client, "t", &["x"]);
    life.end(&mut client, false);
    life.write(&mut client, "t", &["d"]);
    life.end(&mut client, true);
    settled(&mut client, "t");
    assert_eq!(committed(&mut client, "t"), ["a", "b", "c", "d"]);
    assert_eq!(aborted(&mut client, "t", 4), [(life.id, 4)]);
    assert!(aborted(&mut client, "t", 0).is_empty(), "what the answer does not reach is not told of");
}

#[test]
fn each_end_raises_the_epoch_and_a_repeated_one_is_told_the_same() {
    let broker = broker(&[]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let mut life = Life::begin(&mut client, "tx");
    life.write(&mut client, "t", &["a"]);
    let before = life.clone();
    life.end(&mut client, true);
    assert_eq!((life.id, life.epoch), (before.id, before.epoch + 1));
    settled(&mut client, "t");
    wait("the end can be repeated", || {
        let again = before.end_in(&mut client, true, END);
        assert!([0, ErrorCode::ConcurrentTransactions.code()].contains(&again.error_code));
        again.error_code == 0 && (again.producer_id, again.producer_epoch) == (life.id, life.epoch)
    });
    assert_eq!(code(before.end_in(&mut client, false, END).error_code), ErrorCode::InvalidTxnState);
    // A late end of the transaction before does not touch the next one.
    life.write(&mut client, "t", &["b"]);
    assert_eq!(code(before.end_in(&mut client, true, END).error_code), ErrorCode::ProducerFenced);
    assert_eq!(committed(&mut client, "t"), ["a"]);
    life.end(&mut client, true);
    settled(&mut client, "t");
    assert_eq!(committed(&mut client, "t"), ["a", "b"]);
}

#[test]
fn in_the_older_protocol_partitions_are_added_before_they_are_written_to() {
    let broker = broker(&[]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let mut life = Life::begin(&mut client, "tx");
    let refused = life.write_in(&mut client, "t", &["a"], PRODUCE_BEFORE);
    assert_eq!(code(refused.error_code), ErrorCode::TransactionAbortable);
    let refused = life.write_in(&mut client, "t", &["a"], PRODUCE_BEFORE - 1);
    assert_eq!(code(refused.error_code), ErrorCode::InvalidTxnState);
    assert_eq!(life.add(&mut client, "absent"), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(life.add(&mut client, "t"), ErrorCode::None);
    assert_eq!(life.write_in(&mut client, "t", &["a"], PRODUCE_BEFORE).error_code, 0);
    assert_eq!(life.end_in(&mut client, true, END_BEFORE).error_code, 0);
    settled(&mut client, "t");
    assert_eq!(committed(&mut client, "t"), ["a"]);
    wait("the end can be repeated", || life.end_in(&mut client, true, END_BEFORE).error_code == 0);
    assert_eq!(code(life.end_in(&mut client, false, END_BEFORE).error_code), ErrorCode::InvalidTxnState);
    let late = life.write_in(&mut client, "t", &["b"], PRODUCE_BEFORE);
    assert_eq!(code(late.error_code), ErrorCode::TransactionAbortable, "the transaction is over");
}

#[test]
fn brokers_ask_for_many_transactions_at_once() {
    let broker = broker(&[]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 2)]);
    let (life, other) = (Life::begin(&mut client, "tx"), Life::begin(&mut client, "other"));
    let mut ask = |life: &Life, partitions: Vec<i32>, verify_only: bool, version: i16| {
        let topics = vec![AddPartitionsToTxnTopic { name: "t".into(), partitions, ..Default::default() }];
        let transaction = |life: &Life| AddPartitionsToTxnTransaction {
            transactional_id: life.transactional_id.as_str().into(),
            producer_id: life.id,
            producer_epoch: life.epoch,
            verify_only,
            topics: topics.clone(),
            ..Default::default()
        };
        let transactions = vec![transaction(life), transaction(&other)];
        let request = AddPartitionsToTxnRequest { transactions, ..Default::default() };
        let answer = client.ask_in(&request, version);
        assert_eq!((answer.error_code, answer.results_by_transaction.len()), (0, 2));
        let partitions = &answer.results_by_transaction[0].topic_results[0].results_by_partition;
        partitions.iter().map(|partition| code(partition.partition_error_code)).collect::<Vec<_>>()
    };
    assert_eq!(ask(&life, vec![0], false, 5), [ErrorCode::None]);
    assert_eq!(ask(&life, vec![0, 1], true, 5), [ErrorCode::None, ErrorCode::TransactionAbortable]);
    assert_eq!(ask(&life, vec![0, 1], true, 4), [ErrorCode::None, ErrorCode::InvalidTxnState]);
    let missing = [ErrorCode::OperationNotAttempted, ErrorCode::UnknownTopicOrPartition];
    assert_eq!(ask(&life, vec![1, 7], false, 5), missing);
    let stranger = Life { epoch: life.epoch + 1, ..life.clone() };
    assert_eq!(ask(&stranger, vec![0], true, 5), [ErrorCode::ProducerFenced]);
}

#[test]
fn a_new_life_fences_the_one_before_and_aborts_what_it_left_open() {
    let broker = broker(&[]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let mut first = Life::begin(&mut client, "tx");
    first.write(&mut client, "t", &["zombie"]);
    let told = init_once(&mut client, "tx", 60_000);
    assert_eq!(code(told.error_code), ErrorCode::ConcurrentTransactions, "the open transaction is aborted first");
    let mut second = Life::begin(&mut client, "tx");
    assert!(second.id == first.id && second.epoch > first.epoch);
    let late = first.write_in(&mut client, "t", &["late"], PRODUCE);
    assert_eq!(code(late.error_code), ErrorCode::InvalidProducerEpoch);
    assert_eq!(code(first.end_in(&mut client, true, END).error_code), ErrorCode::ProducerFenced);
    assert_eq!(code(first.end_in(&mut client, true, 1).error_code), ErrorCode::InvalidProducerEpoch);
    second.write(&mut client, "t", &["a"]);
    second.end(&mut client, true);
    settled(&mut client, "t");
    assert_eq!(committed(&mut client, "t"), ["a"]);
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    let broker = broker(&[("transaction.abort.timed.out.transaction.cleanup.interval.ms", "20")]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let told = init_once(&mut client, "tx", i32::MAX);
    assert_eq!(code(told.error_code), ErrorCode::InvalidTransactionTimeout);
    let mut life = Life::begin_with(&mut client, "tx", 100);
    life.write(&mut client, "t", &["a"]);
    settled(&mut client, "t");
    assert!(committed(&mut client, "t").is_empty());
    let late = life.end_in(&mut client, true, END);
    assert_eq!(code(late.error_code), ErrorCode::InvalidTxnState, "it has ended otherwise");
    let after = Life::begin(&mut client, "tx");
    assert!(after.epoch > life.epoch);
}

fn alter_in_sync_min(client: &mut Client, topic: &str, value: &str) {
    let config =
        AlterableConfig { name: "min.insync.replicas".into(), value: Some(value.into()), ..Default::default() };
    let resource = AlterConfigsResource {
        resource_type: 2,
        resource_name: topic.into(),
        configs: vec![config],
        ..Default::default()
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    assert_eq!(client.ask(&request).responses[0].error_code, 0);
}

fn describe(client: &mut Client, transactional_id: &str) -> TransactionState {
    let request =
        DescribeTransactionsRequest { transactional_ids: vec![transactional_id.into()], ..Default::default() };
    client.ask(&request).transaction_states.remove(0)
}

#[test]
fn a_decided_transaction_is_ended_by_whoever_leads_next() {
    let broker = broker(&[]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1), topic("u", 1)]);
    let mut life = Life::begin(&mut client, "tx");
    life.write(&mut client, "t", &["a"]);
    life.write(&mut client, "u", &["b"]);
    // A marker is as safe as the topic demands of its records, or it is not written.
    alter_in_sync_min(&mut client, "u", "2");
    life.end(&mut client, true);
    settled(&mut client, "t");
    assert_eq!(describe(&mut client, "tx").transaction_state, "PrepareCommit");
    assert_eq!(code(init_once(&mut client, "tx", 60_000).error_code), ErrorCode::ConcurrentTransactions);
    let next = life.write_in(&mut client, "t", &["c"], PRODUCE);
    assert_eq!(code(next.error_code), ErrorCode::ConcurrentTransactions);

    let mut survivor = broker.survivor();
    for _ in 0..2 {
        let mut client = survivor.client();
        coordinated(&mut client);
        wait("the coordinator has read its log", || describe(&mut client, "tx").error_code == 0);
        assert_eq!(describe(&mut client, "tx").transaction_state, "PrepareCommit");
        assert!(committed(&mut client, "u").is_empty());
        survivor.restart();
    }
    let mut client = survivor.client();
    alter_in_sync_min(&mut client, "u", "1");
    settled(&mut client, "u");
    assert_eq!(committed(&mut client, "u"), ["b"]);
    wait("the transaction is complete", || describe(&mut client, "tx").transaction_state == "CompleteCommit");
    life.write(&mut client, "t", &["c"]);
    life.end(&mut client, true);
    settled(&mut client, "t");
    assert_eq!(committed(&mut client, "t"), ["a", "c"]);
}

#[test]
fn an_open_transaction_goes_on_after_a_crash() {
    let broker = broker(&[]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let mut life = Life::begin(&mut client, "tx");
    life.write(&mut client, "t", &["a"]);
    let survivor = broker.survivor();
    let mut client = survivor.client();
    coordinated(&mut client);
    wait("the coordinator has read its log", || describe(&mut client, "tx").error_code == 0);
    let open = describe(&mut client, "tx");
    assert_eq!((open.transaction_state.as_str(), open.topics[0].partitions.as_slice()), ("Ongoing", &[0][..]));
    life.write(&mut client, "t", &["b"]);
    life.end(&mut client, true);
    settled(&mut client, "t");
    assert_eq!(committed(&mut client, "t"), ["a", "b"]);
}

fn producers(client: &mut Client, name: &str) -> Vec<ProducerState> {
    let asked = TopicRequest { name: name.into(), partition_indexes: vec![0], ..Default::default() };
    let request = DescribeProducersRequest { topics: vec![asked], ..Default::default() };
    client.ask(&request).topics.remove(0).partitions.remove(0).active_producers
}

fn mark(client: &mut Client, producer_id: i64, producer_epoch: i16, coordinator_epoch: i32, version: i8) -> ErrorCode {
    let place =
        |name: &str| WritableTxnMarkerTopic { name: name.into(), partition_indexes: vec![0], ..Default::default() };
    let marker = WritableTxnMarker {
        producer_id,
        producer_epoch,
        coordinator_epoch,
        transaction_version: version,
        transaction_result: false,
        topics: vec![place("t"), place("absent")],
        ..Default::default()
    };
    let answer = client.ask(&WriteTxnMarkersRequest { markers: vec![marker], ..Default::default() });
    let topics = &answer.markers[0].topics;
    assert_eq!(code(topics[1].partitions[0].error_code), ErrorCode::UnknownTopicOrPartition);
    code(topics[0].partitions[0].error_code)
}

#[test]
fn an_operator_finds_a_transaction_that_hangs_and_aborts_it() {
    // What a client of old could do: write without the coordinator's knowledge.
    let broker = broker(&[("transaction.partition.verification.enable", "false")]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let mut life = Life::begin(&mut client, "tx");
    assert_eq!(life.write_in(&mut client, "t", &["hangs"], PRODUCE_BEFORE).error_code, 0);
    let hanging = producers(&mut client, "t").remove(0);
    assert_eq!((hanging.producer_id, hanging.current_txn_start_offset), (life.id, 0));
    assert_eq!(describe(&mut client, "tx").transaction_state, "Empty");
    assert_eq!(mark(&mut client, life.id, life.epoch, 0, 2), ErrorCode::InvalidProducerEpoch, "the epoch must rise");
    assert_eq!(mark(&mut client, life.id, life.epoch, 5, 0), ErrorCode::None);
    assert_eq!(mark(&mut client, life.id, life.epoch, 4, 0), ErrorCode::TransactionCoordinatorFenced);
    let told = partition(&mut client, "t");
    assert_eq!((told.last_stable_offset, told.high_watermark), (2, 2));
    assert!(committed(&mut client, "t").is_empty());
    assert_eq!(producers(&mut client, "t")[0].current_txn_start_offset, -1);
}

#[test]
fn a_batch_outside_of_the_open_transaction_is_refused() {
    let broker = broker(&[]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let mut life = Life::begin(&mut client, "tx");
    life.write(&mut client, "t", &["a"]);
    let plain = client.produce_bytes("t", batch_of(life.id, life.epoch, life.sequence("t"), &["b"]));
    assert_eq!(code(plain.error_code), ErrorCode::InvalidTxnState);
    let nameless = client.produce_bytes("t", life.batch("t", &["b"]));
    assert_eq!(code(nameless.error_code), ErrorCode::TransactionalIdAuthorizationFailed);
    let stranger = Life { id: life.id + 1_000_000, ..life.clone() }.write_in(&mut client, "t", &["b"], PRODUCE);
    assert_eq!(code(stranger.error_code), ErrorCode::InvalidProducerIdMapping);
    let mut other = Life::begin(&mut client, "other");
    other.goes_on("t", 5);
    let late_start = other.write_in(&mut client, "t", &["b"], PRODUCE);
    assert_eq!(code(late_start.error_code), ErrorCode::OutOfOrderSequenceNumber, "each transaction counts from 0");
}

#[test]
fn batches_behind_the_first_of_a_transaction_keep_their_order_on_the_connection() {
    let broker = broker(&[]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let mut life = Life::begin(&mut client, "tx");
    for round in 0..20 {
        let values: Vec<String> = (0..5).map(|place| format!("{round}-{place}")).collect();
        for value in &values {
            client.send(&life.request("t", &[value]), PRODUCE);
            life.goes_on("t", 1);
        }
        for _ in &values {
            let told = client.receive::<dohle_protocol::message::produce::ProduceRequest>(PRODUCE);
            assert_eq!(told.responses[0].partition_responses[0].error_code, 0, "{round}");
        }
        life.end(&mut client, true);
        settled(&mut client, "t");
    }
    let expected: Vec<String> = (0..100).map(|number| format!("{}-{}", number / 5, number % 5)).collect();
    assert_eq!(committed(&mut client, "t"), expected);
}

fn list(client: &mut Client, states: &[&str], pattern: Option<&str>) -> ListTransactionsResponse {
    let request = ListTransactionsRequest {
        state_filters: states.iter().map(|state| (*state).into()).collect(),
        transactional_id_pattern: pattern.map(Into::into),
        ..Default::default()
    };
    client.ask(&request)
}

#[test]
fn transactions_are_described_and_listed() {
    let broker = broker(&[]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let mut life = Life::begin(&mut client, "orders-1");
    let idle = Life::begin(&mut client, "idle");
    life.write(&mut client, "t", &["a"]);
    let told = describe(&mut client, "orders-1");
    assert_eq!((told.producer_id, told.producer_epoch, told.transaction_timeout_ms), (life.id, life.epoch, 60_000));
    assert_eq!((told.topics[0].topic.as_str(), &told.topics[0].partitions[..]), ("t", &[0][..]));
    assert!(told.transaction_start_time_ms > 0);
    assert_eq!(code(describe(&mut client, "absent").error_code), ErrorCode::TransactionalIdNotFound);
    let mut names = |states: &[&str], pattern: Option<&str>| {
        let listed = list(&mut client, states, pattern).transaction_states;
        let mut names: Vec<String> = listed.into_iter().map(|listed| listed.transactional_id.into()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&[], None), ["idle", "orders-1"]);
    assert_eq!(names(&["Ongoing"], None), ["orders-1"]);
    assert_eq!(names(&[], Some("i.*")), ["idle"]);
    let odd = list(&mut client, &["Empty", "Odd"], None);
    assert_eq!(odd.unknown_state_filters, ["Odd"]);
    assert_eq!(odd.transaction_states[0].producer_id, idle.id);
    assert_eq!(code(list(&mut client, &[], Some("(")).error_code), ErrorCode::InvalidRegularExpression);
}
