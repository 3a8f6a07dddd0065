//! The text files in which Kafka keeps offsets: a version, a count, and that many lines (`CheckpointFile`).
//!
//! Owns the frame; what a line says is its owner's. A file that is not what it says is [`Corrupt`]: the owner goes on with a safe
//! default and never with half a file.

use std::fmt::{Display, Write};

use thiserror::Error;

const VERSION: &str = "0";

/// A checkpoint file that cannot be relied on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Corrupt {
    /// Bytes that are no text.
    #[error("not text")]
    NotText,
    /// The first line is not the version that is written here.
    #[error("unknown version `{0}`")]
    Version(String),
    /// The second line is not the number of lines that follow.
    #[error("it promises `{promised}` lines and has {found}")]
    Count {
        /// What the second line says.
        promised: String,
        /// How many lines are there.
        found: usize,
    },
    /// A line that its owner cannot read.
    #[error("malformed line `{0}`")]
    Line(String),
}

/// The file with these lines.
pub(crate) fn write<L: Display>(lines: impl ExactSizeIterator<Item = L>) -> Vec<u8> {
    let mut text = format!("{VERSION}\n{}\n", lines.len());
    for line in lines {
        writeln!(text, "{line}").expect("text grows as long as there is memory");
    }
    text.into_bytes()
}

/// The lines of a file, each read by `read`.
pub(crate) fn read<T>(bytes: &[u8], mut read: impl FnMut(&str) -> Option<T>) -> Result<Vec<T>, Corrupt> {
    let text = std::str::from_utf8(bytes).map_err(|_| Corrupt::NotText)?;
    let mut lines = text.lines();
    let version = lines.next().unwrap_or_default();
    if version.trim() != VERSION {
        return Err(Corrupt::Version(version.to_owned()));
    }
    let promised = lines.next().unwrap_or_default().trim().to_owned();
    let lines: Vec<&str> = lines.collect();
    if promised.parse() != Ok(lines.len()) {
        return Err(Corrupt::Count { promised, found: lines.len() });
    }
    lines.into_iter().map(|line| read(line).ok_or_else(|| Corrupt::Line(line.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written_and_garbage_is_refused() {
        let number = |line: &str| line.parse::<i32>().ok();
        assert_eq!(write([4, 7].iter()), b"0\n2\n4\n7\n");
        assert_eq!(read(b"0\n2\n4\n7\n", number), Ok(vec![4, 7]));
        assert_eq!(read(b"0\n0\n", number), Ok(vec![]));
        for garbage in ["", "0", "1\n0\n", "0\n2\n4\n", "0\n1\n4\n7\n", "0\n1\nx\n", "0\n-1\n", "0\n\n\n"] {
            assert!(read(garbage.as_bytes(), number).is_err(), "{garbage:?}");
        }
        assert_eq!(read(b"0\n1\n\xff\n", number), Err(Corrupt::NotText));
    }
}
