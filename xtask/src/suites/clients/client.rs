//! The foreign clients as one noun: each can write the rows of a file to a topic, and read a topic back as records.
//!
//! The libraries have a program of ours with the same commands; kcat and the Java console tools are driven as they come, and what they
//! print is brought into the same form here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::rows::{Carries, DataSet, Record, Row, read_lines};
use crate::kafka::Tree;
use crate::suites::packages;
use crate::{place, process};

pub(in crate::suites) const CODECS: &[&str] = &["none", "gzip", "snappy", "lz4", "zstd"];
pub(in crate::suites) const PARTITIONS: usize = 4;

const LIMIT: Duration = Duration::from_secs(90);

/// A client that is installed.
pub(in crate::suites) struct Client {
    pub(in crate::suites) name: &'static str,
    /// The data set that it writes.
    pub(super) data_set: &'static str,
    kind: Kind,
}

enum Kind {
    /// A program of ours over a library: the words that start it.
    Program(Vec<PathBuf>),
    Kcat,
    Console(Tree),
}

/// Every client by name, with the data set that it writes: the slower the client, the smaller.
pub(in crate::suites) const CLIENTS: &[(&str, &str)] = &[
    ("confluent-kafka", "wikiticker"),
    ("kafka-python", "nasa"),
    ("franz-go", "machine"),
    ("kafkajs", "payments"),
    ("kcat", "ambient"),
    ("kafka-console", "nasa"),
];

impl Client {
    /// Installs what the client needs.
    pub(in crate::suites) fn install(name: &'static str, data_set: &'static str) -> Result<Client> {
        let programs = place::programs().join("clients");
        let python = |program: &str| -> Result<Kind> {
            let requirements = ["confluent-kafka==2.16.1", "kafka-python[lz4,snappy,zstd,crc32c]==3.0.12"];
            let interpreter = packages::python("clients", &requirements)?;
            Ok(Kind::Program(vec![interpreter, programs.join("python").join(program)]))
        };
        let kind = match name {
            "confluent-kafka" => python("confluent.py")?,
            "kafka-python" => python("kafka_python.py")?,
            "franz-go" => Kind::Program(vec![packages::go(name, &programs.join("go"))?]),
            "kafkajs" => {
                let home = packages::node(name, &programs.join("node"))?;
                Kind::Program(vec!["node".into(), home.join("client.js")])
            }
            "kcat" => {
                packages::debian(&["kcat"])?;
                Kind::Kcat
            }
            "kafka-console" => Kind::Console(Tree::install()?),
            other => anyhow::bail!("no client {other}"),
        };
        Ok(Client { name, data_set, kind })
    }

    /// What of a row this client can decide when it writes.
    pub(super) fn carries(&self) -> Carries {
        match self.kind {
            Kind::Program(_) => Carries { partition: true, timestamp: true, own_headers: true },
            Kind::Kcat => Carries { partition: true, timestamp: false, own_headers: false },
            Kind::Console(_) => Carries { partition: false, timestamp: false, own_headers: true },
        }
    }

    /// True for the clients that can run a group member which tells what it does.
    pub(in crate::suites) fn has_member(&self) -> bool {
        matches!(self.kind, Kind::Program(_))
    }

    /// Our program with one command, for the clients that have one.
    pub(in crate::suites) fn program(&self, command: &str, bootstrap: &str, topic: &str) -> Option<Command> {
        let Kind::Program(words) = &self.kind else { return None };
        let mut program = Command::new(&words[0]);
        program.args(&words[1..]).arg(command).args(["--bootstrap", bootstrap, "--topic", topic]);
        Some(program)
    }

    /// Asks for all that the client's library can ask for as an administrator; none for kcat, which has no such part.
    pub(in crate::suites) fn admin(&self, bootstrap: &str, topic: &str, group: &str) -> Option<Command> {
        let mut admin = match &self.kind {
            Kind::Program(_) => self.program("admin", bootstrap, topic)?,
            Kind::Kcat => return None,
            Kind::Console(tree) => {
                let mut java = tree.source(&place::programs().join("clients/java/Administration.java"));
                java.args(["admin", "--bootstrap", bootstrap, "--topic", topic]);
                java
            }
        };
        admin.args(["--group", group]);
        Some(admin)
    }

    /// Creates a topic through the client; kcat and the console producer leave that to the broker.
    pub(in crate::suites) fn create(&self, bootstrap: &str, topic: &str, log: &Path) -> Result<()> {
        match self.program("create", bootstrap, topic) {
            Some(mut program) => process::run_into(program.args(["--partitions", &PARTITIONS.to_string()]), log, LIMIT),
            None => Ok(()),
        }
    }

    /// Writes all rows and returns when they are acknowledged.
    pub(in crate::suites) fn write(
        &self,
        bootstrap: &str,
        topic: &str,
        codec: &str,
        data_set: &DataSet,
        log: &Path,
    ) -> Result<()> {
        match &self.kind {
            Kind::Program(_) => {
                let mut program = self.program("write", bootstrap, topic).expect("a program has commands");
                program.args(["--codec", codec, "--rows"]).arg(&data_set.file);
                process::run_into(&mut program, log, LIMIT)
            }
            Kind::Kcat => kcat_write(bootstrap, topic, codec, &data_set.rows, log),
            Kind::Console(tree) => console_write(tree, bootstrap, topic, codec, &data_set.rows, log),
        }
    }

