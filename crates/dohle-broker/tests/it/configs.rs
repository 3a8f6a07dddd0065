//! Configuration: described with its sources, altered in both ways, and obeyed.

use dohle_base::ErrorCode;
use dohle_protocol::message::alter_configs::{self, AlterConfigsRequest};
use dohle_protocol::message::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
};
use dohle_protocol::message::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use dohle_protocol::message::list_config_resources::ListConfigResourcesRequest;

use crate::broker::Broker;
use crate::client::Client;
use crate::topics::{create, topic, with};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const METRICS: i8 = 16;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

const DYNAMIC_TOPIC: i8 = 1;
const DYNAMIC_BROKER: i8 = 2;
const DYNAMIC_DEFAULT: i8 = 3;
const STATIC: i8 = 4;
const DEFAULT: i8 = 5;

fn ask_for(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsRequest {
    let keys = keys.map(|keys| keys.iter().map(|key| (*key).into()).collect());
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: keys,
        ..Default::default()
    };
    let resources = vec![resource];
    DescribeConfigsRequest { resources, include_synonyms: true, include_documentation: true, ..Default::default() }
}

fn describe(client: &mut Client, kind: i8, name: &str) -> DescribeConfigsResult {
    client.ask(&ask_for(kind, name, None)).results.remove(0)
}

fn config(client: &mut Client, kind: i8, name: &str, key: &str) -> DescribeConfigsResourceResult {
    let mut found = client.ask(&ask_for(kind, name, Some(&[key]))).results.remove(0).configs;
    assert_eq!(found.len(), 1, "{key} of {name}");
    found.remove(0)
}

fn value(client: &mut Client, kind: i8, name: &str, key: &str) -> (String, i8) {
    let found = config(client, kind, name, key);
    (found.value.map(String::from).unwrap_or_default(), found.config_source)
}

fn change(kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) -> AlterConfigsResource {
    let change = |(name, config_operation, value): &(&str, i8, Option<&str>)| AlterableConfig {
        name: (*name).into(),
        config_operation: *config_operation,
        value: value.map(Into::into),
        ..Default::default()
    };
    let configs = changes.iter().map(change).collect();
    AlterConfigsResource { resource_type: kind, resource_name: name.into(), configs, ..Default::default() }
}

fn alter(client: &mut Client, kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) -> ErrorCode {
    let request = IncrementalAlterConfigsRequest { resources: vec![change(kind, name, changes)], ..Default::default() };
    let response = client.ask(&request).responses.remove(0);
    assert_eq!(response.error_message.is_some(), response.error_code != 0);
    ErrorCode::from_code(response.error_code)
}

fn replace(client: &mut Client, kind: i8, name: &str, values: &[(&str, &str)]) -> ErrorCode {
    let config = |(name, value): &(&str, &str)| alter_configs::AlterableConfig {
        name: (*name).into(),
        value: Some((*value).into()),
        ..Default::default()
    };
    let configs = values.iter().map(config).collect();
    let resource = alter_configs::AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs,
        ..Default::default()
    };
    let request = AlterConfigsRequest { resources: vec![resource], ..Default::default() };
    ErrorCode::from_code(client.ask(&request).responses[0].error_code)
}

