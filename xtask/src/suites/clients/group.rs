//! A group of three of which one is killed: nothing is missing, and nothing is repeated but what lay between the dead member's
//! last commit and its death.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

use super::client::Client;
use super::rows::DataSet;
use crate::process::{self, Running};

const MEMBERS: usize = 3;
const POLL: Duration = Duration::from_millis(20);
const ASSIGNED_LIMIT: Duration = Duration::from_secs(30);
const DRAINED_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);
// Several commits and some work after the last of them.
const RECORDS_BEFORE_DEATH: u64 = 1500;

/// What a member prints.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Assigned {
        partitions: Vec<usize>,
    },
    /// Partition, first offset, offset after the last.
    Read {
        ranges: Vec<(usize, u64, u64)>,
    },
    /// About to be sent to the broker.
    Committing {
        offsets: Vec<(usize, u64)>,
    },
    /// The broker said yes.
    Committed {
        offsets: Vec<(usize, u64)>,
    },
}

fn end(offsets: &BTreeMap<usize, u64>, partition: usize) -> u64 {
    offsets.get(&partition).copied().unwrap_or(0)
}

struct Member {
    process: Running,
    output: PathBuf,
}

impl Member {
    /// Everything that it has printed so far; a line that is not yet whole is left for later.
    fn events(&self) -> Result<Vec<Event>> {
        let printed = std::fs::read_to_string(&self.output)?;
        let whole = printed.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Ok(whole.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    fn owns(&self) -> Result<usize> {
        let last = |owned, event| match event {
            Event::Assigned { partitions } => partitions.len(),
            Event::Read { .. } | Event::Committing { .. } | Event::Committed { .. } => owned,
        };
        Ok(self.events()?.into_iter().fold(0, last))
    }

    fn work(&self) -> Result<Work> {
        Ok(Work::of(&self.events()?))
    }
}

/// What one member has done, by partition.
#[derive(Default)]
struct Work {
    ranges: Vec<(usize, u64, u64)>,
    committing: BTreeMap<usize, u64>,
    committed: BTreeMap<usize, u64>,
}

impl Work {
    fn of(events: &[Event]) -> Work {
        let mut work = Work::default();
        for event in events {
            match event {
                Event::Assigned { .. } => {}
                Event::Read { ranges } => work.ranges.extend(ranges),
                Event::Committing { offsets } => work.committing.extend(offsets.iter().copied()),
                Event::Committed { offsets } => work.committed.extend(offsets.iter().copied()),
            }
        }
        work
    }

    fn records(&self) -> u64 {
        self.ranges.iter().map(|(_, first, end)| end - first).sum()
    }

    fn offsets(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.ranges.iter().flat_map(|&(partition, first, end)| (first..end).map(move |offset| (partition, offset)))
    }

    /// What an heir may read again: the broker may not have heard of it.
    fn may_repeat(&self) -> BTreeSet<(usize, u64)> {
        self.offsets().filter(|(partition, offset)| *offset >= end(&self.committed, *partition)).collect()
    }

    /// What an heir need not read again: the broker may have heard of it.
    fn may_rest(&self) -> BTreeSet<(usize, u64)> {
        self.offsets().filter(|(partition, offset)| *offset < end(&self.committing, *partition)).collect()
    }
}

/// Runs the group over a topic that the client creates and writes.
pub(super) fn loses_a_member(client: &Client, bootstrap: &str, data_set: &DataSet, folder: &Path) -> Result<()> {
    let topic = format!("{}-group", client.name);
    let log = folder.join(format!("{topic}.log"));
    client.create(bootstrap, &topic, &log)?;
    let mut members = (0..MEMBERS)
        .map(|number| start(client, bootstrap, &topic, folder.join(format!("{topic}.member-{number}"))))
        .collect::<Result<Vec<_>>>()?;
    await_that(&mut members, ASSIGNED_LIMIT, "each member owns a partition", |members| {
        Ok(members.iter().map(Member::owns).collect::<Result<Vec<_>>>()?.iter().all(|&owned| owned > 0))
    })?;

    client.write(bootstrap, &topic, "none", data_set, &log)?;
    await_that(&mut members, DRAINED_LIMIT, "the first member has done some work", |members| {
        Ok(members[0].work()?.records() >= RECORDS_BEFORE_DEATH)
    })?;
    let mut dead = members.remove(0);
    dead.process.kill()?;
    let dead = dead.work()?;

    let total = data_set.rows.len();
    await_that(&mut members, DRAINED_LIMIT, "the others have read the rest", |members| {
        let mut seen = dead.may_rest();
        for member in members.iter() {
            seen.extend(member.work()?.offsets());
        }
        Ok(seen.len() >= total)
    })?;
    let mut heirs = Vec::new();
    for mut member in members {
        member.process.stop(STOP_LIMIT)?;
        heirs.push(member.work()?);
    }
    judge(&dead, &heirs, data_set)
}

fn start(client: &Client, bootstrap: &str, topic: &str, output: PathBuf) -> Result<Member> {
    let mut program = client.program("member", bootstrap, topic).expect("the client has a member");
    let process = Running::start(process::without_input(program.args(["--group", topic])), &output)?;
    Ok(Member { process, output })
}

fn await_that(
    members: &mut [Member],
    limit: Duration,
    what: &str,
    mut holds: impl FnMut(&[Member]) -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !holds(members)? {
        for member in members.iter_mut() {
            member.process.check_alive()?;
        }
        if Instant::now() > deadline {
            let tails: Vec<String> = members.iter().map(|member| member.process.log_tail()).collect();
            bail!("not within {limit:?}: {what}\n{}", tails.join("    --\n"));
        }
        sleep(POLL);
    }
    Ok(())
}

fn judge(dead: &Work, heirs: &[Work], data_set: &DataSet) -> Result<()> {
    let mut times: BTreeMap<(usize, u64), usize> = BTreeMap::new();
    for place in heirs.iter().flat_map(Work::offsets).chain(dead.offsets()) {
        *times.entry(place).or_default() += 1;
    }
    ensure!(times.len() <= data_set.rows.len(), "{} records for {} rows", times.len(), data_set.rows.len());
    let mut done = dead.may_rest();
    done.extend(heirs.iter().flat_map(Work::offsets));
    let mut next = BTreeMap::<usize, u64>::new();
    for row in &data_set.rows {
        let offset = next.entry(row.partition).or_default();
        ensure!(done.contains(&(row.partition, *offset)), "missing: partition {} offset {offset}", row.partition);
        *offset += 1;
    }
    let may_repeat = dead.may_repeat();
    for ((partition, offset), times) in times {
        let most = if may_repeat.contains(&(partition, offset)) { 2 } else { 1 };
        ensure!(times <= most, "partition {partition} offset {offset} was read {times} times");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites::clients::rows::Row;

    fn work(events: &[&str]) -> Work {
        Work::of(&events.iter().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
    }

    fn data_set(rows: usize) -> DataSet {
        let row = Row { partition: 0, timestamp: 0, key: None, value: String::new(), headers: Vec::new() };
        DataSet { file: PathBuf::new(), rows: vec![row; rows] }
    }

    const DEAD: &[&str] = &[
        r#"{"event":"read","ranges":[[0,0,2]]}"#,
        r#"{"event":"committing","offsets":[[0,2]]}"#,
        r#"{"event":"committed","offsets":[[0,2]]}"#,
        r#"{"event":"read","ranges":[[0,2,4]]}"#,
    ];

    fn verdict(dead: &[&str], heir: &str, rows: usize) -> String {
        let outcome = judge(&work(dead), &[work(&[heir])], &data_set(rows));
        outcome.map_or_else(|error| error.to_string(), |()| "good".to_owned())
    }

    #[test]
    fn only_what_the_dead_member_had_not_committed_comes_twice() {
        assert_eq!(verdict(DEAD, r#"{"event":"read","ranges":[[0,2,6]]}"#, 6), "good");
        let twice = verdict(DEAD, r#"{"event":"read","ranges":[[0,1,6]]}"#, 6);
        assert_eq!(twice, "partition 0 offset 1 was read 2 times");
    }

    #[test]
    fn what_was_read_and_never_committed_must_come_again() {
        let heir = r#"{"event":"read","ranges":[[0,4,6]]}"#;
        assert_eq!(verdict(DEAD, heir, 6), "missing: partition 0 offset 2");
        let dies_in_its_commit = [DEAD, &[r#"{"event":"committing","offsets":[[0,4]]}"#]].concat();
        assert_eq!(verdict(&dies_in_its_commit, heir, 6), "good");
        assert_eq!(verdict(&dies_in_its_commit, heir, 7), "missing: partition 0 offset 6");
    }
}
