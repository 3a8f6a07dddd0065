//! Moments as text: RFC 3339, in UTC.

use std::time::Duration;

use dohle_base::Timestamp;

const DAY: i64 = 86_400;

/// Reads `2026-01-31T10:00:00Z`, with a fraction or an offset, the date alone, or `@` and milliseconds since 1970. A time
/// without an offset is taken as UTC.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    if let Some(ms) = text.strip_prefix('@') {
        return ms.parse().ok().map(Timestamp);
    }
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00:00"));
    let (clock, offset) = split_offset(time)?;
    let ms = parse_clock(clock)?;
    Some(Timestamp(parse_date(date)? * DAY * 1_000 + ms - offset * 1_000))
}

fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let sound = parts.next().is_none() && (1..=12).contains(&month) && (1..=31).contains(&day);
    let days = days_since_1970(year, month, day);
    (sound && date_of(days) == (year, month, day)).then_some(days)
}

fn parse_clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let (second, fraction) = parts.next().map_or(Some((0, 0)), parse_seconds)?;
    let sound = parts.next().is_none() && hour < 24 && minute < 60 && second < 60;
    sound.then_some((hour * 3_600 + minute * 60 + second) * 1_000 + fraction)
}

fn parse_seconds(text: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let sound = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let ms = format!("{fraction:0<3.3}").parse().ok()?;
    sound.then_some((digits(whole, 2)?, ms))
}

/// The time without its offset, and the offset in seconds.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = time.rfind(['+', '-']) else { return Some((time, 0)) };
    let (hours, minutes) = time[at + 1..].split_once(':')?;
    let seconds = digits(hours, 2)? * 3_600 + digits(minutes, 2)? * 60;
    Some((&time[..at], if time[at..].starts_with('-') { -seconds } else { seconds }))
}

fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; the year begins in March, so that leap days come last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1);
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Writes `2026-01-31T10:00:00.000Z`; what stands for no time is a dash.
pub(crate) fn show(at: Timestamp) -> String {
    if at.0 < 0 {
        return "-".to_owned();
    }
    let (days, ms) = (at.0.div_euclid(DAY * 1_000), at.0.rem_euclid(DAY * 1_000));
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

/// The moment that was so long ago.
pub(crate) fn ago(age: Duration) -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.saturating_sub(age).as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-25", 1_795_564_800_000),
            ("2024-02-29T23:59:59.999Z", 1_709_251_199_999),
            ("2000-01-01T01:00:00+01:00", 946_684_800_000),
            ("2000-01-01 00:00", 946_684_800_000),
            ("@123", 123),
        ];
        for (text, ms) in cases {
            assert_eq!(parse(text), Some(Timestamp(ms)), "{text}");
        }
        for text in
            ["", "2023-02-29", "2026-13-01", "26-01-01", "2026-01-01T25:00:00Z", "2026-01-01T10:00:00.Z", "@x", "12"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_survives_the_way_through_text() {
        for ms in (0..4_102_444_800_000_i64).step_by(86_399_999 * 7) {
            assert_eq!(parse(&show(Timestamp(ms))), Some(Timestamp(ms)));
        }
        assert_eq!(show(Timestamp(1_709_251_199_999)), "2024-02-29T23:59:59.999Z");
        assert_eq!(show(Timestamp::NONE), "-");
    }
}