#[test]
fn a_value_says_where_it_comes_from_and_what_it_would_be_otherwise() {
    let broker = Broker::with(&[("log.retention.hours", "2")]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    assert_eq!(value(&mut client, TOPIC, "t", "retention.ms"), ("7200000".to_owned(), STATIC));
    assert_eq!(value(&mut client, TOPIC, "t", "max.message.bytes"), ("1048588".to_owned(), DEFAULT));
    assert_eq!(alter(&mut client, BROKER, "", &[("log.retention.ms", SET, Some("3000"))]), ErrorCode::None);
    assert_eq!(value(&mut client, TOPIC, "t", "retention.ms"), ("3000".to_owned(), DYNAMIC_DEFAULT));
    assert_eq!(alter(&mut client, BROKER, "1", &[("log.retention.ms", SET, Some("2000"))]), ErrorCode::None);
    assert_eq!(value(&mut client, TOPIC, "t", "retention.ms"), ("2000".to_owned(), DYNAMIC_BROKER));
    assert_eq!(alter(&mut client, TOPIC, "t", &[("retention.ms", SET, Some("1000"))]), ErrorCode::None);
    let retention = config(&mut client, TOPIC, "t", "retention.ms");
    assert_eq!((retention.config_source, retention.config_type, retention.read_only), (DYNAMIC_TOPIC, 5, false));
    assert!(!retention.is_sensitive && retention.documentation.is_some_and(|text| !text.is_empty()));
    let synonyms: Vec<_> = retention.synonyms.iter().map(|s| (s.name.as_str(), s.source)).collect();
    let expected = [
        ("retention.ms", DYNAMIC_TOPIC),
        ("log.retention.ms", DYNAMIC_BROKER),
        ("log.retention.ms", DYNAMIC_DEFAULT),
        ("log.retention.hours", STATIC),
        ("log.retention.hours", DEFAULT),
    ];
    assert_eq!(synonyms, expected);
    let bare = DescribeConfigsRequest {
        include_synonyms: false,
        include_documentation: false,
        ..ask_for(TOPIC, "t", Some(&["retention.ms"]))
    };
    let bare = client.ask(&bare).results.remove(0).configs.remove(0);
    assert!(bare.synonyms.is_empty() && bare.documentation.is_none());
}

#[test]
fn a_broker_describes_itself_and_what_was_set_for_all() {
    let broker = Broker::new();
    let mut client = broker.client();
    let listeners = config(&mut client, BROKER, "1", "listeners");
    assert_eq!((listeners.config_source, listeners.read_only), (STATIC, true));
    let all = describe(&mut client, BROKER, "").configs;
    assert_eq!(all.iter().map(|config| config.name.as_str()).collect::<Vec<_>>(), ["min.insync.replicas"]);
    assert_eq!(alter(&mut client, BROKER, "", &[("log.cleaner.backoff.secret", SET, Some("x"))]), ErrorCode::None);
    assert_eq!(alter(&mut client, BROKER, "", &[("message.max.bytes", SET, Some("2000"))]), ErrorCode::None);
    let all = describe(&mut client, BROKER, "").configs;
    let shown = |key: &str| all.iter().find(|config| config.name == key).map(|c| (c.value.as_deref(), c.is_sensitive));
    assert_eq!(shown("message.max.bytes"), Some((Some("2000"), false)));
    assert_eq!(shown("log.cleaner.backoff.secret"), Some((None, true)));
    let bytes = config(&mut client, BROKER, "1", "message.max.bytes");
    assert_eq!((bytes.config_source, bytes.read_only, bytes.config_type), (DYNAMIC_DEFAULT, false, 3));
    for (kind, name) in [(BROKER, "2"), (BROKER, "one"), (LOGGER, ""), (LOGGER, "2"), (GROUP, ""), (METRICS, "")] {
        assert_eq!(describe(&mut client, kind, name).error_code, ErrorCode::InvalidRequest.code(), "{kind} {name}");
    }
    assert_eq!(describe(&mut client, TOPIC, "t").error_code, ErrorCode::UnknownTopicOrPartition.code());
    assert_eq!(describe(&mut client, TOPIC, "/").error_code, ErrorCode::InvalidTopic.code());
    assert_eq!(describe(&mut client, 3, "t").error_code, ErrorCode::InvalidRequest.code());
    assert_eq!(config(&mut client, LOGGER, "1", "root").config_source, 6);
}

#[test]
fn an_altered_topic_obeys_at_once() {
    let broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let large = "x".repeat(2_000);
    assert_eq!(client.produce("t", &[&large]).error_code, 0);
    assert_eq!(alter(&mut client, TOPIC, "t", &[("max.message.bytes", SET, Some("1000"))]), ErrorCode::None);
    assert_eq!(client.produce("t", &[&large]).error_code, ErrorCode::MessageTooLarge.code());
    assert_eq!(alter(&mut client, TOPIC, "t", &[("max.message.bytes", DELETE, None)]), ErrorCode::None);
    assert_eq!(client.produce("t", &[&large]).error_code, 0);
    assert_eq!(alter(&mut client, BROKER, "1", &[("message.max.bytes", SET, Some("1000"))]), ErrorCode::None);
    assert_eq!(client.produce("t", &[&large]).error_code, ErrorCode::MessageTooLarge.code());
}

#[test]
fn lists_are_altered_item_by_item() {
    let mut broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    assert_eq!(alter(&mut client, TOPIC, "t", &[("cleanup.policy", APPEND, Some("compact"))]), ErrorCode::None);
    assert_eq!(value(&mut client, TOPIC, "t", "cleanup.policy").0, "delete,compact");
    assert_eq!(alter(&mut client, TOPIC, "t", &[("cleanup.policy", SUBTRACT, Some("delete"))]), ErrorCode::None);
    broker.restart();
    assert_eq!(value(&mut broker.client(), TOPIC, "t", "cleanup.policy"), ("compact".to_owned(), DYNAMIC_TOPIC));
}

#[test]
fn the_older_way_replaces_all_that_was_set() {
    let broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, vec![with(topic("t", 1), "retention.ms", "1000")]);
    assert_eq!(replace(&mut client, TOPIC, "t", &[("segment.ms", "5000")]), ErrorCode::None);
    assert_eq!(value(&mut client, TOPIC, "t", "segment.ms"), ("5000".to_owned(), DYNAMIC_TOPIC));
    assert_eq!(value(&mut client, TOPIC, "t", "retention.ms").1, DEFAULT);
    assert_eq!(replace(&mut client, BROKER, "1", &[("message.max.bytes", "3000")]), ErrorCode::None);
    assert_eq!(value(&mut client, BROKER, "1", "message.max.bytes"), ("3000".to_owned(), DYNAMIC_BROKER));
    assert_eq!(replace(&mut client, BROKER, "1", &[]), ErrorCode::None);
    assert_eq!(value(&mut client, BROKER, "1", "message.max.bytes").1, DEFAULT);
    assert_eq!(replace(&mut client, LOGGER, "1", &[("root", "INFO")]), ErrorCode::InvalidRequest);
    assert_eq!(replace(&mut client, BROKER, "2", &[]), ErrorCode::InvalidRequest);
}

