//! What the system says of a process and of the machine: processor time, resident memory, how busy it is.
//!
//! Linux only (`/proc`), as the whole comparison.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::thread::Pid;

/// `USER_HZ`, which Linux has fixed for what it shows to programs.
const TICKS_PER_SECOND: f64 = 100.0;
const QUIET_BUSY_MAX: f64 = 0.05;
const QUIET_SECONDS: u32 = 3;
const QUIET_LIMIT: Duration = Duration::from_secs(1800);
const SAMPLE: Duration = Duration::from_secs(1);
const TELL_EVERY: u32 = 30;

/// Processor time that a process has used since it began, all threads together.
pub(super) fn cpu_seconds(process: u32) -> Result<f64> {
    cpu_seconds_in(&format!("/proc/{process}/stat"))
}

/// The same of one thread of this process.
pub(super) fn thread_cpu_seconds(thread: Pid) -> Result<f64> {
    cpu_seconds_in(&format!("/proc/self/task/{}/stat", thread.as_raw_nonzero()))
}

fn cpu_seconds_in(path: &str) -> Result<f64> {
    let stat = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    parse_cpu(&stat).with_context(|| format!("{path}: {stat}"))
}

fn parse_cpu(stat: &str) -> Option<f64> {
    // The name of the program stands in parentheses and may hold anything; utime and stime are the 14th and 15th field.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

/// Resident memory of a process, in bytes.
pub(super) fn resident_bytes(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("VmRSS {line}"))?;
    Ok(kibibytes * 1024)
}

/// Waits until the machine was quiet for some seconds; fails when it does not become so.
pub(super) fn await_quiet() -> Result<()> {
    let started = Instant::now();
    let (mut quiet, mut waited) = (0, 0);
    let mut before = Moment::now()?;
    while quiet < QUIET_SECONDS {
        sleep(SAMPLE);
        let now = Moment::now()?;
        let busy = now.busy_since(&before);
        before = now;
        quiet = if busy < QUIET_BUSY_MAX { quiet + 1 } else { 0 };
        waited += 1;
        if waited % TELL_EVERY == 0 {
            eprintln!("bench: the machine is {:.0} % busy; waiting until it is quiet", busy * 100.0);
        }
        if started.elapsed() > QUIET_LIMIT {
            bail!("the machine did not become quiet within {QUIET_LIMIT:?}");
        }
    }
    Ok(())
}

/// The machine's counters, in ticks of all cores.
#[derive(Debug, PartialEq)]
struct Moment {
    total: u64,
    idle: u64,
}

impl Moment {
    fn now() -> Result<Moment> {
        let stat = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        Moment::parse(&stat).context("/proc/stat has no line of all cores")
    }

    fn parse(stat: &str) -> Option<Moment> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?;
        // user nice system idle iowait irq softirq steal; guests are counted in user already.
        let ticks: Vec<u64> =
            fields.split_whitespace().take(8).map(|field| field.parse().ok()).collect::<Option<_>>()?;
        let idle = ticks.get(3)? + ticks.get(4)?;
        Some(Moment { total: ticks.iter().sum(), idle })
    }

    /// 0 to 1.
    fn busy_since(&self, before: &Moment) -> f64 {
        let total = self.total.saturating_sub(before.total);
        let idle = self.idle.saturating_sub(before.idle);
        if total == 0 { 0.0 } else { total.saturating_sub(idle) as f64 / total as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1 0 5 6 7";
        assert_eq!(parse_cpu(stat), Some(2.0));
        assert_eq!(parse_cpu("7 (a"), None);
    }

    #[test]
    fn waiting_for_the_disk_is_not_busy() {
        let at = |line: &str| Moment::parse(line).unwrap();
        let before = at("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3 4");
        let after = at("cpu  105 0 105 870 20 0 0 0 0 0\n");
        assert_eq!(after.busy_since(&before), 0.1);
        assert_eq!(before.busy_since(&before), 0.0);
    }
}
