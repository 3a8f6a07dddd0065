//! What a producer's load is like: the arguments that `produce` and `latency` share.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use dohle_base::size;
use dohle_bench::payload::Payload;
use dohle_bench::plan::Produce;
use dohle_bench::template::Shape;
use dohle_records::{Codec, Compression};

/// No batch is larger: its length is a number of 31 bits.
const BATCH_BYTES_MAX: u64 = 1 << 30;

#[derive(Args)]
pub(super) struct Load {
    /// The bytes of a record's value
    #[arg(long, value_name = "BYTES", default_value = "1024", value_parser = parse_size)]
    record_size: u64,
    /// Producers, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) connections: u32,
    /// Requests of one connection that may wait for their answers
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: u32,
    /// How many must have a batch before it is acknowledged
    #[arg(long, value_enum, default_value_t = Acks::All)]
    acks: Acks,
    /// With an id and sequence numbers, as Kafka's producer does by default
    #[arg(long)]
    idempotent: bool,
    /// Batches of one request, each for another partition of the same topic
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batches_per_request: u32,
    /// What is in the records: `random`, `text`, or a file whose lines are records
    #[arg(long, value_name = "random|text|FILE", default_value = "random")]
    payload: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Acks {
    /// Nobody: what is written counts
    #[value(name = "0")]
    None,
    /// The leader
    #[value(name = "1")]
    Leader,
    /// All that are in step
    All,
}

impl Acks {
    pub(super) fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

impl Load {
    /// What is produced at `rate`, of batches of up to `batch_size` bytes before they are packed.
    pub(super) fn produce(&self, rate: Option<u64>, batch_size: u64, codec: Codec) -> anyhow::Result<Produce> {
        Ok(Produce {
            rate,
            connections: self.connections as usize,
            in_flight: self.in_flight as usize,
            acks: self.acks.code(),
            idempotent: self.idempotent,
            batches_per_request: self.batches_per_request as usize,
            shape: self.shape(batch_size, codec)?,
            stamped: false,
        })
    }

    fn shape(&self, batch_size: u64, codec: Codec) -> anyhow::Result<Shape> {
        ensure!(!self.idempotent || self.acks == Acks::All, "an idempotent producer waits for all: leave --acks away");
        Ok(Shape {
            record_size: self.record_size as usize,
            batch_size: batch_size as usize,
            compression: Compression::of(codec),
            payload: self.payload()?,
        })
    }

    fn payload(&self) -> anyhow::Result<Payload> {
        let file = match self.payload.as_str() {
            "random" => return Ok(Payload::Random),
            "text" => return Ok(Payload::Text),
            file => PathBuf::from(file),
        };
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let lines: Vec<Vec<u8>> =
            text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
        ensure!(!lines.is_empty(), "{} has no lines", file.display());
        Ok(Payload::Lines(lines))
    }
}

pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let bytes = size::parse(text).map_err(|error| error.to_string())?;
    if bytes <= BATCH_BYTES_MAX { Ok(bytes) } else { Err(format!("at most {}", size::show(BATCH_BYTES_MAX))) }
}

pub(super) fn parse_codec(text: &str) -> Result<Codec, String> {
    Codec::from_name(text).ok_or_else(|| format!("`{text}` is no codec: write none, gzip, snappy, lz4 or zstd"))
}