#[test]
fn each_resource_is_refused_for_its_own_reason() {
    let broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let resources = vec![
        change(TOPIC, "t", &[("retention.ms", SET, Some("soon"))]),
        change(TOPIC, "u", &[("retention.ms", SET, Some("1"))]),
        change(BROKER, "7", &[("message.max.bytes", SET, Some("2000"))]),
        change(BROKER, "", &[("listeners", SET, Some("PLAINTEXT://:1"))]),
        change(LOGGER, "1", &[("kafka.nothing", SET, Some("INFO"))]),
        change(LOGGER, "1x", &[("root", SET, Some("INFO"))]),
        change(3, "t", &[]),
        change(BROKER, "1", &[("message.max.bytes", SET, Some("2000"))]),
    ];
    let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
    let codes: Vec<_> =
        client.ask(&request).responses.iter().map(|response| ErrorCode::from_code(response.error_code)).collect();
    let expected = [
        ErrorCode::InvalidConfig,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::InvalidRequest,
        ErrorCode::InvalidRequest,
        ErrorCode::InvalidConfig,
        ErrorCode::InvalidRequest,
        ErrorCode::InvalidRequest,
        ErrorCode::None,
    ];
    assert_eq!(codes, expected);
    let twice = [("retention.ms", SET, Some("1")), ("retention.ms", DELETE, None)];
    assert_eq!(alter(&mut client, TOPIC, "t", &twice), ErrorCode::InvalidRequest);
    assert_eq!(alter(&mut client, TOPIC, "t", &[("retention.ms", 9, Some("1"))]), ErrorCode::InvalidRequest);
    assert_eq!(alter(&mut client, TOPIC, "t", &[("retention.ms", SET, None)]), ErrorCode::InvalidRequest);
    assert_eq!(alter(&mut client, TOPIC, "t", &[("retention.ms", APPEND, Some("1"))]), ErrorCode::InvalidConfig);
    let resources = vec![change(TOPIC, "t", &[("retention.ms", SET, Some("1000"))])];
    let only = IncrementalAlterConfigsRequest { resources, validate_only: true, ..Default::default() };
    assert_eq!(client.ask(&only).responses[0].error_code, 0);
    assert_eq!(value(&mut client, TOPIC, "t", "retention.ms").1, DEFAULT);
}

