//! What the readers of the demo have seen: counts, means and maxima by minute and device, alerts, and how long events took.
//!
//! Knows no clock, broker or terminal.

use std::collections::{BTreeMap, VecDeque};

use dohle_base::Timestamp;
use hdrhistogram::Histogram;

use super::sensors::CELSIUS_MAX;

/// Minutes that are kept of each device.
const MINUTES_MAX: usize = 3;
/// Alerts that are kept to be shown.
const ALERTS_KEPT: usize = 5;
/// Seconds whose pace is kept to be drawn.
const PACES_KEPT: usize = 40;
/// A machine that was alerted must cool down by this much before it is alerted again.
const COOLED_CELSIUS: f64 = 2.0;
/// The longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 60_000_000;
const MINUTE_MS: i64 = 60_000;

/// An event as a reader saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) device: &'a str,
    pub(super) celsius: f64,
    pub(super) at: Timestamp,
    /// From the sensor to the reader.
    pub(super) latency_us: u64,
}

/// A device within a minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Minute {
    /// When the minute began.
    pub(super) begin: Timestamp,
    pub(super) events: u64,
    pub(super) sum: f64,
    pub(super) max: f64,
    pub(super) last: f64,
}

impl Minute {
    pub(super) fn mean(&self) -> f64 {
        self.sum / self.events.max(1) as f64
    }
}

/// A machine that became too hot.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alert {
    pub(super) at: Timestamp,
    pub(super) device: String,
    pub(super) celsius: f64,
}

/// Times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

#[derive(Debug, Default)]
struct Device {
    minutes: VecDeque<Minute>,
    alerted: bool,
}

/// Everything that was seen.
#[derive(Debug)]
pub(super) struct Tally {
    devices: BTreeMap<String, Device>,
    pub(super) events: u64,
    pub(super) alerts: u64,
    pub(super) last_alerts: VecDeque<Alert>,
    latencies: Histogram<u64>,
    /// Since the last second began.
    recent: Histogram<u64>,
    counted: u64,
    /// Events of the last seconds, the latest last.
    pub(super) paces: VecDeque<u64>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let histogram = || Histogram::new_with_max(LATENCY_US_MAX, 3).expect("the bounds are sound");
        Self {
            devices: BTreeMap::new(),
            events: 0,
            alerts: 0,
            last_alerts: VecDeque::new(),
            latencies: histogram(),
            recent: histogram(),
            counted: 0,
            paces: VecDeque::new(),
        }
    }

    /// Counts an event. Late ones are counted in their own minute, as long as that is kept.
    pub(super) fn see(&mut self, seen: Seen) {
        self.events += 1;
        self.latencies.saturating_record(seen.latency_us);
        self.recent.saturating_record(seen.latency_us);
        if !self.devices.contains_key(seen.device) {
            self.devices.insert(seen.device.to_owned(), Device::default());
        }
        let device = self.devices.get_mut(seen.device).expect("it was put there above");
        device.count(&seen);
        if device.alerts(seen.celsius) {
            self.alert(seen);
        }
    }

    fn alert(&mut self, seen: Seen) {
        self.alerts += 1;
        let alert = Alert { at: seen.at, device: seen.device.to_owned(), celsius: seen.celsius };
        self.last_alerts.push_front(alert);
        self.last_alerts.truncate(ALERTS_KEPT);
    }

    /// A second has passed: what came within it, and how long it took.
    pub(super) fn tick(&mut self) -> (u64, Latency) {
        let pace = self.events - self.counted;
        self.counted = self.events;
        self.paces.push_back(pace);
        if self.paces.len() > PACES_KEPT {
            self.paces.pop_front();
        }
        let latency = latency(&self.recent);
        self.recent.reset();
        (pace, latency)
    }

    /// How long all events took.
    pub(super) fn latency(&self) -> Latency {
        latency(&self.latencies)
    }

    /// The devices whose latest minute has the highest maximum, the hottest first.
    pub(super) fn hottest(&self, count: usize) -> Vec<(&str, Minute)> {
        let minutes = self.devices.iter().filter_map(|(name, device)| Some((name.as_str(), *device.minutes.back()?)));
        let mut hottest: Vec<(&str, Minute)> = minutes.collect();
        let latest = hottest.iter().map(|(_, minute)| minute.begin).max();
        hottest.retain(|(_, minute)| Some(minute.begin) == latest);
        hottest.sort_by(|a, b| b.1.max.total_cmp(&a.1.max));
        hottest.truncate(count);
        hottest
    }

    /// How many devices were heard of.
    pub(super) fn devices(&self) -> usize {
        self.devices.len()
    }
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let ms = |us: u64| us as f64 / 1_000.0;
    Latency {
        p50: ms(histogram.value_at_quantile(0.5)),
        p99: ms(histogram.value_at_quantile(0.99)),
        max: ms(histogram.max()),
    }
}

