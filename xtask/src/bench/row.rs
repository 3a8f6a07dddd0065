//! What a row of the table is: a workload, who runs it, and which figures are taken from what the load generator tells.
//!
//! Values only; [`super::rows`] holds them, [`super::leg`] carries them out.

use std::time::Duration;

use serde_json::Value;

use super::entrant::Entrant;
use super::floor::Floor;

/// One workload.
pub(super) struct Row {
    /// As `--only` names it. What stands before the first dot is its group, by which several are named.
    pub id: &'static str,
    /// For a reader of the table.
    pub workload: &'static str,
    pub cores: Cores,
    pub topic: Topic,
    pub kept: Kept,
    /// Whose ratio is told: Kafka first.
    pub pair: [Entrant; 2],
    /// Others that run in the same turns and are shown.
    pub beside: &'static [Entrant],
    /// What the work comes to without a broker; it is measured in the same turns.
    pub floor: Option<Floor>,
    /// A measured window of its own, of an hour or more: such a row is run only when it is named.
    pub hours: Option<Duration>,
    pub work: Work,
    pub figures: &'static [Figure],
}

impl Row {
    pub(super) fn group(&self) -> &'static str {
        self.id.split('.').next().unwrap_or(self.id)
    }

    /// Those who run, in the order of each turn.
    pub(super) fn entrants(&self) -> impl Iterator<Item = Entrant> {
        self.pair.into_iter().chain(self.beside.iter().copied()).chain(self.floor.map(|_| Entrant::Floor))
    }
}

/// Where the processes may run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cores {
    /// The broker on core 0 and the load on core 1: what the broker costs.
    Pinned,
    /// Wherever the system puts them: how long an answer takes.
    Free,
}

/// What the load generator writes to. It is made first, so that nothing but the load is measured, and no partition waits for its leader.
#[derive(Clone, Copy)]
pub(super) struct Topic {
    /// So many topics; Kafka refuses to make one with very many partitions.
    pub topics: u32,
    /// Of each topic.
    pub partitions: u32,
    /// `key=value`.
    pub config: &'static [&'static str],
}

/// What of a partition's log is kept. Whoever only appends measures how the system finds fresh memory.
#[derive(Clone, Copy)]
pub(super) enum Kept {
    All,
    /// Segments of so many MiB, and so many MiB of closed ones.
    Recent {
        segment_mib: u32,
        retention_mib: u32,
    },
}

impl Kept {
    /// The settings of a broker that make it so.
    pub(super) fn settings(self) -> Vec<(&'static str, String)> {
        let (segment, retention) = match self {
            Kept::All => (64 << 20, -1),
            Kept::Recent { segment_mib, retention_mib } => {
                (i64::from(segment_mib) << 20, i64::from(retention_mib) << 20)
            }
        };
        vec![("log.segment.bytes", segment.to_string()), ("log.retention.bytes", retention.to_string())]
    }
}

/// What is done in one leg, with a broker that has just been started on an empty folder.
pub(super) enum Work {
    /// `dohle bench`, several times.
    Load(&'static [Step]),
    /// Starts on an empty folder, after a clean stop and after a kill.
    Start,
    /// What an idle broker takes.
    Idle,
    /// A foreign program at a fixed rate.
    Foreign(Program),
}

/// A part of [`Work::Load`]. The words are those of `dohle bench`; `{warm}`, `{for}` and `{all}` stand for the seconds of the
/// warm-up, of the measured window, and of more than both.
pub(super) enum Step {
    /// Run to the end.
    Run(&'static str),
    /// Left running beside what follows.
    Beside(&'static str),
    /// What the logs hold is written to the disk and leaves the memory.
    Forget,
    /// Run to the end; what it tells is kept under the name.
    Measure(&'static str, &'static str),
}

/// Programs that users measure with.
#[derive(Clone, Copy)]
pub(super) enum Program {
    /// `rdkafka_performance -P`.
    Librdkafka,
    /// Kafka's `ProducerPerformance`.
    JavaProducer,
    /// Kafka's `ConsumerPerformance`.
    JavaConsumer,
}

/// One number of a leg, and what it should be.
pub(super) struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    /// Path to a number, `/` between the names.
    pub over: &'static str,
    /// What it is divided by.
    pub per: Option<&'static str>,
    pub scale: f64,
    pub target: Target,
    /// What the floor took where nobody has measured it here; within 1.3 times of it a figure is met whatever its ratio, but not
    /// where more is better.
    pub floor: Option<f64>,
}

/// What Dohle's median should be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Target {
    /// None is set.
    Shown,
    /// At most this part of Kafka's.
    Part(f64),
    /// At least so many times Kafka's.
    Times(f64),
    /// At most this, in the figure's own unit.
    AtMost(f64),
}

impl Figure {
    /// The figure of one leg; none where the generator does not know it.
    pub(super) fn of(&self, told: &Value) -> Option<f64> {
        let number = |path: &str| told.pointer(&format!("/{path}")).and_then(Value::as_f64);
        let over = number(self.over)?;
        let value = self.per.map_or(Some(over), |per| Some(over / number(per)?))? * self.scale;
        value.is_finite().then_some(value)
    }

