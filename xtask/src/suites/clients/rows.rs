//! The rows of a data set, the records that came back, and the comparison of the two.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::{place, process};

const LIMIT: Duration = Duration::from_secs(60);

/// What a client is told to write.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(in crate::suites) struct Row {
    pub(super) partition: usize,
    pub(super) timestamp: i64,
    pub(super) key: Option<String>,
    pub(super) value: String,
    pub(super) headers: Vec<(String, String)>,
}

/// What a client read.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::suites) struct Record {
    pub(super) offset: u64,
    #[serde(flatten)]
    pub(super) row: Row,
}

/// A data set as a file of rows and as rows.
pub(in crate::suites) struct DataSet {
    pub(super) file: PathBuf,
    pub(in crate::suites) rows: Vec<Row>,
}

impl DataSet {
    /// Rows that are already in a file.
    pub(in crate::suites) fn of(file: PathBuf) -> Result<DataSet> {
        let rows = read_lines(&file)?;
        ensure!(!rows.is_empty(), "{} has no rows", file.display());
        Ok(DataSet { file, rows })
    }

    /// Makes the rows from the data folder.
    pub(super) fn load(name: &str, data: &Path, folder: &Path) -> Result<DataSet> {
        let file = folder.join(format!("{name}.rows"));
        let mut python = Command::new("python3");
        python.arg(place::programs().join("clients/python/rows.py")).arg(data).arg(name);
        process::run_into(&mut python, &file, LIMIT)?;
        DataSet::of(file)
    }
}

/// Reads a file of one JSON object a line.
pub(super) fn read_lines<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<Vec<T>> {
    let lines = BufReader::new(File::open(file).with_context(|| format!("open {}", file.display()))?).lines();
    let parse = |(number, line): (usize, std::io::Result<String>)| {
        let line = line?;
        serde_json::from_str(&line).with_context(|| format!("{} line {}: {line}", file.display(), number + 1))
    };
    lines.enumerate().map(parse).collect()
}

/// What of a row a writer can decide. The rest is decided by the client or the broker, and checked as far as it can be.
#[derive(Clone, Copy)]
pub(super) struct Carries {
    pub(super) partition: bool,
    pub(super) timestamp: bool,
    /// Otherwise only the first header, which is the same in all rows.
    pub(super) own_headers: bool,
}

/// Holds what was read against what was written, partition by partition and in order.
/// `written` is the time in which it was written, in milliseconds since 1970.
pub(super) fn compare(rows: &[Row], records: &[Record], carries: Carries, written: &RangeInclusive<i64>) -> Result<()> {
    ensure!(records.len() == rows.len(), "{} rows written, {} records read", rows.len(), records.len());
    let chosen = if carries.partition { HashMap::new() } else { partitions_of_keys(records)? };
    let mut expected: BTreeMap<usize, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        let partition = if carries.partition { Some(&row.partition) } else { chosen.get(&row.key) };
        let partition = *partition.with_context(|| format!("key {:?} was not read", row.key))?;
        expected.entry(partition).or_default().push(row);
    }
    let mut read: BTreeMap<usize, Vec<&Record>> = BTreeMap::new();
    for record in records {
        read.entry(record.row.partition).or_default().push(record);
    }
    for (partition, rows) in expected {
        let records = read.remove(&partition).unwrap_or_default();
        ensure!(records.len() == rows.len(), "partition {partition}: {} rows, {} records", rows.len(), records.len());
        for (offset, (row, record)) in rows.into_iter().zip(records).enumerate() {
            let place = format!("partition {partition} offset {offset}");
            ensure!(record.offset == offset as u64, "{place}: came as offset {}", record.offset);
            compare_one(row, &record.row, carries, written).with_context(|| place)?;
        }
    }
    Ok(())
}

