//! A batch or a record in one form, whichever tool has told of it.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// What a line of Kafka's tool says; none where it says nothing of a batch or a record.
pub(super) fn of_kafka(line: &str) -> Option<String> {
    if let Some(record) = line.strip_prefix("| ") {
        return Some(kafka_record(record));
    }
    line.starts_with("baseOffset: ").then(|| kafka_batch(line))
}

/// What a row of ours says; the texts of a record only where Kafka's tool has them too.
pub(super) fn of_dohle(row: &Value, is_text: bool) -> Result<String> {
    match row["type"].as_str() {
        Some("batch") => dohle_batch(row),
        Some("record") => dohle_record(row, is_text),
        _ => bail!("`dohle log dump` tells of {row}"),
    }
}

/// The value behind a name, up to the next blank.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let at = line.find(&format!("{name}: ")).map(|at| at + name.len() + 2);
    at.map_or("", |at| line[at..].split(' ').next().unwrap_or_default())
}

fn kafka_batch(line: &str) -> String {
    let time = if line.contains("LogAppendTime: ") { "LogAppendTime" } else { "CreateTime" };
    let names = [
        "baseOffset",
        "lastOffset",
        "count",
        "baseSequence",
        "producerId",
        "producerEpoch",
        "partitionLeaderEpoch",
        "isTransactional",
        "isControl",
        "position",
        time,
        "size",
        "compresscodec",
        "isvalid",
    ];
    let mut text = "batch".to_owned();
    for name in names {
        let _ = write!(text, " {}", field(line, name));
    }
    let horizon = field(line, "deleteHorizonMs");
    let horizon = horizon.trim_start_matches("OptionalLong[").trim_end_matches(']');
    let _ = write!(text, " {}", if horizon == "OptionalLong.empty" { "none" } else { horizon });
    text
}

fn dohle_batch(row: &Value) -> Result<String> {
    let names = [
        "base_offset",
        "last_offset",
        "records",
        "base_sequence",
        "producer_id",
        "producer_epoch",
        "leader_epoch",
        "transactional",
        "control",
        "position",
        "max_timestamp",
        "bytes",
        "codec",
        "sound",
    ];
    let mut text = "batch".to_owned();
    for name in names {
        let _ = write!(text, " {}", plain(row.get(name).with_context(|| format!("no {name} in {row}"))?));
    }
    let _ = write!(text, " {}", row["delete_horizon"].as_i64().map_or("none".to_owned(), |at| at.to_string()));
    Ok(text)
}

fn kafka_record(line: &str) -> String {
    let time = if line.contains("LogAppendTime: ") { "LogAppendTime" } else { "CreateTime" };
    let (head, tail) = line.split_once(" headerKeys: [").unwrap_or((line, "]"));
    let (headers, tail) = tail.split_once(']').unwrap_or((tail, ""));
    let mut text = format!(
        "record {} {} key {} value {} headers {headers}",
        field(head, "offset"),
        field(head, time),
        field(head, "keySize"),
        field(head, "valueSize")
    );
    let control = field(tail, "endTxnMarker");
    if !control.is_empty() {
        let _ = write!(text, " {}", control.to_lowercase());
    }
    for name in ["key", "payload"] {
        let told = field(tail, name);
        if !told.is_empty() {
            let _ = write!(text, " {told}");
        }
    }
    text
}

fn dohle_record(row: &Value, is_text: bool) -> Result<String> {
    let headers = row["headers"].as_array().context("headers")?;
    let names: Vec<&str> = headers.iter().filter_map(|header| header[0].as_str()).collect();
    let mut text = format!(
        "record {} {} key {} value {} headers {}",
        row["offset"],
        row["timestamp"],
        size(row, "key")?,
        size(row, "value")?,
        names.join(",")
    );
    match row["control"].as_str() {
        Some(kind @ ("commit" | "abort")) => {
            let _ = write!(text, " {kind}");
        }
        Some(_) => {}
        None if is_text => {
            for name in ["key", "value"] {
                if let Some(told) = row[name].as_str() {
                    let _ = write!(text, " {told}");
                }
            }
        }
        None => {}
    }
    Ok(text)
}

/// Bytes of a key or a value; -1 where there is none.
fn size(row: &Value, name: &str) -> Result<i64> {
    if let Some(text) = row[name].as_str() {
        return Ok(text.len() as i64);
    }
    let Some(encoded) = row[format!("{name}_base64")].as_str() else { return Ok(-1) };
    let padding = encoded.bytes().rev().take_while(|byte| *byte == b'=').count();
    Ok((encoded.len() / 4 * 3 - padding) as i64)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_reads_the_same_from_both() {
        let kafka =
            "| offset: 5 CreateTime: 17 keySize: 3 valueSize: 2 sequence: 1 headerKeys: [a,b] key: abc payload: xy";
        let dohle = json!({"type": "record", "offset": 5, "timestamp": 17, "key": "abc", "value": "xy", "headers": [["a", "1"], ["b", null]]});
        assert_eq!(of_kafka(kafka).unwrap(), of_dohle(&dohle, true).unwrap());
        let marker = "| offset: 9 CreateTime: 17 keySize: 4 valueSize: 6 sequence: -1 headerKeys: [] endTxnMarker: ABORT coordinatorEpoch: 0";
        let dohle = json!({"type": "record", "offset": 9, "timestamp": 17, "key_base64": "AAAAAA==", "value_base64": "AAAAAAAA", "headers": [], "control": "abort"});
        assert_eq!(of_kafka(marker).unwrap(), of_dohle(&dohle, true).unwrap());
    }

    #[test]
    fn what_differs_does_not_read_the_same() {
        let one =
            of_kafka("| offset: 5 CreateTime: 17 keySize: -1 valueSize: 2 sequence: 1 headerKeys: [] payload: xy")
                .unwrap();
        let dohle = json!({"type": "record", "offset": 5, "timestamp": 17, "key": "", "value": "xy", "headers": []});
        assert_ne!(one, of_dohle(&dohle, true).unwrap());
    }
}
