//! `dohle log repair`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use dohle_log::disk::{Disk, Files, ReadOnly};
use dohle_log::inspect::{self, Action, Report};
use serde::Serialize;

use super::super::Common;
use super::place::{Partition, Root};
use crate::output::say;
use crate::text::instant;

#[derive(Args)]
pub(in crate::command) struct Arguments {
    /// Directories of logs, or of partitions
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Do it
    #[arg(long, short)]
    yes: bool,
    /// Also where sound records lie behind the damage, which go with it
    #[arg(long, requires = "yes")]
    lose_records: bool,
}

#[derive(Serialize)]
struct Step<'a> {
    /// None for a file that is about all partitions.
    partition: Option<&'a str>,
    action: &'static str,
    file: String,
    position: Option<u64>,
    bytes: Option<u64>,
    records_lost: u64,
    done: bool,
}

/// What came of the partitions.
#[derive(Default)]
struct Outcome {
    steps: usize,
    /// Findings for which nothing can be done.
    hopeless: usize,
    /// Partitions whose sound records would be lost.
    withheld: usize,
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> anyhow::Result<()> {
    let mut outcome = Outcome::default();
    for dir in &arguments.dirs {
        let root = Root::at(dir)?;
        // Held until all of it is done.
        let _lock = if arguments.yes { Some(take(&root)?) } else { None };
        for partition in &root.partitions {
            repair(common, arguments, &root, partition, &mut outcome)?;
        }
        if root.is_whole {
            repair_checkpoints(common, arguments, &root, &mut outcome)?;
        }
    }
    close(common, arguments, &outcome)
}

fn take(root: &Root) -> anyhow::Result<<Files as Disk>::Lock> {
    Files.lock(&root.lock_file()).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => anyhow::anyhow!("a broker has {}; stop it first", root.path.display()),
        _ => anyhow::Error::new(error).context(format!("lock {}", root.path.display())),
    })
}

fn repair(
    common: &Common,
    arguments: &Arguments,
    root: &Root,
    partition: &Partition,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let report = inspect::verify(&ReadOnly, &partition.path, root.is_clean())?;
    let actions = inspect::plan(&report);
    if actions.is_empty() {
        outcome.hopeless += report.findings.len();
        return Ok(());
    }
    let is_withheld = actions.iter().any(Action::loses_records) && !arguments.lose_records;
    let is_done = arguments.yes && !is_withheld;
    if is_done {
        let now = instant::ago(Duration::ZERO);
        inspect::mend(&Files, &partition.path, &actions, root.start_of(&partition.name)?, now)
            .with_context(|| format!("mend {}", partition.name))?;
        if let Some(tear) = report.tear {
            inspect::lower_checkpoints(&Files, &root.path, &partition.name, tear.end)?;
        }
    }
    outcome.steps += actions.len();
    outcome.withheld += usize::from(is_withheld);
    let name = partition.name.to_string();
    actions.iter().try_for_each(|action| tell(common, &name, action, &report, is_done))
}

/// A checkpoint that cannot be read is put aside: a broker begins it anew, and reads more of the logs at its next start.
fn repair_checkpoints(
    common: &Common,
    arguments: &Arguments,
    root: &Root,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    for finding in inspect::verify_checkpoints(&ReadOnly, &root.path, &BTreeMap::new())? {
        if arguments.yes {
            inspect::put_aside(&Files, &root.path.join(&finding.file))?;
        }
        outcome.steps += 1;
        let (action, file, done) = ("set aside", finding.file, arguments.yes);
        let step = Step { partition: None, action, file, position: None, bytes: None, records_lost: 0, done };
        common.output().one(&step, |step| format!("{}: set aside; the next broker begins it anew", step.file))?;
    }
    Ok(())
}

fn tell(common: &Common, partition: &str, action: &Action, report: &Report, done: bool) -> anyhow::Result<()> {
    let file = action.file();
    let (verb, position, bytes, records_lost, text) = match action {
        Action::Cut(tear) => {
            let behind = match tear.records_behind {
                0 => "no sound record lies behind it".to_owned(),
                records => format!("{records} sound records behind it are lost"),
            };
            let text = format!(
                "cut at {} ({}): {} bytes; the log ends at offset {}, {behind}",
                tear.position, tear.damage, tear.bytes, tear.end
            );
            ("cut", Some(tear.position), Some(tear.bytes), tear.records_behind, text)
        }
        Action::SetAside { bytes, .. } => {
            ("set aside", None, Some(*bytes), 0, format!("set aside, {bytes} bytes behind the cut"))
        }
        Action::Rebuild { .. } => ("rebuild", None, None, 0, "make it anew from the batches".to_owned()),
        Action::Settle { .. } => ("settle", None, None, 0, "finish or undo what was under way".to_owned()),
    };
    assert!(report.tear.is_some() || records_lost == 0, "nothing is lost where nothing is cut");
    let step = Step { partition: Some(partition), action: verb, file, position, bytes, records_lost, done };
    common.output().one(&step, |step| format!("{partition}/{}: {text}", step.file))
}

fn close(common: &Common, arguments: &Arguments, outcome: &Outcome) -> anyhow::Result<()> {
    if outcome.hopeless > 0 {
        bail!("{} findings that cannot be mended; see `dohle log verify`", outcome.hopeless);
    }
    if arguments.yes && outcome.withheld > 0 {
        bail!(
            "{} partitions were left alone, for sound records would go; say --lose-records to do it",
            outcome.withheld
        );
    }
    if common.json {
        return Ok(());
    }
    match (outcome.steps, arguments.yes) {
        (0, _) => say("nothing to do"),
        (_, true) => say("done; what was cut or replaced is kept beside it as .quarantine"),
        (_, false) => say("nothing was done; say --yes to do it"),
    }
}
