//! Durations as ISO 8601 writes them, which is how Kafka does in `by_duration` (KIP-1106).

use std::time::Duration;

/// Reads `PT1H30M`, `P7D`, `PT0.5S`; years and months have no fixed length and are refused, as in Java.
pub(super) fn parse_iso(text: &str) -> Option<Duration> {
    let text = text.strip_prefix(['P', 'p'])?;
    let (days, time) = text.split_once(['T', 't']).unwrap_or((text, ""));
    let mut seconds = 0.0;
    let mut found = false;
    for (part, units) in [(days, "D"), (time, "HMS")] {
        let mut rest = part;
        while !rest.is_empty() {
            let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let (number, unit) = rest.split_at(end);
            let scale = match unit.get(..1)?.to_ascii_uppercase().as_str() {
                unit if !units.contains(unit) => return None,
                "D" => 86_400.0,
                "H" => 3_600.0,
                "M" => 60.0,
                _ => 1.0,
            };
            seconds += number.parse::<f64>().ok()? * scale;
            found = true;
            rest = &unit[1..];
        }
    }
    found.then(|| Duration::try_from_secs_f64(seconds).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_java_reads_them() {
        for (text, seconds) in [("PT1H30M", 5_400.0), ("P7D", 604_800.0), ("PT0.5S", 0.5), ("P1DT1S", 86_401.0)] {
            assert_eq!(parse_iso(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "P", "1H", "P1M", "PT", "PTx", "P1H", "PT-1S"] {
            assert_eq!(parse_iso(text), None, "{text}");
        }
    }
}
