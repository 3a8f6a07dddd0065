//! The command line: what is typed and what comes of it.

use std::fs;

use serde_json::{Value, json};

use crate::broker::{Broker, Lasting, dohle, run};
use crate::transcript;

#[test]
fn topics_are_created_shown_altered_and_deleted() {
    transcript::check(&Broker::start(), include_str!("transcripts/topics.txt"));
}

#[test]
fn records_go_in_and_come_out_as_lines_and_as_json() {
    transcript::check(&Broker::start(), include_str!("transcripts/records.txt"));
}

#[test]
fn groups_are_listed_described_reset_and_deleted() {
    transcript::check(&Broker::start(), include_str!("transcripts/groups.txt"));
}

#[test]
fn a_refusal_says_what_to_do() {
    transcript::check(&Broker::start(), include_str!("transcripts/refusals.txt"));
}

#[test]
fn what_was_sent_is_counted_for_programs() {
    let broker = Broker::start();
    broker.run(&["topic", "create", "orders"]);
    let output = broker.run_with(&["produce", "orders", "--json"], "one\ntwo\n");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["topic"], &summary["failed"]), (&"orders".into(), &0.into()));
    assert_eq!((&summary["sent"], &summary["bytes"]), (&2.into(), &6.into()));
    assert!(summary["seconds"].is_f64());
}

#[test]
fn a_broker_that_is_not_there_is_no_riddle() {
    let output = run(dohle().args(["topic", "list", "--bootstrap", "127.0.0.1:1"]), "");
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.contains("127.0.0.1:1") && complaint.contains("start a broker with `dohle server`"),
        "{complaint}"
    );
}

#[test]
fn a_group_with_members_is_shown_with_them_and_is_not_moved() {
    let broker = Broker::start();
    broker.run(&["topic", "create", "orders"]);
    broker.run_with(&["produce", "orders", "--quiet"], "one\n");
    let reader = broker.follow(&["consume", "orders", "--group", "billing", "--from", "beginning", "--follow"]);
    assert_eq!(reader.first_line, "one\n");

    let output = broker.run(&["group", "describe", "billing", "--json"]);
    let group: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(group["state"], "Stable");
    assert_eq!(group["members"].as_array().unwrap().len(), 1);
    assert_eq!(group["members"][0]["partitions"], json!([{"topic": "orders", "partition": 0}]));
    assert_eq!(group["offsets"][0]["member"], group["members"][0]["id"]);

    let output = broker.run(&["group", "reset", "billing", "--to", "beginning", "--topic", "orders", "--execute"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("has 1 members"));
    assert_eq!(reader.end(), Some(0));
}

#[test]
fn the_demo_shows_results_each_second_and_reads_all_that_it_sent() {
    let output = run(dohle().args(["demo", "--for", "3s", "--json"]), "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, seconds) = lines.split_last().unwrap();
    assert!(seconds.len() >= 2);
    assert!(seconds.iter().all(|second| second["type"] == "second" && second["devices"].is_array()));
    assert_eq!(summary["type"], "summary");
    assert_eq!(summary["read"], summary["sent"]);
    assert!(summary["read"].as_u64().unwrap() > 0);
}

#[test]
fn a_listener_that_others_can_reach_needs_a_word_of_consent() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = dohle();
    command.args(["server", "--listen", "PLAINTEXT://0.0.0.0:0", "--data-dir"]).arg(dir.path());
    let output = run(&mut command, "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--insecure"));
}

#[test]
fn keys_that_are_not_known_are_named_in_one_warning() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("server.properties");
    fs::write(
        &file,
        "num.partitions=3\nlog.message.format.version=3.0\nlisteners=PLAINTEXT://127.0.0.1:0\nno.such.key=1\n",
    )
    .unwrap();
    let log = dir.path().join("log");
    let mut command = dohle();
    command.arg("server").arg("--config").arg(file).arg("--data-dir").arg(dir.path().join("data"));
    let server = Lasting::start(&mut command, &log);
    assert!(server.first_line.starts_with("dohle serves PLAINTEXT://127.0.0.1:"), "{}", server.first_line);
    assert_eq!(server.end(), Some(0));
    let warnings = fs::read_to_string(log).unwrap();
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
    assert!(warnings.contains("no.such.key") && !warnings.contains("num.partitions"), "{warnings}");
}
