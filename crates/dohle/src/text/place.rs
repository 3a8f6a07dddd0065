//! A place in a log as people name it.

use std::str::FromStr;
use std::time::Duration;

use dohle_base::{Offset, Timestamp, parse_duration};

use super::instant;

/// A place in each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The first record.
    Beginning,
    /// Behind the last record.
    End,
    /// This offset.
    Offset(Offset),
    /// So many records before the end.
    Last(i64),
    /// The first record that is not older.
    At(Timestamp),
    /// The first record that is not older than so long.
    Ago(Duration),
}

/// What may be written, for help.
pub(crate) const GRAMMAR: &str = "beginning, end, an OFFSET such as 42, -N for the last N records, a time such as \
                                  2026-01-31T10:00:00Z or @1769853600000, or an age such as -10m";

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "beginning" | "earliest" | "start" => return Ok(Self::Beginning),
            "end" | "latest" => return Ok(Self::End),
            _ => {}
        }
        let before = text.strip_prefix('-').map(|before| (before.parse::<i64>(), parse_duration(before)));
        match before {
            Some((Ok(count), _)) => return Ok(Self::Last(count)),
            Some((_, Ok(age))) => return Ok(Self::Ago(age)),
            Some(_) => {}
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                return text.parse().map(|offset| Self::Offset(Offset(offset))).map_err(|_| refuse(text));
            }
            None => {}
        }
        instant::parse(text).map(Self::At).ok_or_else(|| refuse(text))
    }
}

fn refuse(text: &str) -> String {
    format!("`{text}` names no place: write {GRAMMAR}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_name_them() {
        let cases = [
            ("beginning", Place::Beginning),
            ("latest", Place::End),
            ("42", Place::Offset(Offset(42))),
            ("-100", Place::Last(100)),
            ("-10m", Place::Ago(Duration::from_secs(600))),
            ("@5", Place::At(Timestamp(5))),
            ("1970-01-02", Place::At(Timestamp(86_400_000))),
        ];
        for (text, place) in cases {
            assert_eq!(text.parse(), Ok(place), "{text}");
        }
        for text in ["", "middle", "-x", "1.5", "99999999999999999999"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