fn compare_one(row: &Row, read: &Row, carries: Carries, written: &RangeInclusive<i64>) -> Result<()> {
    ensure!(read.key == row.key, "key {:?} became {:?}", row.key, read.key);
    ensure!(read.value == row.value, "value\n{}\nbecame\n{}", row.value, read.value);
    let headers = if carries.own_headers { &row.headers[..] } else { &row.headers[..1] };
    ensure!(read.headers == headers, "headers {headers:?} became {:?}", read.headers);
    if carries.timestamp {
        ensure!(read.timestamp == row.timestamp, "timestamp {} became {}", row.timestamp, read.timestamp);
    } else {
        ensure!(written.contains(&read.timestamp), "timestamp {} is not from the time of writing", read.timestamp);
    }
    Ok(())
}

/// The partition that the writer chose for each key; it must be one.
fn partitions_of_keys(records: &[Record]) -> Result<HashMap<Option<String>, usize>> {
    let mut chosen = HashMap::new();
    for Record { row, .. } in records {
        let partition = *chosen.entry(row.key.clone()).or_insert(row.partition);
        if partition != row.partition {
            bail!("key {:?} lies in partitions {partition} and {}", row.key, row.partition);
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Carries = Carries { partition: true, timestamp: true, own_headers: true };

    fn row(partition: usize, key: &str, value: &str) -> Row {
        let headers = vec![("source".to_owned(), "test".to_owned()), ("row".to_owned(), value.to_owned())];
        Row { partition, timestamp: 7, key: Some(key.to_owned()), value: value.to_owned(), headers }
    }

    fn record(offset: u64, row: Row) -> Record {
        Record { offset, row }
    }

    fn refused(rows: &[Row], records: &[Record], carries: Carries, with: &str) {
        let error = compare(rows, records, carries, &(0..=0)).unwrap_err();
        assert!(format!("{error:#}").contains(with), "{error:#}");
    }

    #[test]
    fn partitions_may_come_interleaved_but_each_in_its_order() {
        let rows = [row(0, "a", "1"), row(1, "b", "2"), row(0, "a", "3")];
        let read = [record(0, rows[1].clone()), record(0, rows[0].clone()), record(1, rows[2].clone())];
        compare(&rows, &read, ALL, &(0..=0)).unwrap();
        let swapped = [record(0, rows[2].clone()), record(1, rows[0].clone()), record(0, rows[1].clone())];
        refused(&rows, &swapped, ALL, "partition 0 offset 0");
    }

    #[test]
    fn a_gap_in_the_offsets_is_refused() {
        let rows = [row(0, "a", "1"), row(0, "a", "2")];
        refused(&rows, &[record(0, rows[0].clone()), record(2, rows[1].clone())], ALL, "came as offset 2");
    }

    #[test]
    fn a_key_in_two_partitions_is_refused_where_the_writer_chooses() {
        let chooses = Carries { partition: false, ..ALL };
        let rows = [row(0, "a", "1"), row(0, "a", "2")];
        compare(&rows, &[record(0, row(3, "a", "1")), record(1, row(3, "a", "2"))], chooses, &(0..=0)).unwrap();
        refused(&rows, &[record(0, row(3, "a", "1")), record(0, row(2, "a", "2"))], chooses, "lies in partitions");
    }

    #[test]
    fn each_part_of_a_record_counts() {
        let rows = [row(0, "a", "1")];
        let changed = |change: fn(&mut Row)| {
            let mut row = rows[0].clone();
            change(&mut row);
            [record(0, row)]
        };
        refused(&rows, &changed(|row| row.key = None), ALL, "key");
        refused(&rows, &changed(|row| row.value.push('x')), ALL, "value");
        refused(&rows, &changed(|row| row.timestamp = 8), ALL, "timestamp 7 became 8");
        refused(&rows, &changed(|row| row.headers.truncate(1)), ALL, "headers");
        refused(&rows, &changed(|_| {}), Carries { timestamp: false, ..ALL }, "time of writing");
    }
}
