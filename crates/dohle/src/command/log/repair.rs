//! `dohle log repair`.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use dohle_base::Offset;
use dohle_log::directory::{Offsets, PartitionName};
use dohle_log::disk::{Disk, Files, ReadOnly};
use dohle_log::inspect::{self, Action, Finding, Flaw, Report};
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

/// What is done about a checkpoint.
enum Remedy {
    /// It cannot be read: a broker begins it anew, and reads more of the logs at its next start.
    SetAside,
    /// It promises of a log what is not there.
    Lower { name: PartitionName, end: Offset },
    /// Of the log everything lies below its start. Lowering the start would hand out its offsets once more.
    Leave,
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> anyhow::Result<()> {
    let mut outcome = Outcome::default();
    for dir in &arguments.dirs {
        let root = Root::at(dir)?;
        // Held until all of it is done.
        let _lock = if arguments.yes { Some(take(&root)?) } else { None };
        // Of the logs that stay as they are; with those that are cut, their checkpoints are lowered.
        let mut ends = Offsets::new();
        for partition in &root.partitions {
            let report = inspect::verify(&ReadOnly, &partition.path, root.is_clean())?;
            repair(common, arguments, &root, partition, &report, &mut outcome)?;
            if report.tear.is_none() {
                ends.insert(partition.name.clone(), report.end);
            }
        }
        if root.is_whole {
            repair_checkpoints(common, arguments, &root, &ends, &mut outcome)?;
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
    report: &Report,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let actions = inspect::plan(report);
    if actions.is_empty() {
        outcome.hopeless += report.findings.len();
        return Ok(());
    }
    let is_withheld = actions.iter().any(Action::loses_records) && !arguments.lose_records;
    let is_done = arguments.yes && !is_withheld;
    if is_done {
        mend(root, partition, report, &actions).with_context(|| format!("mend {}", partition.name))?;
    }
    outcome.steps += actions.len();
    outcome.withheld += usize::from(is_withheld);
    let name = partition.name.to_string();
    actions.iter().try_for_each(|action| tell(common, &name, action, report, is_done))
}

fn mend(root: &Root, partition: &Partition, report: &Report, actions: &[Action]) -> anyhow::Result<()> {
    let start = root.start_of(&partition.name)?;
    // First the checkpoints: whoever dies in between leaves one that promises too little, which costs time, and none that is ahead.
    // A log that would end before its start is refused below, and its start stays what it is.
    if let Some(tear) = report.tear.filter(|tear| tear.end >= start) {
        inspect::lower_checkpoints(&Files, &root.path, &partition.name, tear.end)?;
    }
    Ok(inspect::mend(&Files, &partition.path, actions, start, instant::ago(Duration::ZERO))?)
}

fn repair_checkpoints(
    common: &Common,
    arguments: &Arguments,
    root: &Root,
    ends: &Offsets,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    for finding in inspect::verify_checkpoints(&ReadOnly, &root.path, ends)? {
        let (partition, action, text) = match remedy(root, &finding)? {
            Remedy::Leave => {
                outcome.hopeless += 1;
                continue;
            }
            Remedy::SetAside => {
                if arguments.yes {
                    inspect::put_aside(&Files, &root.path.join(&finding.file))?;
                }
                (None, "set aside", "set aside; the next broker begins it anew".to_owned())
            }
            Remedy::Lower { name, end } => {
                if arguments.yes {
                    inspect::lower_checkpoints(&Files, &root.path, &name, end)?;
                }
                (Some(name.to_string()), "lower", format!("{name} lowered to {end}, the end of its log"))
            }
        };
        outcome.steps += 1;
        let (partition, file, done) = (partition.as_deref(), finding.file, arguments.yes);
        let step = Step { partition, action, file, position: None, bytes: None, records_lost: 0, done };
        common.output().one(&step, |step| format!("{}: {text}", step.file))?;
    }
    Ok(())
}

fn remedy(root: &Root, finding: &Finding) -> anyhow::Result<Remedy> {
    let Flaw::CheckpointAhead { partition, end, .. } = &finding.flaw else { return Ok(Remedy::SetAside) };
    let name = PartitionName::of_directory(partition).expect("only a partition that has a directory is judged");
    let is_hopeless = root.start_of(&name)? > *end;
    Ok(if is_hopeless { Remedy::Leave } else { Remedy::Lower { name, end: *end } })
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
