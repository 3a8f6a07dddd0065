//! One leg: a broker is started on an empty folder, a row's work is done against it, and what was told is handed back as JSON.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::broker::{Broker, LOAD_CORE, on_core};
use super::entrant::Entrant;
use super::row::{Cores, Row, Step, Work};
use super::{Tools, cold, first, flat, floor, foreign, idle};
use crate::process::{self, Running};

pub(super) const TOPIC: &str = "bench";
/// The load under which the topic is made; at its rate each partition is written to.
const MAKING: &str = "produce --record-size 100 --batch-size 1 --warm-up 0s --for 2s";
const MAKING_TURNS_MAX: u32 = 30;
/// What a program may take beyond the seconds that it was told.
pub(super) const GRACE: Duration = Duration::from_secs(300);
/// By how much what runs beside outlasts what is measured.
const BESIDE_MORE: Duration = Duration::from_secs(60);

/// How long things last.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// Before a measured window.
    pub warm: Duration,
    /// The measured window.
    pub window: Duration,
    /// An idle broker is left alone so long before it is looked at.
    pub rest: Duration,
    /// And looked at so long.
    pub idle: Duration,
}

impl Pace {
    /// A JVM needs its time until its code is compiled. A window of hours is never cut short: what it is about shows late.
    pub(super) fn of(entrant: Entrant, is_quick: bool, hours: Option<Duration>) -> Pace {
        let seconds = Duration::from_secs;
        let warm = match (entrant.is_kafka(), is_quick) {
            (true, false) => seconds(30),
            (true, true) => seconds(10),
            (false, false) => seconds(5),
            (false, true) => seconds(2),
        };
        let (window, rest, idle) = if is_quick { (5, 3, 10) } else { (15, 10, 30) };
        Pace { warm, window: hours.unwrap_or(seconds(window)), rest: seconds(rest), idle: seconds(idle) }
    }

    /// Puts the seconds into the words of a step.
    fn fill(&self, words: &str) -> String {
        let seconds = |duration: Duration| format!("{}s", duration.as_secs());
        let all = self.warm + self.window + BESIDE_MORE;
        words
            .replace("{warm}", &seconds(self.warm))
            .replace("{for}", &seconds(self.window))
            .replace("{all}", &seconds(all))
    }
}

/// Does the work and answers with what was told, an object with one entry for each measurement.
pub(super) fn run(tools: &Tools, row: &Row, entrant: Entrant) -> Result<Value> {
    let pace = Pace::of(entrant, tools.is_quick, row.hours);
    if let (Entrant::Floor, Some(floor)) = (entrant, row.floor) {
        return floor::measure(floor, row.cores == Cores::Pinned, &pace);
    }
    let mut broker = Broker::prepare(tools, row, entrant)?;
    match &row.work {
        Work::Load(steps) => load(tools, row, &pace, &mut broker, steps),
        Work::Start => first::measure(&mut broker),
        Work::Idle => idle::measure(&mut broker, &pace),
        Work::Foreign(program) => foreign::measure(tools, &pace, &mut broker, *program),
    }
}

fn load(tools: &Tools, row: &Row, pace: &Pace, broker: &mut Broker, steps: &[Step]) -> Result<Value> {
    broker.start()?;
    make_topic(tools, row, pace, broker)?;
    let mut told = Map::new();
    let mut beside = Vec::new();
    for step in steps {
        match step {
            Step::Run(words) => drop(tell(&mut generator(tools, row, broker, &pace.fill(words)), broker, pace)?),
            Step::Beside(words) => {
                let log = broker.file(&format!("beside-{}", beside.len()));
                beside.push(Running::start(&mut generator(tools, row, broker, &pace.fill(words)), &log)?);
            }
            Step::Forget => cold::forget(&broker.data)?,
            Step::Measure(name, words) => {
                let value = tell(&mut watching(tools, row, broker, &pace.fill(words)), broker, pace)?;
                told.extend(flat::of(&value).map(|flat| ("flat".to_owned(), flat)));
                told.insert((*name).to_owned(), value);
                beside.iter_mut().try_for_each(Running::check_alive)?;
            }
        }
    }
    broker.check_alive()?;
    Ok(Value::Object(told))
}

/// Little loads of a moment, until each partition takes records: a broker tells of leaders before all of them have opened their logs.
fn make_topic(tools: &Tools, row: &Row, pace: &Pace, broker: &Broker) -> Result<()> {
    let mut make = generator(tools, row, broker, MAKING);
    make.args(["--partitions", &row.topic.partitions.to_string()]);
    make.args(["--rate", &(row.topic.topics * row.topic.partitions).to_string()]);
    make.args(row.topic.config.iter().flat_map(|config| ["--config", config]));
    let mut refused = 0;
    for _turn in 0..MAKING_TURNS_MAX {
        let told = print(&mut make, broker, pace)?;
        refused = told.get("errors").and_then(Value::as_u64).unwrap_or(0);
        if refused == 0 {
            return Ok(());
        }
    }
    bail!("{refused} requests were still refused after {MAKING_TURNS_MAX} turns")
}

/// The load generator with what every use of it is told.
fn generator(tools: &Tools, row: &Row, broker: &Broker, words: &str) -> Command {
    let mut command = Command::new(&tools.generator);
    command.arg("bench").args(words.split_whitespace());
    command.args([
        "--topic",
        TOPIC,
        "--topics",
        &row.topic.topics.to_string(),
        "--json",
        "--bootstrap",
        &broker.bootstrap(),
    ]);
    on_core((row.cores == Cores::Pinned).then_some(LOAD_CORE), &command)
}

/// The same for what is measured: it tells what the broker takes meanwhile.
fn watching(tools: &Tools, row: &Row, broker: &Broker, words: &str) -> Command {
    let mut command = generator(tools, row, broker, words);
    command.args(["--pid", &broker.id().to_string()]);
    command
}

/// Runs the generator to its end. An answer that was an error makes the whole leg worthless.
fn tell(generator: &mut Command, broker: &Broker, pace: &Pace) -> Result<Value> {
    let told = print(generator, broker, pace)?;
    let errors = told.get("errors").and_then(Value::as_u64).unwrap_or(0);
    ensure!(errors == 0, "{errors} errors: {}", told.get("errors_by_name").unwrap_or(&Value::Null));
    Ok(told)
}

fn print(generator: &mut Command, broker: &Broker, pace: &Pace) -> Result<Value> {
    let limit = pace.warm + pace.window + GRACE;
    let printed = process::run(generator, &broker.file("generator"), limit)?;
    serde_json::from_str(&printed).with_context(|| format!("the generator printed no JSON: {printed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_step_get_the_seconds_of_the_pace() {
        let pace = Pace::of(Entrant::Kafka, false, None);
        assert_eq!(pace.fill("produce --warm-up {warm} --for {for}"), "produce --warm-up 30s --for 15s");
        assert_eq!(pace.fill("produce --for {all}"), "produce --for 105s");
        assert_eq!(Pace::of(Entrant::Dohle, true, None).fill("{warm}"), "2s");
        let hour = Pace::of(Entrant::Dohle, true, Some(Duration::from_secs(3600)));
        assert_eq!(hour.fill("produce --for {for}"), "produce --for 3600s");
    }
}