    /// Reads a topic from its beginning: `count` records are in it.
    pub(in crate::suites) fn read(
        &self,
        bootstrap: &str,
        topic: &str,
        count: usize,
        output: &Path,
    ) -> Result<Vec<Record>> {
        match &self.kind {
            Kind::Program(_) => {
                let mut program = self.program("read", bootstrap, topic).expect("a program has commands");
                process::run_into(program.args(["--count", &count.to_string()]), output, LIMIT)?;
                read_lines(output)
            }
            Kind::Kcat => {
                let mut kcat = Command::new("kcat");
                kcat.args(["-C", "-b", bootstrap, "-t", topic, "-o", "beginning", "-e", "-q", "-J"]);
                process::run_into(process::without_input(&mut kcat), output, LIMIT)?;
                read_lines::<KcatRecord>(output)?.into_iter().map(KcatRecord::into_record).collect()
            }
            Kind::Console(tree) => console_read(tree, bootstrap, topic, count, output),
        }
    }
}

/// One kcat for each partition, since kcat takes the partition from its command line. A header is the same for all records of a run.
fn kcat_write(bootstrap: &str, topic: &str, codec: &str, rows: &[Row], log: &Path) -> Result<()> {
    let mut partitions: BTreeMap<usize, String> = BTreeMap::new();
    for row in rows {
        let key = row.key.as_deref().context("kcat is given rows with keys")?;
        let _ = writeln!(partitions.entry(row.partition).or_default(), "{key}\t{}", row.value);
    }
    let (name, value) = &rows[0].headers[0];
    for (partition, lines) in partitions {
        let input = log.with_extension(format!("{partition}.in"));
        fs::write(&input, lines)?;
        let mut kcat = Command::new("kcat");
        kcat.args(["-P", "-b", bootstrap, "-t", topic, "-p", &partition.to_string(), "-K", "\\t", "-z", codec]);
        kcat.args(["-H", &format!("{name}={value}"), "-X", "enable.idempotence=true"]);
        process::run_into(process::feed(&mut kcat, &input)?, log, LIMIT)?;
    }
    Ok(())
}

/// A record as kcat prints it with `-J`.
#[derive(Deserialize)]
struct KcatRecord {
    partition: usize,
    offset: u64,
    ts: i64,
    #[serde(default)]
    headers: Vec<String>,
    key: Option<String>,
    payload: String,
}

impl KcatRecord {
    fn into_record(self) -> Result<Record> {
        ensure!(self.headers.len().is_multiple_of(2), "offset {}: a header without a value", self.offset);
        let headers = self.headers.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let row = Row { partition: self.partition, timestamp: self.ts, key: self.key, value: self.payload, headers };
        Ok(Record { offset: self.offset, row })
    }
}

fn console_write(tree: &Tree, bootstrap: &str, topic: &str, codec: &str, rows: &[Row], log: &Path) -> Result<()> {
    let input = log.with_extension("in");
    let mut lines = BufWriter::new(File::create(&input)?);
    for row in rows {
        let headers: Vec<String> = row.headers.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        let key = row.key.as_deref().context("the console producer is given rows with keys")?;
        writeln!(lines, "{}\t{key}\t{}", headers.join(","), row.value)?;
    }
    lines.flush()?;
    let mut producer = tree.tool("kafka-console-producer");
    producer.args(["--bootstrap-server", bootstrap, "--topic", topic, "--compression-codec", codec]);
    producer.args(["--reader-property", "parse.key=true", "--reader-property", "parse.headers=true"]);
    process::run_into(process::feed(&mut producer, &input)?, log, LIMIT)
}

fn console_read(tree: &Tree, bootstrap: &str, topic: &str, count: usize, output: &Path) -> Result<Vec<Record>> {
    let mut consumer = tree.tool("kafka-console-consumer");
    consumer.args(["--bootstrap-server", bootstrap, "--topic", topic, "--from-beginning"]);
    consumer.args(["--max-messages", &count.to_string(), "--timeout-ms", "20000"]);
    for part in ["timestamp", "partition", "offset", "headers", "key"] {
        consumer.args(["--formatter-property", &format!("print.{part}=true")]);
    }
    let printed = process::run(&mut consumer, output, LIMIT)?;
    printed.lines().map(|line| console_record(line).with_context(|| format!("console consumer: {line}"))).collect()
}

/// `CreateTime:7<tab>Partition:0<tab>Offset:5<tab>name:value,name:value<tab>key<tab>value`.
fn console_record(line: &str) -> Result<Record> {
    let fields: Vec<&str> = line.splitn(6, '\t').collect();
    let [timestamp, partition, offset, headers, key, value] = fields[..] else {
        anyhow::bail!("{} fields", fields.len());
    };
    let header = |text: &str| text.split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers: Option<Vec<_>> = match headers {
        "NO_HEADERS" => Some(Vec::new()),
        some => some.split(',').map(header).collect(),
    };
    Ok(Record {
        offset: offset.strip_prefix("Offset:").context("no offset")?.parse()?,
        row: Row {
            partition: partition.strip_prefix("Partition:").context("no partition")?.parse()?,
            timestamp: timestamp.strip_prefix("CreateTime:").context("no time")?.parse()?,
            key: (key != "null").then(|| key.to_owned()),
            value: value.to_owned(),
            headers: headers.context("a header without a colon")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_console_consumer_is_a_record_and_its_value_keeps_its_tabs() {
        let record = console_record("CreateTime:7\tPartition:2\tOffset:5\tsource:nasa,row:1\tnull\ta\tb").unwrap();
        assert_eq!(record.offset, 5);
        assert_eq!(record.row.key, None);
        assert_eq!(record.row.value, "a\tb");
        assert_eq!(record.row.headers[1], ("row".to_owned(), "1".to_owned()));
    }
}
