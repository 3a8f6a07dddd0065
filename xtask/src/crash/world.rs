//! A broker, the load on it, and the account of what it promised.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Tools;
use super::broker::Broker;
use super::dice::Dice;
use super::event::{Event, Place};
use super::fault::{self, Fault};
use super::ledger::{Ledger, Tally};
use super::load::Load;

const PARTITIONS: i32 = 3;
/// A check reads a topic from its beginning: after so many cycles the load goes on in another.
const CYCLES_PER_TOPIC: u32 = 10;
/// So many acknowledgements say that the load flows.
const FLOW: usize = 400;
/// Whatever has not happened by then does not happen.
const PATIENCE: Duration = Duration::from_secs(90);

/// One broker and what is known of it.
pub(super) struct World {
    pub(super) broker: Broker,
    load: Load,
    ledger: Ledger,
    topic: u32,
    cycles_of_topic: u32,
}

impl World {
    /// A broker on an empty directory, with the load running. All that it leaves lies in `folder`.
    pub(super) fn start(tools: &Tools, folder: PathBuf) -> Result<Self> {
        let data = folder.join("data");
        Self::start_at(tools, &folder, data, &[])
    }

    /// The same with its data elsewhere, and with settings of its own.
    pub(super) fn start_at(tools: &Tools, folder: &Path, data: PathBuf, settings: &[&str]) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let mut broker = Broker::new(tools, folder, data, settings)?;
        broker.start()?;
        let load = Load::start(&tools.load, &broker.bootstrap(), &folder.join("load.log"))?;
        let mut world = Self { broker, load, ledger: Ledger::default(), topic: 0, cycles_of_topic: 0 };
        world.begin_topic()?;
        Ok(world)
    }

    pub(super) fn tally(&self) -> &Tally {
        self.ledger.tally()
    }

    /// Suffers a fault under load and is held to all promises. Says what happened.
    pub(super) fn cycle(&mut self, fault: Fault, dice: &mut Dice) -> Result<String> {
        if self.cycles_of_topic == CYCLES_PER_TOPIC {
            self.end_topic()?;
            self.begin_topic()?;
        }
        self.cycles_of_topic += 1;
        self.await_flow()?;
        let told = fault::suffer(self, fault, dice).with_context(|| format!("{fault}"))?;
        self.ledger.unbar();
        self.check()?;
        let tally = self.ledger.tally();
        // A client that has given up proves nothing any more.
        ensure!(!tally.has_given_up(), "{fault}: {told}: {}", tally.findings.join("\n"));
        Ok(told)
    }

    /// Lets everything be acknowledged, stops in order, and reads once more what a last life makes of it.
    pub(super) fn end(mut self) -> Result<Tally> {
        self.drain()?;
        self.check()?;
        self.broker.stop()?;
        self.broker.start()?;
        self.check()?;
        self.broker.stop()?;
        Ok(self.ledger.tally().clone())
    }

    /// Reads everything and compares.
    pub(super) fn check(&mut self) -> Result<()> {
        let topic = self.topic;
        self.load.order(&format!("check {topic} {PARTITIONS}"))?;
        self.await_event("the end of a reading", |event| *event == Event::Checked { topic })
    }

    /// Waits until the load is acknowledged.
    pub(super) fn await_flow(&mut self) -> Result<()> {
        let mut left = FLOW;
        self.await_event("acknowledgements", |event| {
            left -= usize::from(matches!(event, Event::Acked { .. }));
            left == 0
        })
    }

    /// Lets the load flow, or stand, for a while.
    pub(super) fn pass(&mut self, time: Duration) -> Result<()> {
        let deadline = Instant::now() + time;
        while let Some(event) = self.load.next(deadline)? {
            self.ledger.note(&event);
        }
        Ok(())
    }

    /// Lets the load flow until something holds; false when it does not come to hold in time.
    pub(super) fn pass_until(
        &mut self,
        limit: Duration,
        mut holds: impl FnMut(&mut Broker) -> Result<bool>,
    ) -> Result<bool> {
        const LOOK: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + limit;
        while !holds(&mut self.broker)? {
            if Instant::now() > deadline {
                return Ok(false);
            }
            self.pass(LOOK)?;
        }
        Ok(true)
    }

    /// Lets time pass until nothing was acknowledged for `silence`, or the broker has ended.
    pub(super) fn await_silence(&mut self, silence: Duration) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = Instant::now();
        while last.elapsed() < silence && !self.broker.has_ended() {
            if Instant::now() > deadline {
                bail!("the load goes on");
            }
            if let Some(event) = self.load.next(last + silence)? {
                if matches!(event, Event::Acked { .. }) {
                    last = Instant::now();
                }
                self.ledger.note(&event);
            }
        }
        Ok(())
    }

    /// From now on nothing that is sent to this partition may be acknowledged in this life of the broker.
    pub(super) fn bar(&mut self, place: Place) -> Result<()> {
        self.load.order("mark")?;
        self.await_event("marks", |event| *event == Event::Marked)?;
        self.ledger.bar(place);
        Ok(())
    }

    fn begin_topic(&mut self) -> Result<()> {
        self.topic += 1;
        self.cycles_of_topic = 0;
        self.broker.create_topic(&name(self.topic), PARTITIONS)?;
        self.load.order(&format!("load {} {PARTITIONS}", self.topic))
    }

    fn end_topic(&mut self) -> Result<()> {
        self.drain()?;
        self.check()?;
        self.broker.delete_topic(&name(self.topic))?;
        self.ledger.forget(self.topic);
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        self.load.order("drain")?;
        self.await_event("the last acknowledgements", |event| *event == Event::Drained)
    }

    fn await_event(&mut self, what: &str, mut is_it: impl FnMut(&Event) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Some(event) = self.load.next(deadline)? else {
                bail!("{what} did not come within {PATIENCE:?}\n{}", self.broker.log_tail())
            };
            self.ledger.note(&event);
            if is_it(&event) {
                return Ok(());
            }
        }
    }
}

fn name(topic: u32) -> String {
    format!("crash-{topic}")
}

impl Place {
    /// The partition that a file belongs to; none when it is none of the load's.
    pub(super) fn of(file: &Path) -> Option<Self> {
        let folder = file.parent()?.file_name()?.to_str()?;
        let (topic, partition) = folder.strip_prefix("crash-")?.split_once('-')?;
        Some(Self { topic: topic.parse().ok()?, partition: partition.parse().ok()? })
    }
}
