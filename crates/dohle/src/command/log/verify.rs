//! `dohle log verify`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use dohle_log::disk::ReadOnly;
use dohle_log::inspect::{self, Finding};
use serde::Serialize;

use super::super::Common;
use super::place::Root;
use crate::output::say;

#[derive(Args)]
pub(in crate::command) struct Arguments {
    /// Directories of logs, or of partitions
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
}

#[derive(Serialize)]
struct FindingRow<'a> {
    r#type: &'static str,
    /// None for a file that is about all partitions.
    partition: Option<&'a str>,
    file: &'a str,
    position: Option<u64>,
    finding: String,
}

#[derive(Serialize)]
struct Summary {
    r#type: &'static str,
    partitions: u64,
    segments: u64,
    batches: u64,
    records: u64,
    findings: u64,
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> anyhow::Result<()> {
    let mut summary = Summary { r#type: "summary", partitions: 0, segments: 0, batches: 0, records: 0, findings: 0 };
    for dir in &arguments.dirs {
        verify(common, &Root::at(dir)?, &mut summary)?;
    }
    common.output().one(&summary, |summary| {
        let Summary { partitions, segments, batches, records, findings, .. } = summary;
        format!(
            "{partitions} partitions, {segments} segments, {batches} batches, {records} records: {findings} findings"
        )
    })?;
    if summary.findings > 0 {
        bail!("{} findings; `dohle log repair` shows what can be done", summary.findings);
    }
    Ok(())
}

fn verify(common: &Common, root: &Root, summary: &mut Summary) -> anyhow::Result<()> {
    root.warn_if_in_use();
    let mut ends = BTreeMap::new();
    for partition in &root.partitions {
        let report = inspect::verify(&ReadOnly, &partition.path, root.is_clean())?;
        summary.partitions += 1;
        summary.segments += report.segments.len() as u64;
        summary.batches += report.batches;
        summary.records += report.records;
        let name = partition.name.to_string();
        tell(common, Some(&name), &report.findings, summary)?;
        ends.insert(partition.name.clone(), report.end);
    }
    if root.is_whole {
        tell(common, None, &inspect::verify_checkpoints(&ReadOnly, &root.path, &ends)?, summary)?;
    }
    Ok(())
}

fn tell(common: &Common, partition: Option<&str>, findings: &[Finding], summary: &mut Summary) -> anyhow::Result<()> {
    summary.findings += findings.len() as u64;
    for finding in findings {
        let (file, position) = (finding.file.as_str(), finding.position);
        let row = FindingRow { r#type: "finding", partition, file, position, finding: finding.flaw.to_string() };
        if common.json {
            common.output().one(&row, |_| String::new())?;
        } else {
            say(&partition.map_or_else(|| finding.to_string(), |partition| format!("{partition}/{finding}")))?;
        }
    }
    Ok(())
}
