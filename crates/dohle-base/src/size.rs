//! Sizes in bytes, as constants that read well and as text that people write.

use std::fmt;

/// One kibibyte.
pub const KIB: u64 = 1 << 10;
/// One mebibyte.
pub const MIB: u64 = 1 << 20;
/// One gibibyte.
pub const GIB: u64 = 1 << 30;

/// Text that is no size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSize(pub String);

impl fmt::Display for InvalidSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a size: write a number of bytes, or a number with KiB, MiB, GiB or TiB", self.0)
    }
}

impl std::error::Error for InvalidSize {}

/// Reads `1048576`, `64MiB`, `1.5 GiB`, `100kb`; decimal and binary units are both taken as binary.
pub fn parse(text: &str) -> Result<u64, InvalidSize> {
    let refuse = || InvalidSize(text.to_owned());
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => KIB,
        "m" | "mb" | "mib" => MIB,
        "g" | "gb" | "gib" => GIB,
        "t" | "tb" | "tib" => GIB << 10,
        _ => return Err(refuse()),
    };
    let number: f64 = number.trim().parse().map_err(|_| refuse())?;
    let bytes = number * scale as f64;
    if bytes.is_finite() && (0.0..=i64::MAX as f64).contains(&bytes) { Ok(bytes as u64) } else { Err(refuse()) }
}

/// Writes a size for people: `1.5 GiB`, `640 B`.
pub fn show(bytes: u64) -> String {
    let units = [(GIB << 10, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
    match units.iter().find(|(scale, _)| bytes >= *scale) {
        Some((scale, unit)) => format!("{:.1} {unit}", bytes as f64 / *scale as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown_as_people_write_them() {
        for (text, bytes) in
            [("0", 0), ("1024", 1_024), ("64MiB", 64 * MIB), ("1.5 GiB", 3 * GIB / 2), ("10kb", 10 * KIB)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "-1", "MiB", "1 parsec", "1e300GiB"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(show(3 * GIB / 2), "1.5 GiB");
        assert_eq!(show(640), "640 B");
    }
}