#[test]
fn groups_and_subscriptions_have_keys_of_their_own() {
    let broker = Broker::new();
    let mut client = broker.client();
    let session = "consumer.session.timeout.ms";
    assert_eq!(value(&mut client, GROUP, "g", session), ("45000".to_owned(), DEFAULT));
    assert_eq!(alter(&mut client, GROUP, "g", &[(session, SET, Some("50000"))]), ErrorCode::None);
    assert_eq!(value(&mut client, GROUP, "g", session), ("50000".to_owned(), 8));
    assert_eq!(alter(&mut client, GROUP, "g", &[(session, SET, Some("1"))]), ErrorCode::InvalidConfig);
    assert_eq!(alter(&mut client, GROUP, "g", &[("no.such.key", SET, Some("1"))]), ErrorCode::InvalidConfig);
    assert_eq!(alter(&mut client, METRICS, "m", &[("interval.ms", SET, Some("1000"))]), ErrorCode::None);
    assert_eq!(value(&mut client, METRICS, "m", "interval.ms"), ("1000".to_owned(), 7));
    assert_eq!(value(&mut client, METRICS, "m", "metrics"), (String::new(), DEFAULT));
    assert_eq!(alter(&mut client, METRICS, "m", &[("interval.ms", SET, Some("1"))]), ErrorCode::InvalidRequest);
    assert_eq!(alter(&mut client, METRICS, "m", &[("match", SET, Some("x=y"))]), ErrorCode::InvalidConfig);
    let list = ListConfigResourcesRequest { resource_types: vec![METRICS, GROUP], ..Default::default() };
    let listed = client.ask(&list).config_resources;
    let listed: Vec<_> = listed.iter().map(|one| (one.resource_type, one.resource_name.as_str())).collect();
    assert_eq!(listed, [(GROUP, "g"), (METRICS, "m")]);
}

#[test]
fn what_can_be_configured_is_listed() {
    let broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let mut list = |kinds: &[i8], version| {
        let request = ListConfigResourcesRequest { resource_types: kinds.to_vec(), ..Default::default() };
        let response = client.ask_in(&request, version);
        let resources = response.config_resources.iter();
        let resources = resources.map(|resource| (resource.resource_type, resource.resource_name.to_string()));
        (ErrorCode::from_code(response.error_code), resources.collect::<Vec<_>>())
    };
    assert_eq!(list(&[TOPIC], 1), (ErrorCode::None, vec![(TOPIC, "t".to_owned())]));
    let all = vec![(LOGGER, "1".to_owned()), (BROKER, "1".to_owned()), (TOPIC, "t".to_owned())];
    assert_eq!(list(&[], 1), (ErrorCode::None, all));
    assert_eq!(list(&[3], 1), (ErrorCode::UnsupportedVersion, vec![]));
    assert_eq!(list(&[], 0), (ErrorCode::None, vec![]));
}
