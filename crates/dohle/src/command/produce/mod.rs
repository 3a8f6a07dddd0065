//! `dohle produce`.

mod lines;
mod parse;

use std::collections::VecDeque;
use std::io::{IsTerminal, stderr, stdin};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use dohle_base::{Partition, TopicName, size};
use dohle_client::producer::{Delivery, DeliveryError};
use dohle_client::{Producer, ProducerConfig, Record};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{Common, topic_name};
use crate::text::number::grouped;
use crate::text::{pair, template};
use lines::Chunk;
use parse::Reader;

const EXAMPLES: &str = "\
Examples:
  seq 10 | dohle produce numbers
  dohle produce orders --file orders.txt --key-separator ,
  dohle produce audit --header source=import --compression zstd < audit.log
  dohle consume orders --until-end --format json | dohle produce copy --json-lines
  dohle produce load --file big.txt --rate 5000

A line is a value. With --key-separator the part before it is the key; a line without it has no key.
With --json-lines a line is an object: {\"key\", \"value\", \"headers\", \"partition\", \"timestamp\"}, all of them optional.
A value that is no string is sent as the JSON that it is; \"key_base64\" and \"value_base64\" hold bytes that are no text;
headers are an object, or a list of {\"name\", \"value\"}; timestamp is milliseconds since 1970, or a time as text.

JSON (with --json): {\"topic\", \"sent\", \"failed\", \"bytes\", \"seconds\"}";

/// Records that were sent and whose end is not known: whoever reads faster than the brokers write waits.
const UNDELIVERED_MAX: usize = 50_000;
/// Failures that are told one by one; the others are counted.
const FAILURES_TOLD: u64 = 5;
/// The bar is drawn so often.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The topic
    #[arg(value_parser = topic_name)]
    topic: TopicName,
    /// Files to read, one after the other; standard input if none, or for `-`
    #[arg(long, short, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// What stands between key and value in a line; \t is a tab
    #[arg(long, short, value_name = "TEXT", conflicts_with = "json_lines")]
    key_separator: Option<String>,
    /// A header for every record
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair::parse)]
    header: Vec<(String, String)>,
    /// Lines are JSON objects
    #[arg(long)]
    json_lines: bool,
    /// The partition of every record that names none itself
    #[arg(long, short)]
    partition: Option<i32>,
    /// An empty value means that the key is deleted
    #[arg(long)]
    empty_deletes: bool,
    /// Records a second, at most
    #[arg(long)]
    rate: Option<u32>,
    /// How many must have a record before it counts as sent
    #[arg(long, value_enum)]
    acks: Option<Acks>,
    /// How batches are packed
    #[arg(long, value_enum)]
    compression: Option<Compression>,
    /// Draw no progress
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Acks {
    /// Nobody: what is sent counts
    #[value(name = "0")]
    None,
    /// The leader
    #[value(name = "1")]
    Leader,
    /// All that are in step
    All,
}

#[derive(Clone, Copy, ValueEnum)]
enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Serialize)]
struct Summary {
    topic: String,
    sent: u64,
    failed: u64,
    bytes: u64,
    seconds: f64,
}

pub(super) async fn run(common: &Common, arguments: Arguments) -> anyhow::Result<()> {
    common.admin().await?;
    let config = ProducerConfig::from_properties(common.properties(&wanted(&arguments)))?;
    let mut sending = Sending {
        producer: Producer::new(config),
        bar: bar(&arguments),
        undelivered: VecDeque::new(),
        sent: 0,
        failed: 0,
        bytes: 0,
        began: Instant::now(),
        rate: arguments.rate,
    };
    sending.producer.partitions(&arguments.topic).await?;
    if arguments.file.is_empty() && stdin().is_terminal() {
        eprintln!("every line is a record; Ctrl-D ends");
    }
    let reader = Reader {
        topic: arguments.topic.clone(),
        partition: arguments.partition.map(Partition),
        separator: arguments.key_separator.as_deref().map(template::unescape),
        headers: arguments.header,
        json: arguments.json_lines,
        empty_deletes: arguments.empty_deletes,
    };
    let read = sending.send_all(lines::read(arguments.file), &reader).await;
    let summary = sending.end(&arguments.topic).await;
    if common.json {
        common.output().one(&summary, |_| String::new())?;
    } else if !arguments.quiet {
        let pace = summary.sent as f64 / summary.seconds.max(f64::EPSILON);
        let (sent, bytes) = (grouped(summary.sent), size::show(summary.bytes));
        eprintln!("sent {sent} records, {bytes} in {:.1} s ({} a second)", summary.seconds, grouped(pace as u64));
    }
    read?;
    anyhow::ensure!(summary.failed == 0, "{} records were not delivered", grouped(summary.failed));
    Ok(())
}

