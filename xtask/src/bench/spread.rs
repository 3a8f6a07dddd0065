//! The figures of one broker in one row: their median, and the least and the most.

/// Several legs in one line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// None of nothing.
    pub(super) fn of(figures: &[f64]) -> Option<Spread> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Some(Spread { median, min, max })
    }

    /// How many times the other's median this one's is; none where the other's is nothing.
    pub(super) fn ratio(&self, other: &Spread) -> Option<f64> {
        (other.median > 0.0).then(|| self.median / other.median)
    }
}

/// Three digits that count, as a reader of a table wants them.
pub(super) fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 || size == 0.0 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_in_the_middle_of_odd_and_between_of_even() {
        let spread = Spread::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!(spread, Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn a_ratio_to_nothing_is_none() {
        let of = |figure: f64| Spread::of(&[figure]).unwrap();
        assert_eq!(of(1.0).ratio(&of(4.0)), Some(0.25));
        assert_eq!(of(1.0).ratio(&of(0.0)), None);
    }

    #[test]
    fn numbers_are_written_with_three_digits_that_count() {
        let written: Vec<_> = [0.0, 0.0351, 0.35, 1.234, 12.34, 99.96, 1234.5].map(digits).into();
        assert_eq!(written, ["0", "0.035", "0.350", "1.23", "12.3", "100", "1234"]);
    }
}