    pub(super) const fn new(
        name: &'static str,
        unit: &'static str,
        over: &'static str,
        scale: f64,
        target: Target,
    ) -> Figure {
        Figure { name, unit, over, per: None, scale, target, floor: None }
    }

    pub(super) const fn per(self, per: &'static str) -> Figure {
        Figure { per: Some(per), ..self }
    }

    pub(super) const fn floor(self, floor: f64) -> Figure {
        Figure { floor: Some(floor), ..self }
    }

    pub(super) const fn cpu_per_gb(target: Target) -> Figure {
        Figure::new("CPU", "s/GB", "run/broker_cpu_seconds", 1e9, target).per("run/bytes")
    }

    pub(super) const fn cpu_per_request(target: Target) -> Figure {
        Figure::new("CPU", "µs/request", "run/broker_cpu_seconds", 1e6, target).per("run/requests")
    }

    pub(super) const fn mb_per_second(target: Target) -> Figure {
        Figure::new("throughput", "MB/s", "run/mb_per_second", 1.0, target)
    }

    pub(super) const fn acknowledged_p99(target: Target) -> Figure {
        Figure::new("acknowledged, p99", "ms", "run/latency_us/p99", 1e-3, target)
    }

    pub(super) const fn end_to_end_p50(target: Target) -> Figure {
        Figure::new("end to end, p50", "ms", "run/end_to_end_us/p50", 1e-3, target)
    }

    pub(super) const fn end_to_end_p99(target: Target) -> Figure {
        Figure::new("end to end, p99", "ms", "run/end_to_end_us/p99", 1e-3, target)
    }

    pub(super) const fn end_to_end_p99_9(target: Target) -> Figure {
        Figure::new("end to end, p99.9", "ms", "run/end_to_end_us/p99_9", 1e-3, target)
    }

    pub(super) const fn memory_per_connection(target: Target) -> Figure {
        Figure::new("idle memory", "KiB/connection", "idle/resident_bytes_per_connection", 1.0 / 1024.0, target)
    }

    pub(super) const fn seconds(name: &'static str, over: &'static str, target: Target) -> Figure {
        Figure::new(name, "s", over, 1.0, target)
    }

    pub(super) const fn megabytes(name: &'static str, over: &'static str, target: Target) -> Figure {
        Figure::new(name, "MB", over, 1e-6, target)
    }

    pub(super) const fn percent(name: &'static str, over: &'static str, target: Target) -> Figure {
        Figure::new(name, "%", over, 100.0, target)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_figure_is_read_by_its_path_divided_and_scaled() {
        let told = json!({"run": {"broker_cpu_seconds": 2.0, "bytes": 4e9, "requests": 0, "latency_us": null}});
        assert_eq!(Figure::cpu_per_gb(Target::Shown).of(&told), Some(0.5));
        assert_eq!(Figure::cpu_per_request(Target::Shown).of(&told), None, "nothing is divided by nothing");
        assert_eq!(Figure::acknowledged_p99(Target::Shown).of(&told), None, "null is no number");
    }

    #[test]
    fn what_is_kept_is_said_in_bytes() {
        let kept = Kept::Recent { segment_mib: 64, retention_mib: 192 }.settings();
        assert_eq!(kept[0], ("log.segment.bytes", "67108864".to_owned()));
        assert_eq!(kept[1], ("log.retention.bytes", "201326592".to_owned()));
        assert_eq!(Kept::All.settings()[1].1, "-1");
    }
}
