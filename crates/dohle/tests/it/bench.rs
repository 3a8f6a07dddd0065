//! The load generator against a broker: what it says it did is what the broker has.

use serde_json::Value;

use crate::broker::Broker;

/// Runs a measurement of one second, and reads its report.
fn measure(broker: &Broker, arguments: &[&str]) -> Value {
    let arguments = [&["bench"], arguments, &["--json"]].concat();
    let output = broker.run(&arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(report: &Value, field: &str) -> u64 {
    report[field].as_u64().unwrap_or_else(|| panic!("{field} of {report}"))
}

const AT_ONCE: [&str; 4] = ["--for", "1s", "--warm-up", "0s"];

#[test]
fn what_was_produced_is_there_and_is_read_without_a_gap() {
    let broker = Broker::start();
    let shapes: [&[&str]; 5] = [
        &["--topic", "plain", "--partitions", "3"],
        &["--topic", "exact", "--partitions", "3", "--idempotent", "--batches-per-request", "2", "--connections", "2"],
        &["--topic", "packed", "--compression", "zstd", "--payload", "text"],
        &["--topic", "single", "--batch-size", "1", "--acks", "1", "--in-flight", "1"],
        &["--topic", "many", "--topics", "3", "--partitions", "2", "--threads", "2", "--connections", "3"],
    ];
    for shape in shapes {
        let topics: &[&str] = if shape[1] == "many" { &["--topic", "many", "--topics", "3"] } else { &shape[..2] };
        let produced = measure(&broker, &[&["produce"], shape, &AT_ONCE, &["--rate", "2000"]].concat());
        assert_eq!(produced["command"], "produce");
        assert_eq!(produced["errors"], 0, "{produced}");
        assert!(number(&produced, "records") > 0, "{produced}");
        assert!(produced["latency_us"]["p99"].as_f64().unwrap() > 0.0, "{produced}");
        let read = measure(&broker, &[&["consume", "--until-end", "--check", "--for", "20s"], topics].concat());
        assert_eq!(read["errors"], 0, "{read}");
        // What was answered after the window is there too.
        assert!(number(&read, "records") >= number(&produced, "records"), "{produced} {read}");
        assert_eq!(read["latency_us"], Value::Null);
    }
}

#[test]
fn a_latency_is_measured_from_end_to_end() {
    let broker = Broker::start();
    let pid = std::process::id().to_string();
    let arguments = ["latency", "--rate", "500", "--partitions", "2", "--consumers", "2", "--pid", &pid];
    let report = measure(&broker, &[&arguments[..], &AT_ONCE].concat());
    assert_eq!(report["errors"], 0, "{report}");
    // A slow machine does fewer within the window, and delivers what it did a little later.
    let records = number(&report, "records");
    assert!((1..=501).contains(&records), "{report}");
    assert!(number(&report["delivered"], "records") > records, "{report}");
    let (acknowledged, end_to_end) = (&report["latency_us"], &report["end_to_end_us"]);
    for times in [acknowledged, end_to_end] {
        assert!(times["p50"].as_f64().unwrap() > 0.0, "{report}");
        assert!(times["p50"].as_f64() <= times["max"].as_f64(), "{report}");
    }
    assert!(number(&report["broker_resident_bytes"], "max") > 0, "{report}");
    assert!(report["broker_cpu_seconds"].is_f64(), "{report}");
}

#[test]
fn an_error_is_told_at_once_and_counted_by_its_name() {
    let broker = Broker::start();
    let arguments = ["bench", "produce", "--config", "max.message.bytes=1000", "--rate", "1000", "--json"];
    let output = broker.run(&[&arguments[..], &AT_ONCE].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(number(&report["errors_by_name"], "MESSAGE_TOO_LARGE") > 1, "{report}");
    assert_eq!(number(&report, "records"), 0);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told.matches("MESSAGE_TOO_LARGE").count(), 1, "{told}");
}

#[test]
fn idle_connections_are_weighed_and_busy_ones_have_their_turn() {
    let broker = Broker::start();
    let pid = std::process::id().to_string();
    let idle = measure(&broker, &[&["connections", "--connections", "20", "--pid", &pid][..], &AT_ONCE].concat());
    assert!(idle["resident_bytes_per_connection"].is_f64(), "{idle}");
    let busy = ["connections", "--connections", "20", "--rate", "1000", "--topic", "busy"];
    let busy = measure(&broker, &[&busy[..], &AT_ONCE].concat());
    assert_eq!(busy["errors"], 0, "{busy}");
    assert!((1..=1_001).contains(&number(&busy, "requests")), "{busy}");
}

#[test]
fn a_group_settles_after_a_join_a_leave_and_a_death() {
    let broker = Broker::start();
    let settings = ["--members", "5", "--session-timeout", "6s", "--heartbeat", "200ms"];
    let report = measure(&broker, &[&["groups"], &settings[..]].concat());
    assert_eq!(report["errors"], 0, "{report}");
    let settled = |after: &str| report["settle_ms"][after].as_f64().unwrap();
    assert!(settled("join") > 0.0 && settled("leave") > 0.0, "{report}");
    // Nobody knows of a death before the session is over.
    assert!(settled("death") >= 5_000.0, "{report}");
}

#[test]
fn a_whole_distribution_is_written_where_it_was_asked_for() {
    let broker = Broker::start();
    let file = broker.data().with_file_name("times.hgrm");
    let name = file.to_str().unwrap();
    measure(&broker, &[&["produce", "--rate", "500", "--histogram", name][..], &AT_ONCE].concat());
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains("Percentile") && text.contains("#[Max"), "{text}");
}

#[test]
fn bad_neighbours_do_what_they_are_told_and_the_broker_goes_on() {
    let broker = Broker::start();
    // More than sockets hold, so that who takes nothing has something before it.
    measure(&broker, &["produce", "--record-size", "10KiB", "--rate", "max", "--for", "1s", "--warm-up", "0s"]);
    let told = measure(&broker, &["disturb", "--slow-rate", "10KiB", "--storm", "100", "--for", "2s"]);
    let slow = number(&told, "slow_bytes");
    assert!((1..=30 << 10).contains(&slow), "{told}");
    assert!(number(&told, "stalled_bytes") > 10 << 10, "{told}");
    assert!((1..=200).contains(&number(&told, "connections")), "{told}");
    assert_eq!(number(&told, "refused"), 0, "{told}");
    let after = measure(&broker, &[&["produce", "--rate", "500"][..], &AT_ONCE].concat());
    assert_eq!(after["errors"], 0, "{after}");
}
