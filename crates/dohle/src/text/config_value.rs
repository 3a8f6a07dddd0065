//! Values of configuration keys as people write them: `retention.ms=7d`, `segment.bytes=64MiB`.

use dohle_base::{parse_duration, size};

/// The value as the broker reads it: a duration of a key in milliseconds and a size of a key in bytes become numbers; what
/// is a number already, or is nothing of the kind, stays as it is.
pub(crate) fn plain(key: &str, value: String) -> String {
    if value.parse::<i64>().is_ok() {
        return value;
    }
    if key.ends_with(".ms") {
        return parse_duration(&value).map_or(value, |duration| duration.as_millis().to_string());
    }
    if key.ends_with(".bytes") || key.ends_with(".size") {
        return size::parse(&value).map_or(value, |bytes| bytes.to_string());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn durations_and_sizes_become_numbers() {
        let cases = [
            ("retention.ms", "7d", "604800000"),
            ("retention.ms", "-1", "-1"),
            ("segment.bytes", "64MiB", "67108864"),
            ("cleanup.policy", "compact", "compact"),
            ("retention.ms", "soon", "soon"),
        ];
        for (key, value, expected) in cases {
            assert_eq!(plain(key, value.to_owned()), expected);
        }
    }
}
