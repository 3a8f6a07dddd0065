//! Whether a broker stays as it is: the minutes of a long window beside each other.

use serde_json::{Value, json};

use super::spread::Spread;

/// Minutes after which the memory of a broker that leaks nothing has come to rest.
const RESTS_FROM: usize = 20;
/// Retention begins with the fifth minute of the row that is about it: what comes before, and what comes after.
const BEFORE_RETENTION: std::ops::Range<usize> = 0..4;
const AFTER_RETENTION: std::ops::Range<usize> = 5..10;
const MINUTES_PER_HOUR: f64 = 60.0;

/// What the minutes of a report come to, as parts of 1; none where it has too few.
pub(super) fn of(report: &Value) -> Option<Value> {
    let minutes = report.get("minutes")?.as_array()?;
    let p99s: Vec<f64> =
        minutes.iter().map(|minute| minute.pointer("/latency_us/p99")?.as_f64()).collect::<Option<_>>()?;
    let resident = minutes.iter().filter_map(|minute| minute.get("broker_resident_bytes")?.as_f64());
    let resident: Vec<f64> = resident.skip(RESTS_FROM).collect();
    let median = Spread::of(&p99s)?;
    let apart = (median.max - median.median).max(median.median - median.min) / median.median;
    let middle = |range: std::ops::Range<usize>| Some(Spread::of(p99s.get(range)?)?.median);
    let step = middle(AFTER_RETENTION).zip(middle(BEFORE_RETENTION)).map(|(after, before)| after / before - 1.0);
    Some(
        json!({"p99_apart": apart, "retention_step": step, "resident_slope": slope(&resident).map(|it| it * MINUTES_PER_HOUR)}),
    )
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

    fn hour(p99: impl Fn(usize) -> f64, resident: impl Fn(usize) -> f64) -> Value {
        let minute = |number| json!({"latency_us": {"p99": p99(number)}, "broker_resident_bytes": resident(number)});
        json!({"minutes": (0..60).map(minute).collect::<Vec<_>>()})
    }

    #[test]
    fn what_stays_as_it_is_is_flat() {
        let flat = of(&hour(|_| 100.0, |_| 5e7)).unwrap();
        assert_eq!(flat, json!({"p99_apart": 0.0, "retention_step": 0.0, "resident_slope": 0.0}));
    }

    #[test]
    fn a_minute_a_step_and_a_leak_are_seen() {
        let flat = of(&hour(|minute| if minute == 30 { 150.0 } else { 100.0 }, |_| 5e7)).unwrap();
        assert_eq!(flat["p99_apart"], 0.5);
        let flat = of(&hour(|minute| if minute < 4 { 100.0 } else { 130.0 }, |_| 5e7)).unwrap();
        assert!((flat["retention_step"].as_f64().unwrap() - 0.3).abs() < 1e-9);
        let flat = of(&hour(|_| 100.0, |minute| 1000.0 + minute as f64)).unwrap();
        // 60 more of about 1,040 in an hour.
        assert!((flat["resident_slope"].as_f64().unwrap() - 60.0 / 1039.5).abs() < 1e-9);
    }

    #[test]
    fn a_report_without_minutes_says_nothing() {
        assert_eq!(of(&json!({"records": 7})), None);
        assert_eq!(of(&json!({"minutes": []})), None);
    }
}
