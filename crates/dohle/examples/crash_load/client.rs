//! How clients are set up: patient with a broker that dies, and quick to find it again.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

/// What every client is told.
pub(crate) fn config(bootstrap: &str, properties: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config.set("reconnect.backoff.ms", "5").set("reconnect.backoff.max.ms", "50");
    config.set("retry.backoff.ms", "5").set("retry.backoff.max.ms", "50");
    config.set("socket.timeout.ms", "10000");
    // What librdkafka is to tell of itself on standard error, such as `eos,broker,metadata`.
    if let Ok(contexts) = std::env::var("DOHLE_CRASH_DEBUG") {
        config.set("debug", contexts).set_log_level(RDKafkaLogLevel::Debug);
    }
    config.extend(properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    config
}

/// The name of a topic.
pub(crate) fn topic(number: u32) -> String {
    format!("crash-{number}")
}
