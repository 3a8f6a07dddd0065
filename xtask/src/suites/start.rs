//! `suites start`: time from a cold start to a ready broker, and idle resident memory, Dohle beside Kafka in one run.
//!
//! Both begin with a data folder that has never been used. Kafka's format step, which Dohle does not have, is not counted.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::broker::{Broker, Plan, Subject};
use super::tally::Tally;
use crate::place;

/// Dohle may take this part of what Kafka takes.
const PART_MAX: f64 = 1.0 / 20.0;
const MIB: f64 = 1024.0 * 1024.0;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// How often each is started, in turn.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// How long a ready broker is left alone before its memory is read.
    #[arg(long, default_value_t = 5)]
    idle_seconds: u64,
    /// Only this one: its figures, without a verdict.
    #[arg(long, value_enum)]
    only: Option<Subject>,
}

/// One start of one broker.
struct Start {
    ready: Duration,
    resident_bytes: u64,
}

pub(super) fn main(arguments: Arguments) -> Result<()> {
    ensure!(arguments.pairs > 0, "at least one pair is needed");
    let idle = Duration::from_secs(arguments.idle_seconds);
    if let Some(subject) = arguments.only {
        for number in 1..=arguments.pairs {
            let start = measure(subject, idle)?;
            println!("{:<6} {number}  {}", subject.name(), figures(&start));
        }
        return Ok(());
    }
    let mut starts = Vec::new();
    println!("pair  {:>24}  {:>24}  {:>7}  {:>7}", "kafka", "dohle", "time", "memory");
    for number in 1..=arguments.pairs {
        let (kafka, dohle) = (measure(Subject::Kafka, idle)?, measure(Subject::Dohle, idle)?);
        println!("{number:>4}  {}  {}  {}", figures(&kafka), figures(&dohle), parts(&kafka, &dohle));
        starts.push((kafka, dohle));
    }
    let (kafka, dohle): (Vec<_>, Vec<_>) = starts.into_iter().unzip();
    let (kafka, dohle) = (median(&kafka), median(&dohle));
    println!("median{}  {}  {}", figures(&kafka), figures(&dohle), parts(&kafka, &dohle));
    verdict(&kafka, &dohle)
}

fn measure(subject: Subject, idle: Duration) -> Result<Start> {
    let folder = place::fresh(&format!("start-{}", subject.name()))?;
    let plan = Plan::prepare(subject, &folder, &[])?;
    let mut broker: Broker = plan.start()?;
    sleep(idle);
    let start = Start { ready: broker.ready_after, resident_bytes: broker.resident_bytes()? };
    broker.stop()?;
    fs::remove_dir_all(&folder)?;
    Ok(start)
}

fn median(starts: &[Start]) -> Start {
    let middle = starts.len() / 2;
    let mut ready: Vec<_> = starts.iter().map(|start| start.ready).collect();
    let mut resident: Vec<_> = starts.iter().map(|start| start.resident_bytes).collect();
    ready.sort();
    resident.sort();
    Start { ready: ready[middle], resident_bytes: resident[middle] }
}

fn figures(start: &Start) -> String {
    format!("{:>9.1} ms  {:>7.1} MiB", start.ready.as_secs_f64() * 1000.0, start.resident_bytes as f64 / MIB)
}

fn time_part(kafka: &Start, dohle: &Start) -> f64 {
    dohle.ready.as_secs_f64() / kafka.ready.as_secs_f64()
}

fn memory_part(kafka: &Start, dohle: &Start) -> f64 {
    dohle.resident_bytes as f64 / kafka.resident_bytes as f64
}

fn parts(kafka: &Start, dohle: &Start) -> String {
    format!("  1/{:<4.0}  1/{:<4.0}", 1.0 / time_part(kafka, dohle), 1.0 / memory_part(kafka, dohle))
}

fn verdict(kafka: &Start, dohle: &Start) -> Result<()> {
    let mut tally = Tally::default();
    let mut at_most = |what: &str, part: f64| {
        tally.check(&format!("{what} is at most 1/20 of Kafka's"), || {
            ensure!(part <= PART_MAX, "it is 1/{:.1}", 1.0 / part);
            Ok(())
        });
    };
    at_most("the time to a ready broker", time_part(kafka, dohle));
    at_most("idle resident memory", memory_part(kafka, dohle));
    tally.close()
}
