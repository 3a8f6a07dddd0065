//! Directories of logs as their owners meet them: dumped, verified and repaired while no broker has them.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::broker::Broker;
use crate::transcript;

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const TIMESTAMP: i64 = 1_700_000_000_000;

/// A broker that has stopped, with a batch of two records of each codec in `orders`.
fn written() -> Broker {
    let mut broker = Broker::start();
    broker.run(&["topic", "create", "orders"]);
    for (place, codec) in CODECS.iter().enumerate() {
        let line = |n: i64| {
            let (key, value) = (place as i64 * 2 + n, format!("{codec} {}", "and again ".repeat(9)));
            format!(
                r#"{{"key": "{key}", "value": "{value}", "timestamp": {}, "headers": {{"n": "{n}"}}}}"#,
                TIMESTAMP + key
            )
        };
        let lines = format!("{}\n{}\n", line(0), line(1));
        let output = broker.run_with(&["produce", "orders", "--json-lines", "--quiet", "--compression", codec], &lines);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    broker.stop();
    broker
}

fn segment(broker: &Broker) -> PathBuf {
    broker.data().join("orders-0/00000000000000000000.log")
}

fn harm(broker: &Broker, harm: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(segment(broker)).unwrap();
    harm(&mut bytes);
    fs::write(segment(broker), bytes).unwrap();
}

/// Keys of the records that a consumer gets.
fn keys(broker: &Broker) -> Vec<String> {
    let output = broker.run(&["consume", "orders", "--from", "beginning", "--until-end", "--format", "{key}"]);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_sound_log_is_dumped_and_nothing_is_found() {
    transcript::check(&written(), include_str!("transcripts/log_sound.txt"));
}

#[test]
fn every_record_is_dumped_whatever_its_codec() {
    let broker = written();
    let output = broker.run(&["log", "dump", "data", "--records", "--json"]);
    let rows = std::str::from_utf8(&output.stdout).unwrap().lines();
    let rows: Vec<Value> = rows.map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str, partition: &str| -> Vec<&Value> {
        rows.iter().filter(|row| row["type"] == kind && row["partition"] == partition).collect()
    };
    let batches = of("batch", "orders-0");
    assert!(batches.iter().map(|row| row["codec"].as_str().unwrap()).eq(CODECS));
    assert!(batches.iter().all(|row| row["sound"] == true && row["records"] == 2));
    let records = of("record", "orders-0");
    assert_eq!(records.len(), 10);
    for (offset, record) in records.iter().enumerate() {
        assert_eq!(record["offset"], offset);
        assert_eq!(record["key"], offset.to_string());
        assert_eq!(record["timestamp"], TIMESTAMP + offset as i64);
        assert!(record["value"].as_str().unwrap().starts_with(CODECS[offset / 2]));
        assert_eq!(record["headers"][0][0], "n");
    }
    let metadata = of("record", "__cluster_metadata-0");
    let told = |word: &str| metadata.iter().any(|row| row["decoded"].as_str().is_some_and(|text| text.contains(word)));
    assert!(told("TopicRecord") && told("\"orders\"") && told("RegisterBroker"));
    assert!(metadata.iter().any(|row| row["control"] == "leader change"));
}

#[test]
fn a_torn_tail_is_found_and_cut() {
    let mut broker = written();
    harm(&broker, |bytes| bytes.truncate(bytes.len() - 5));
    transcript::check(&broker, include_str!("transcripts/log_torn.txt"));
    broker.start_again();
    assert_eq!(keys(&broker), ["0", "1", "2", "3", "4", "5", "6", "7"]);
}

#[test]
fn sound_records_behind_damage_are_not_given_up_unasked() {
    let mut broker = written();
    harm(&broker, |bytes| bytes[100] ^= 1);
    transcript::check(&broker, include_str!("transcripts/log_damaged.txt"));
    broker.start_again();
    assert_eq!(keys(&broker), [""; 0]);
}

#[test]
fn a_log_is_not_repaired_under_a_broker() {
    let mut broker = written();
    broker.start_again();
    let output = broker.run(&["log", "repair", "data", "--yes"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("stop it first"));
    let output = broker.run(&["log", "dump", "data/orders-0"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("warning: a broker has "));
}
