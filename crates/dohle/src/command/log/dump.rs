//! `dohle log dump`.

use std::io::{self, BufWriter, Stdout, Write};
use std::path::PathBuf;

use clap::Args;
use dohle_base::Offset;
use dohle_log::disk::ReadOnly;
use dohle_log::inspect::{self, Broken, Placed, SegmentFile, Walk};
use dohle_records::Budget;
use serde::Serialize;

use super::super::Common;
use super::place::{Partition, Root};
use super::record::{self, BatchRow, RecordRow};
use crate::output::table;

#[derive(Args)]
pub(in crate::command) struct Arguments {
    /// Directories of logs, or of partitions
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Also what is in the batches
    #[arg(long, short)]
    records: bool,
    /// Nothing below this offset
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from: i64,
    /// Nothing from this offset on
    #[arg(long, value_name = "OFFSET", default_value_t = i64::MAX, hide_default_value = true)]
    until: i64,
}

#[derive(Serialize)]
struct DamageRow<'a> {
    r#type: &'static str,
    partition: &'a str,
    segment: &'a str,
    position: u64,
    damage: String,
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> anyhow::Result<()> {
    let mut dump = Dump { arguments, json: common.json, out: BufWriter::new(io::stdout()) };
    for dir in &arguments.dirs {
        let root = Root::at(dir)?;
        root.warn_if_in_use();
        root.partitions.iter().try_for_each(|partition| dump.partition(partition))?;
    }
    Ok(dump.out.flush()?)
}

struct Dump<'a> {
    arguments: &'a Arguments,
    json: bool,
    out: BufWriter<Stdout>,
}

impl Dump<'_> {
    fn partition(&mut self, partition: &Partition) -> anyhow::Result<()> {
        let contents = inspect::contents(&ReadOnly, &partition.path)?;
        let ends = contents.segments.iter().skip(1).map(|next| next.base).chain([Offset(i64::MAX)]);
        for (segment, end) in contents.segments.iter().zip(ends) {
            if end.0 > self.arguments.from && segment.base.0 < self.arguments.until {
                self.segment(partition, segment)?;
            }
        }
        Ok(())
    }

    fn segment(&mut self, partition: &Partition, segment: &SegmentFile) -> anyhow::Result<()> {
        let (name, file) = (partition.name.to_string(), segment.name());
        if !self.json {
            writeln!(self.out, "{name}/{file}, {} bytes", segment.size)?;
        }
        let mut walk = Walk::over(&ReadOnly, &partition.path, segment)?;
        let mut rows = Vec::new();
        let broken = loop {
            match walk.step() {
                Ok(None) => break None,
                Ok(Some(placed)) if !self.wants(&placed) => {}
                Ok(Some(placed)) if self.json => self.batch_for_programs(partition, &name, &file, &placed)?,
                Ok(Some(placed)) if self.arguments.records => self.batch_with_records(partition, &placed)?,
                Ok(Some(placed)) => rows.push(record::columns(&placed)),
                Err(Broken::Storage(failure)) => return Err(failure.into()),
                Err(Broken::Damaged { position, damage }) => break Some((position, damage)),
            }
        };
        if !rows.is_empty() {
            writeln!(self.out, "{}", table(record::HEADS, rows))?;
        }
        if let Some((position, damage)) = broken {
            self.damage(&name, &file, position, &damage.to_string())?;
        }
        if !self.json {
            writeln!(self.out)?;
        }
        Ok(())
    }

    fn wants(&self, placed: &Placed) -> bool {
        let offsets = placed.offsets();
        offsets.end().0 >= self.arguments.from && offsets.start().0 < self.arguments.until
    }

    fn batch_for_programs(
        &mut self,
        partition: &Partition,
        name: &str,
        file: &str,
        placed: &Placed,
    ) -> anyhow::Result<()> {
        self.json(&BatchRow::of(name, file, placed))?;
        if !self.arguments.records {
            return Ok(());
        }
        let (topic, is_control) = (partition.name.topic.to_string(), placed.batch.header().attributes.is_control());
        match placed.batch.records(Budget::default()) {
            Ok(records) => {
                for record in records {
                    match record {
                        Ok(record) if !self.wants_offset(record.offset) => {}
                        Ok(record) => self.json(&RecordRow::of(name, &topic, is_control, &record))?,
                        Err(malformed) => self.damage(name, file, placed.position, &malformed.to_string())?,
                    }
                }
                Ok(())
            }
            Err(malformed) => self.damage(name, file, placed.position, &malformed.to_string()),
        }
    }

    fn batch_with_records(&mut self, partition: &Partition, placed: &Placed) -> anyhow::Result<()> {
        let [position, bytes, offsets, records, epoch, codec, _, producer, flags] = record::columns(placed);
        let line = format!(
            "at {position}: {offsets}, {records} records in {bytes} bytes, epoch {epoch}, {codec}, producer {producer}, {flags}"
        );
        writeln!(self.out, "{}", line.trim_end_matches([',', ' ']))?;
        let (topic, is_control) = (partition.name.topic.to_string(), placed.batch.header().attributes.is_control());
        match placed.batch.records(Budget::default()) {
            Ok(records) => {
                for record in records {
                    match record {
                        Ok(record) if !self.wants_offset(record.offset) => {}
                        Ok(record) => writeln!(self.out, "{}", record::line(&topic, is_control, &record))?,
                        Err(malformed) => writeln!(self.out, "  DAMAGE: {malformed}")?,
                    }
                }
                Ok(())
            }
            Err(malformed) => Ok(writeln!(self.out, "  DAMAGE: {malformed}")?),
        }
    }

    fn wants_offset(&self, offset: Offset) -> bool {
        (self.arguments.from..self.arguments.until).contains(&offset.0)
    }

    fn damage(&mut self, partition: &str, segment: &str, position: u64, damage: &str) -> anyhow::Result<()> {
        if self.json {
            let damage = damage.to_owned();
            return self.json(&DamageRow { r#type: "damage", partition, segment, position, damage });
        }
        Ok(writeln!(self.out, "DAMAGE at {position}: {damage}")?)
    }

    fn json<T: Serialize>(&mut self, row: &T) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.out, row)?;
        Ok(self.out.write_all(b"\n")?)
    }
}
