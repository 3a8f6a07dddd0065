use super::*;
use crate::fixture::TABLES;
use crate::image::Image;
use crate::snapshot::config_record;
use dohle_base::Offset;

const TOPIC: ResourceKind = ResourceKind::Topic;
const BROKER: ResourceKind = ResourceKind::Broker;

fn configs(values: &[(ResourceKind, &str, &str, &str)]) -> Configs {
    let mut image = Image::new("c");
    for (kind, name, key, value) in values {
        image.apply(Offset(0), &config_record(&Resource::new(*kind, name), key, Some(value))).unwrap();
    }
    image.configs
}

fn retention(values: &[(ResourceKind, &str, &str, &str)], statics: &[(&str, &str)]) -> (String, Source) {
    let configs = configs(values);
    let statics = statics.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let view = View { tables: &TABLES, configs: &configs, broker: BrokerId(1), statics: &statics };
    let entry = view.topic_key("t", "retention.ms").unwrap();
    let listed = view.topic("t").find(|listed| listed.key.name == "retention.ms").unwrap();
    assert_eq!((&listed.value, listed.source, &listed.synonyms), (&entry.value, entry.source, &entry.synonyms));
    (entry.value.unwrap(), entry.source)
}

#[test]
fn the_nearest_source_wins_and_the_unit_is_the_keys() {
    let on_topic = (TOPIC, "t", "retention.ms", "1");
    let on_broker = (BROKER, "1", "log.retention.ms", "2");
    let on_another = (BROKER, "2", "log.retention.ms", "9");
    let on_all = (BROKER, "", "log.retention.minutes", "3");
    let hours = ("log.retention.hours", "4");
    let cases = [
        (vec![on_topic, on_broker, on_all], vec![hours], "1", Source::DynamicTopic),
        (vec![on_broker, on_all], vec![hours], "2", Source::DynamicBroker),
        (vec![on_another, on_all], vec![hours], "180000", Source::DynamicDefaultBroker),
        (vec![on_another], vec![hours], "14400000", Source::StaticBroker),
        (vec![], vec![("log.retention.minutes", "5"), hours], "300000", Source::StaticBroker),
        (vec![], vec![("log.retention.hours", "-1")], "-1", Source::StaticBroker),
        (vec![], vec![], "604800000", Source::Default),
    ];
    for (values, statics, value, source) in cases {
        assert_eq!(retention(&values, &statics), (value.to_owned(), source), "{values:?} {statics:?}");
    }
}

#[test]
fn synonyms_tell_every_value_under_the_name_that_it_was_set_by() {
    let configs = configs(&[(TOPIC, "t", "cleanup.policy", "compact"), (BROKER, "", "log.cleanup.policy", "delete")]);
    let statics = BTreeMap::from([("log.cleanup.policy".to_owned(), "compact,delete".to_owned())]);
    let view = View { tables: &TABLES, configs: &configs, broker: BrokerId(1), statics: &statics };
    let told: Vec<_> = view.topic_key("t", "cleanup.policy").unwrap().synonyms;
    let told: Vec<_> = told.iter().map(|one| (one.name, one.value.as_str(), one.source)).collect();
    let expected = [
        ("cleanup.policy", "compact", Source::DynamicTopic),
        ("log.cleanup.policy", "delete", Source::DynamicDefaultBroker),
        ("log.cleanup.policy", "compact,delete", Source::StaticBroker),
        ("log.cleanup.policy", "delete", Source::Default),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_default_under_another_name_is_told_only_behind_a_value_under_the_first() {
    let told = |values: &[(ResourceKind, &str, &str, &str)], statics: &[(&str, &str)]| -> Vec<_> {
        let configs = configs(values);
        let statics = statics.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let view = View { tables: &TABLES, configs: &configs, broker: BrokerId(1), statics: &statics };
        let synonyms = view.topic_key("t", "retention.ms").unwrap().synonyms;
        synonyms.iter().map(|one| (one.name, one.source)).collect()
    };
    let (on_topic, on_broker) = ((TOPIC, "t", "retention.ms", "1"), (BROKER, "1", "log.retention.ms", "2"));
    let own = ("retention.ms", Source::DynamicTopic);
    let default = ("log.retention.hours", Source::Default);
    assert_eq!(told(&[], &[]), []);
    assert_eq!(told(&[on_topic], &[]), [own]);
    assert_eq!(told(&[on_topic, on_broker], &[]), [own, ("log.retention.ms", Source::DynamicBroker), default]);
    assert_eq!(told(&[], &[("log.retention.hours", "4")]), [("log.retention.hours", Source::StaticBroker), default]);
}

#[test]
fn a_broker_tells_its_own_keys_and_all_brokers_only_what_was_set() {
    let configs = configs(&[(BROKER, "1", "log.retention.ms", "7"), (BROKER, "", "min.insync.replicas", "2")]);
    let statics = BTreeMap::from([("log.dirs".to_owned(), "/data".to_owned())]);
    let view = View { tables: &TABLES, configs: &configs, broker: BrokerId(1), statics: &statics };
    let told = |entries: Vec<Entry>| -> Vec<_> {
        entries.iter().map(|entry| (entry.key.name, entry.value.clone(), entry.source, entry.is_read_only())).collect()
    };
    let broker = told(view.broker().collect());
    let text = |value: &str| Some(value.to_owned());
    assert!(broker.contains(&("log.dirs", text("/data"), Source::StaticBroker, true)));
    assert!(broker.contains(&("log.retention.ms", text("7"), Source::DynamicBroker, false)));
    assert!(broker.contains(&("min.insync.replicas", text("2"), Source::DynamicDefaultBroker, false)));
    assert!(broker.contains(&("ssl.key.password", None, Source::Default, false)));
    let all = told(view.all_brokers().collect());
    assert_eq!(all, [("min.insync.replicas", text("2"), Source::DynamicDefaultBroker, false)]);
    assert!(view.broker().any(|entry| entry.is_sensitive()));
}

#[test]
fn groups_and_subscriptions_have_sources_of_their_own() {
    let configs = configs(&[
        (ResourceKind::Group, "g", "consumer.session.timeout.ms", "30000"),
        (ResourceKind::ClientMetrics, "m", "interval.ms", "1000"),
    ]);
    let statics = BTreeMap::new();
    let view = View { tables: &TABLES, configs: &configs, broker: BrokerId(1), statics: &statics };
    let session = view.group("g").find(|entry| entry.key.name == "consumer.session.timeout.ms").unwrap();
    assert_eq!((session.value.as_deref(), session.source), (Some("30000"), Source::Group));
    let other = view.group("h").find(|entry| entry.key.name == "consumer.session.timeout.ms").unwrap();
    assert!(other.is_default());
    let interval = view.client_metrics("m").find(|entry| entry.key.name == "interval.ms").unwrap();
    assert_eq!((interval.value.as_deref(), interval.source), (Some("1000"), Source::ClientMetrics));
}
