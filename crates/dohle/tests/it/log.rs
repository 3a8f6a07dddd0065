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

/// Puts `orders-0` at an offset in a checkpoint that holds it alone.
fn put_checkpoint(broker: &Broker, file: &str, offset: i64) {
    fs::write(broker.data().join(file), format!("0\n1\norders 0 {offset}\n")).unwrap();
}

fn checkpoint(broker: &Broker, file: &str) -> String {
    fs::read_to_string(broker.data().join(file)).unwrap()
}

#[test]
fn a_checkpoint_that_is_ahead_is_found_and_lowered() {
    let mut broker = written();
    let file = "recovery-point-offset-checkpoint";
    put_checkpoint(&broker, file, 12);
    let output = broker.run(&["log", "verify", "data"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains(&format!("{file}: orders-0: 12 is behind the end of the log, 10")), "{said}");
    let planned = broker.run(&["log", "repair", "data"]);
    assert!(planned.status.success());
    assert_eq!(checkpoint(&broker, file), "0\n1\norders 0 12\n");
    let done = broker.run(&["log", "repair", "data", "--yes", "--json"]);
    let step: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&step["partition"], &step["action"]), (&"orders-0".into(), &"lower".into()));
    assert_eq!((&step["file"], &step["done"]), (&file.into(), &true.into()));
    assert_eq!(checkpoint(&broker, file), "0\n1\norders 0 10\n");
    assert!(broker.run(&["log", "verify", "data"]).status.success());
    broker.start_again();
    assert_eq!(keys(&broker).len(), 10);
}

#[test]
fn a_log_below_its_start_is_left_alone_and_so_is_its_start() {
    let broker = written();
    let file = "log-start-offset-checkpoint";
    put_checkpoint(&broker, file, 12);
    let output = broker.run(&["log", "repair", "data", "--yes"]);
    assert_eq!(output.status.code(), Some(1));
    harm(&broker, |bytes| bytes.truncate(bytes.len() - 5));
    put_checkpoint(&broker, file, 9);
    let output = broker.run(&["log", "repair", "data/orders-0", "--yes"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("it would end at 8, before the start of the log, 9"), "{said}");
    assert_eq!(checkpoint(&broker, file), "0\n1\norders 0 9\n");
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
