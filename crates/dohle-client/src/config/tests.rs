use super::*;

fn producer(properties: &[(&str, &str)]) -> Result<ProducerConfig, ConfigError> {
    ProducerConfig::from_properties([("bootstrap.servers", "b:1")].iter().chain(properties).copied())
}

fn consumer(properties: &[(&str, &str)]) -> Result<ConsumerConfig, ConfigError> {
    ConsumerConfig::from_properties([("bootstrap.servers", "b:1")].iter().chain(properties).copied())
}

#[test]
fn every_default_is_a_value_that_its_key_accepts() {
    for table in [&COMMON, &PRODUCER, &CONSUMER] {
        table.check().unwrap();
    }
    assert!(producer(&[]).unwrap().idempotence);
    assert_eq!(consumer(&[]).unwrap().reset, Reset::Latest);
}

#[test]
fn idempotence_gives_way_unless_it_was_asked_for() {
    assert!(!producer(&[("acks", "1")]).unwrap().idempotence);
    assert!(producer(&[("acks", "1"), ("enable.idempotence", "true")]).is_err());
    assert!(!producer(&[("max.in.flight.requests.per.connection", "6")]).unwrap().idempotence);
}

#[test]
fn what_cannot_be_obeyed_says_what_to_write_instead() {
    let message = |error: ConfigError| error.to_string();
    assert!(message(AdminConfig::from_properties([("client.id", "x")]).unwrap_err()).contains("host:port"));
    assert!(message(AdminConfig::new("nowhere").unwrap_err()).contains("127.0.0.1:9092"));
    assert!(message(producer(&[("acks", "2")]).unwrap_err()).contains("all, -1, 0, 1"));
    assert!(message(consumer(&[("auto.offset.reset", "middle")]).unwrap_err()).contains("earliest"));
    assert!(message(producer(&[("delivery.timeout.ms", "1000")]).unwrap_err()).contains("request.timeout.ms"));
}

#[test]
fn durations_and_class_names_of_other_clients_are_understood() {
    let config = consumer(&[
        ("auto.offset.reset", "by_duration:PT1H"),
        ("partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"),
        ("key.deserializer", "some.java.Class"),
    ]);
    let config = config.unwrap();
    assert_eq!(config.reset, Reset::Since(Duration::from_secs(3_600)));
    assert_eq!(config.assignors, [Assignor::CooperativeSticky]);
}
