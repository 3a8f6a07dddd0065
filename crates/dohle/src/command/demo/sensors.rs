//! A plant full of machines whose temperature is measured: it drifts slowly, some machines talk in bursts, and now and then
//! one overheats, falls silent, or is stuck at a value.
//!
//! Knows no clock and no broker: time is handed in, and the same seed tells the same story.

use std::f64::consts::TAU;
use std::time::Duration;

use dohle_base::Rng;

/// Above this a machine needs somebody to look at it.
pub(super) const CELSIUS_MAX: f64 = 90.0;
/// A new fault begins so often.
const FAULT_INTERVAL: Duration = Duration::from_millis(1_500);
/// How long a fault lasts.
const FAULT_LENGTH: Duration = Duration::from_secs(6);
/// Every so often many machines talk at once.
const BURST_INTERVAL: Duration = Duration::from_secs(6);
const BURST_LENGTH: Duration = Duration::from_millis(1_200);
const BURST_FACTOR: f64 = 2.5;
/// What an overheating machine adds at its hottest.
const OVERHEAT_CELSIUS: f64 = 38.0;
const NOISE_CELSIUS: f64 = 0.8;
const KINDS: [&str; 5] = ["pump", "press", "oven", "motor", "fan"];

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) device: usize,
    pub(super) celsius: f64,
}

/// The machines.
pub(super) struct Plant {
    rng: Rng,
    devices: Vec<Device>,
    next: usize,
    fault_at: Duration,
}

struct Device {
    name: String,
    celsius: f64,
    swing: f64,
    period: Duration,
    phase: f64,
    fault: Option<Fault>,
    last: f64,
}

#[derive(Clone, Copy)]
struct Fault {
    kind: Kind,
    since: Duration,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Overheats,
    Silent,
    Stuck,
}

impl Plant {
    pub(super) fn new(devices: usize, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let devices = (0..devices.max(1)).map(|number| Device::new(number, &mut rng)).collect();
        Self { rng, devices, next: 0, fault_at: FAULT_INTERVAL }
    }

    /// A machine's name.
    pub(super) fn name(&self, device: usize) -> &str {
        &self.devices[device].name
    }

    /// How much more is said at this time than on average.
    pub(super) fn eagerness(at: Duration) -> f64 {
        let within = at.as_millis() % BURST_INTERVAL.as_millis();
        let bursts = at >= BURST_INTERVAL && within < BURST_LENGTH.as_millis();
        if bursts { BURST_FACTOR } else { 1.0 }
    }

    /// The next measurement at a time since the start; machines take turns, silent ones pass.
    pub(super) fn read(&mut self, at: Duration) -> Option<Reading> {
        self.break_something(at);
        let device = self.next;
        self.next = (self.next + 1) % self.devices.len();
        let celsius = self.devices[device].measure(at, &mut self.rng)?;
        Some(Reading { device, celsius })
    }

    fn break_something(&mut self, at: Duration) {
        if at < self.fault_at {
            return;
        }
        self.fault_at = at + FAULT_INTERVAL;
        let device = self.rng.below(self.devices.len() as u64) as usize;
        let kind = match self.rng.below(4) {
            0 => Kind::Silent,
            1 => Kind::Stuck,
            _ => Kind::Overheats,
        };
        self.devices[device].fault = Some(Fault { kind, since: at });
    }
}

impl Device {
    fn new(number: usize, rng: &mut Rng) -> Self {
        let celsius = 45.0 + unit(rng) * 25.0;
        Self {
            name: format!("{}-{number:03}", KINDS[number % KINDS.len()]),
            celsius,
            swing: 2.0 + unit(rng) * 6.0,
            period: Duration::from_secs(30 + rng.below(300)),
            phase: unit(rng) * TAU,
            fault: None,
            last: celsius,
        }
    }

    fn measure(&mut self, at: Duration, rng: &mut Rng) -> Option<f64> {
        if self.fault.is_some_and(|fault| at > fault.since + FAULT_LENGTH) {
            self.fault = None;
        }
        let drift = (at.as_secs_f64() / self.period.as_secs_f64() * TAU + self.phase).sin() * self.swing;
        let sound = self.celsius + drift + (unit(rng) - 0.5) * 2.0 * NOISE_CELSIUS;
        let celsius = match self.fault {
            None => sound,
            Some(Fault { kind: Kind::Silent, .. }) => return None,
            Some(Fault { kind: Kind::Stuck, .. }) => self.last,
            Some(Fault { kind: Kind::Overheats, since }) => {
                let through = (at - since).as_secs_f64() / FAULT_LENGTH.as_secs_f64();
                sound + OVERHEAT_CELSIUS * (through * TAU / 2.0).sin()
            }
        };
        self.last = (celsius * 100.0).round() / 100.0;
        Some(self.last)
    }
}

/// A number from 0 to 1.
fn unit(rng: &mut Rng) -> f64 {
    rng.below(1 << 32) as f64 / (1_u64 << 32) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(seed: u64) -> Vec<Reading> {
        let mut plant = Plant::new(20, seed);
        (0..20_000).filter_map(|ms| plant.read(Duration::from_millis(ms))).collect()
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        assert_eq!(story(7), story(7));
        assert_ne!(story(7), story(8));
    }

    #[test]
    fn machines_overheat_and_fall_silent_now_and_then() {
        let story = story(7);
        let hot = story.iter().filter(|reading| reading.celsius > CELSIUS_MAX).count();
        assert!((100..5_000).contains(&hot), "{hot}");
        assert!(story.len() < 20_000, "somebody was silent");
        assert!(story.iter().all(|reading| (20.0..130.0).contains(&reading.celsius)));
    }
}