/// What the arguments ask of the client.
fn wanted(arguments: &Arguments) -> Vec<(&'static str, String)> {
    let acks = arguments.acks.map(|acks| match acks {
        Acks::None => "0",
        Acks::Leader => "1",
        Acks::All => "all",
    });
    let compression = arguments.compression.map(|compression| match compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    });
    // A tool that sends much wants larger batches than a service that sends little.
    let larger = [("batch.size", "131072"), ("linger.ms", "10")];
    let asked = [("acks", acks), ("compression.type", compression)];
    let asked = asked.into_iter().filter_map(|(key, value)| Some((key, value?)));
    larger.into_iter().chain(asked).map(|(key, value)| (key, value.to_owned())).collect()
}

fn bar(arguments: &Arguments) -> ProgressBar {
    if arguments.quiet || !stderr().is_terminal() || (arguments.file.is_empty() && stdin().is_terminal()) {
        return ProgressBar::hidden();
    }
    let total: Option<u64> = arguments.file.iter().map(|file| std::fs::metadata(file).ok().map(|it| it.len())).sum();
    let total = total.filter(|total| *total > 0);
    let style = match total {
        Some(_) => "{bar:32} {bytes}/{total_bytes}  {msg}  {bytes_per_sec}  {eta} left",
        None => "{spinner} {bytes}  {msg}  {bytes_per_sec}",
    };
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.set_style(ProgressStyle::with_template(style).expect("the template is sound"));
    bar.enable_steady_tick(BAR_INTERVAL);
    bar
}

struct Sending {
    producer: Producer,
    bar: ProgressBar,
    undelivered: VecDeque<Delivery>,
    sent: u64,
    failed: u64,
    bytes: u64,
    began: Instant,
    rate: Option<u32>,
}

impl Sending {
    async fn send_all(&mut self, mut chunks: lines::Chunks, reader: &Reader) -> anyhow::Result<()> {
        while let Some(chunk) = chunks.recv().await {
            let Chunk { source, first_line, lines } = chunk?;
            for (number, line) in (first_line..).zip(lines.iter()) {
                let record = reader.record(line).with_context(|| format!("{source}, line {number}"))?;
                self.pace().await;
                self.send(record).await.with_context(|| format!("{source}, line {number}"))?;
                self.bar.inc(line.len() as u64 + 1);
            }
            self.bar.set_message(format!("{} records", grouped(self.sent)));
        }
        Ok(())
    }

    async fn send(&mut self, record: Record) -> anyhow::Result<()> {
        let bytes =
            record.key.as_ref().map_or(0, |key| key.len()) + record.value.as_ref().map_or(0, |value| value.len());
        self.undelivered.push_back(self.producer.send(record).await?);
        self.sent += 1;
        self.bytes += bytes as u64;
        while self.undelivered.len() > UNDELIVERED_MAX {
            self.await_first().await;
        }
        Ok(())
    }

    /// Waits until the next record is due.
    async fn pace(&self) {
        if let Some(rate) = self.rate {
            let due = self.began + Duration::from_secs_f64(self.sent as f64 / f64::from(rate.max(1)));
            tokio::time::sleep_until(due.into()).await;
        }
    }

    async fn await_first(&mut self) {
        let Some(delivery) = self.undelivered.pop_front() else { return };
        if let Err(error) = delivery.wait().await {
            self.tell(&error);
        }
    }

    fn tell(&mut self, error: &DeliveryError) {
        self.sent -= 1;
        self.failed += 1;
        if self.failed <= FAILURES_TOLD {
            self.bar.suspend(|| eprintln!("error: {error}"));
        }
    }

    async fn end(mut self, topic: &TopicName) -> Summary {
        self.producer.flush().await;
        while !self.undelivered.is_empty() {
            self.await_first().await;
        }
        self.bar.finish_and_clear();
        self.producer.close().await;
        Summary {
            topic: topic.to_string(),
            sent: self.sent,
            failed: self.failed,
            bytes: self.bytes,
            seconds: self.began.elapsed().as_secs_f64(),
        }
    }
}
