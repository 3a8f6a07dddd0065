//! Times, counted so that their percentiles can be told to three digits.

use std::io::{self, Write};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Ten minutes: what took longer counts as that.
const NANOSECONDS_MAX: u64 = 600_000_000_000;
const DIGITS: u8 = 3;
/// How finely the distribution is written: steps in each half of what is left up to 100 %.
const STEPS: u32 = 5;

/// Many times, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

/// What people ask of many times, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half took at most this.
    pub p50: f64,
    /// 90 of 100 took at most this.
    pub p90: f64,
    /// 99 of 100 took at most this.
    pub p99: f64,
    /// 999 of 1,000 took at most this.
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, NANOSECONDS_MAX, DIGITS).expect("the bounds are sound"))
    }
}

impl Times {
    /// Counts a time.
    pub fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    /// Counts a time of several.
    pub fn record_n(&mut self, nanoseconds: u64, count: u64) {
        self.0.saturating_record_n(nanoseconds, count);
    }

    /// Counts what another counted.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the bounds are the same");
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The percentiles, if anything was counted.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| microseconds(self.0.value_at_quantile(quantile));
        (self.count() > 0).then(|| Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: microseconds(self.0.max()),
            mean: (self.0.mean() / 100.0).round() / 10.0,
        })
    }

    /// The whole distribution as HdrHistogram's tools write and plot it, in microseconds.
    pub fn write_distribution(&self, into: &mut impl Write) -> io::Result<()> {
        writeln!(into, "       Value     Percentile TotalCount 1/(1-Percentile)\n")?;
        let mut total = 0;
        for step in self.0.iter_quantiles(STEPS) {
            total += step.count_since_last_iteration();
            let (value, quantile) = (step.value_iterated_to() as f64 / 1e3, step.quantile_iterated_to());
            if quantile < 1.0 {
                writeln!(into, "{value:12.3} {quantile:.12} {total:10} {:14.2}", 1.0 / (1.0 - quantile))?;
            } else {
                writeln!(into, "{value:12.3} {quantile:.12} {total:10}")?;
            }
        }
        let (mean, deviation) = (self.0.mean() / 1e3, self.0.stdev() / 1e3);
        writeln!(into, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]")?;
        let max = self.0.max() as f64 / 1e3;
        writeln!(into, "#[Max     = {max:12.3}, Total count    = {:12}]", self.count())?;
        writeln!(into, "#[Buckets = {:12}, SubBuckets     = {:12}]", self.0.buckets(), self.0.distinct_values())
    }
}

/// To a tenth: what is finer is the clock's.
fn microseconds(nanoseconds: u64) -> f64 {
    (nanoseconds as f64 / 100.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::Times;

    #[test]
    fn percentiles_are_in_microseconds_and_there_only_when_there_are_times() {
        let mut times = Times::default();
        assert_eq!(times.percentiles(), None);
        for microseconds in 1..=1_000 {
            times.record(microseconds * 1_000);
        }
        let told = times.percentiles().unwrap();
        for (told, exact) in [(told.p50, 500.0), (told.p90, 900.0), (told.p99, 990.0), (told.max, 1_000.0)] {
            assert!((told - exact).abs() <= exact / 900.0, "{told} is not {exact}");
        }
    }

    #[test]
    fn a_distribution_ends_with_all_that_was_counted() {
        let mut times = Times::default();
        times.record_n(5_000, 3);
        times.record(9_000);
        let mut text = vec![];
        times.write_distribution(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("1.000000000000          4\n"), "{text}");
        assert!(text.contains("Total count    =            4]"), "{text}");
    }
}