impl Device {
    fn count(&mut self, seen: &Seen) {
        let begin = Timestamp(seen.at.0 - seen.at.0.rem_euclid(MINUTE_MS));
        let new = Minute { begin, events: 0, sum: 0.0, max: f64::MIN, last: 0.0 };
        match self.minutes.back() {
            Some(latest) if latest.begin >= begin => {}
            Some(_) | None => self.minutes.push_back(new),
        }
        if self.minutes.len() > MINUTES_MAX {
            self.minutes.pop_front();
        }
        let Some(minute) = self.minutes.iter_mut().rev().find(|minute| minute.begin == begin) else { return };
        minute.events += 1;
        minute.sum += seen.celsius;
        minute.max = minute.max.max(seen.celsius);
        minute.last = seen.celsius;
    }

    /// Whether this is the beginning of an alert.
    fn alerts(&mut self, celsius: f64) -> bool {
        let begins = !self.alerted && celsius > CELSIUS_MAX;
        let ends = self.alerted && celsius < CELSIUS_MAX - COOLED_CELSIUS;
        self.alerted = (self.alerted || begins) && !ends;
        begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(tally: &mut Tally, device: &str, celsius: f64, ms: i64) {
        tally.see(Seen { device, celsius, at: Timestamp(ms), latency_us: 1_000 });
    }

    #[test]
    fn minutes_have_a_mean_and_a_maximum_of_their_own() {
        let mut tally = Tally::new();
        for (celsius, ms) in [(50.0, 0), (60.0, 59_999), (70.0, 60_000), (10.0, 30_000)] {
            see(&mut tally, "a", celsius, ms);
        }
        let minutes: Vec<(u64, f64, f64)> =
            tally.devices["a"].minutes.iter().map(|minute| (minute.events, minute.mean(), minute.max)).collect();
        assert_eq!(minutes, [(3, 40.0, 60.0), (1, 70.0, 70.0)]);
    }

    #[test]
    fn an_alert_begins_once_and_again_only_after_the_machine_cooled_down() {
        let mut tally = Tally::new();
        for celsius in [89.0, 91.0, 95.0, 89.5, 91.0, 80.0, 92.0] {
            see(&mut tally, "a", celsius, 0);
        }
        assert_eq!(tally.alerts, 2);
        assert_eq!(tally.last_alerts.iter().map(|alert| alert.celsius).collect::<Vec<_>>(), [92.0, 91.0]);
    }

    #[test]
    fn the_hottest_of_the_latest_minute_come_first() {
        let mut tally = Tally::new();
        for (device, celsius, ms) in [("a", 99.0, 0), ("a", 50.0, 60_000), ("b", 60.0, 60_000), ("gone", 99.0, 0)] {
            see(&mut tally, device, celsius, ms);
        }
        let names: Vec<&str> = tally.hottest(5).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn a_second_counts_what_came_within_it() {
        let mut tally = Tally::new();
        see(&mut tally, "a", 1.0, 0);
        assert_eq!(tally.tick().0, 1);
        assert_eq!(tally.tick().0, 0);
        assert!((tally.latency().p99 - 1.0).abs() < 0.01);
    }
}
