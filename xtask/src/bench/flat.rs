//! Whether a broker stays as it is: the minutes of a long window beside each other.

use serde_json::{Value, json};

use super::spread::Spread;

/// Minutes after which the memory of a broker that leaks nothing has come to rest.
const RESTS_FROM: usize = 20;
/// Retention begins with the fifth minute of the row that is about it: what comes before, and what comes after.
const BEFORE_RETENTION: std::ops::Range<usize> = 0..4;
const AFTER_RETENTION: std::ops::Range<usize> = 5..10;
const MINUTES_PER_HOUR: f64 = 60.0;
/// How many times the others a minute is apart in which nothing was answered.
const SILENT_APART: f64 = 1e6;

/// One minute of a report.
struct Minute {
    /// Without an end where nothing was answered.
    p99: f64,
    /// How many times the p99 of a bare relay on the same machine in the same minute: what the machine does to all is in both.
    over_relay: f64,
    resident: Option<f64>,
}

impl Minute {
    fn read(told: &Value) -> Option<Self> {
        let p99 = |of: &str| told.get(of)?.get("p99")?.as_f64();
        let latency = if told.get("latency_us")?.is_null() { f64::INFINITY } else { p99("latency_us")? };
        Some(Self {
            p99: latency,
            over_relay: latency / p99("relay_late_us")?,
            resident: told.get("broker_resident_bytes").and_then(Value::as_f64),
        })
    }
}

/// What the minutes of a report come to, as parts of 1; none where it has too few.
pub(super) fn of(report: &Value) -> Option<Value> {
    let minutes: Vec<Minute> = report.get("minutes")?.as_array()?.iter().map(Minute::read).collect::<Option<_>>()?;
    let p99s: Vec<f64> = minutes.iter().map(|minute| minute.p99).collect();
    let over_relay: Vec<f64> = minutes.iter().map(|minute| minute.over_relay).collect();
    let resident: Vec<f64> = minutes.iter().filter_map(|minute| minute.resident).skip(RESTS_FROM).collect();
    let bare = apart(&p99s)?;
    let steps = retention_step(&p99s).zip(retention_step(&over_relay));
    Some(json!({
        "p99_apart": furthest(&bare),
        "p99_apart_by_itself": furthest(&lesser(&bare, &apart(&over_relay)?)),
        "retention_step": steps.map(|(bare, over_relay)| bare.min(over_relay)),
        "resident_slope": slope(&resident).map(|it| it * MINUTES_PER_HOUR),
    }))
}

/// How far each is from their median, either way.
fn apart(numbers: &[f64]) -> Option<Vec<f64>> {
    let median = Spread::of(numbers)?.median;
    Some(numbers.iter().map(|number| ((number - median).abs() / median).min(SILENT_APART)).collect())
}

/// What of each minute is the broker's own: it stands apart neither where its p99 is that of the others, nor where the machine was as much later with all.
fn lesser(bare: &[f64], over_relay: &[f64]) -> Vec<f64> {
    bare.iter().zip(over_relay).map(|(bare, over_relay)| bare.min(*over_relay)).collect()
}

fn furthest(apart: &[f64]) -> f64 {
    apart.iter().copied().fold(0.0, f64::max)
}

/// By how much the minutes after retention has begun stand above those before.
fn retention_step(minutes: &[f64]) -> Option<f64> {
    let median = |minutes: &[f64]| Some(Spread::of(minutes)?.median);
    Some(median(minutes.get(AFTER_RETENTION)?)? / median(minutes.get(BEFORE_RETENTION)?)? - 1.0)
}

/// By how much of their mean numbers grow from one to the next, by least squares.
fn slope(numbers: &[f64]) -> Option<f64> {
    let count = numbers.len() as f64;
    let (middle, mean) = ((count - 1.0) / 2.0, numbers.iter().sum::<f64>() / count);
    let (mut over, mut under) = (0.0, 0.0);
    for (place, number) in numbers.iter().enumerate() {
        let off = place as f64 - middle;
        over += off * (number - mean);
        under += off * off;
    }
    (under > 0.0).then(|| over / under / mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(p99: impl Fn(usize) -> f64, resident: impl Fn(usize) -> f64, relay: impl Fn(usize) -> f64) -> Value {
        let minute = |number| {
            json!({
                "latency_us": {"p99": p99(number)},
                "relay_late_us": {"p99": relay(number)},
                "broker_resident_bytes": resident(number),
            })
        };
        of(&json!({"minutes": (0..60).map(minute).collect::<Vec<_>>()})).unwrap()
    }

    /// A power of two: to divide by it rounds nothing.
    fn even(_: usize) -> f64 {
        f64::from(1 << 25)
    }

    #[test]
    fn what_stays_as_it_is_is_flat() {
        let flat = json!({"p99_apart": 0.0, "p99_apart_by_itself": 0.0, "retention_step": 0.0, "resident_slope": 0.0});
        assert_eq!(hour(even, even, even), flat);
    }

    #[test]
    fn a_minute_a_step_and_a_leak_are_seen() {
        let flat = hour(|minute| if minute == 30 { 150.0 } else { 100.0 }, even, even);
        assert_eq!((&flat["p99_apart"], &flat["p99_apart_by_itself"]), (&json!(0.5), &json!(0.5)));
        let flat = hour(|minute| if minute < 4 { 100.0 } else { 130.0 }, even, even);
        assert!((flat["retention_step"].as_f64().unwrap() - 0.3).abs() < 1e-9);
        let flat = hour(even, |minute| 1000.0 + minute as f64, even);
        // 60 more of about 1,040 in an hour.
        assert!((flat["resident_slope"].as_f64().unwrap() - 60.0 / 1039.5).abs() < 1e-9);
    }

    #[test]
    fn a_minute_in_which_nothing_was_answered_stands_apart() {
        let minute = |number| {
            let latency = if number == 30 { Value::Null } else { json!({"p99": 100}) };
            json!({"latency_us": latency, "relay_late_us": {"p99": 50}, "broker_resident_bytes": 7})
        };
        let flat = of(&json!({"minutes": (0..60).map(minute).collect::<Vec<_>>()})).unwrap();
        assert_eq!((&flat["p99_apart"], &flat["p99_apart_by_itself"]), (&json!(1e6), &json!(1e6)));
    }

    #[test]
    fn what_the_machine_does_to_all_is_not_the_brokers_doing() {
        let disturbed = |minute: usize| if minute.is_multiple_of(7) { 900.0 } else { 100.0 };
        let flat = hour(disturbed, even, |minute| disturbed(minute) / 2.0);
        assert_eq!((&flat["p99_apart"], &flat["p99_apart_by_itself"]), (&json!(8.0), &json!(0.0)));
        let slowed = |minute: usize| if minute < 4 { 100.0 } else { 130.0 };
        assert_eq!(hour(slowed, even, slowed)["retention_step"], json!(0.0), "a step that all have is not retention's");
    }

    #[test]
    fn a_relay_that_is_late_beside_a_broker_that_is_as_ever_changes_nothing() {
        let flat = hour(even, even, |minute| 100.0 + minute as f64);
        assert_eq!((&flat["p99_apart"], &flat["p99_apart_by_itself"]), (&json!(0.0), &json!(0.0)));
    }

    #[test]
    fn a_report_without_minutes_says_nothing() {
        assert_eq!(of(&json!({"records": 7})), None);
        assert_eq!(of(&json!({"minutes": []})), None);
    }
}
