//! The names of a segment's files: the first offset in twenty digits, what the file holds, and where it is on its way.

use std::fmt;

use dohle_base::Offset;

/// What a file of a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Content {
    /// The batches.
    Log,
    /// Offset to position.
    Offsets,
    /// Time to offset.
    Times,
    /// Aborted transactions.
    Aborted,
    /// The producers up to the segment's first offset. Not the segment's own: it outlives and precedes it.
    Producers,
}

/// On what way a file is, by the suffix behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// In use.
    Live,
    /// Waits to be removed, as the segment of this number that was dropped: there may be others that had the same name.
    Deleted(u64),
    /// Being written by compaction, not whole yet.
    Cleaned,
    /// Written whole by compaction; takes the place of what it covers.
    Swap,
}

/// The name of a file of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    /// The segment's first offset.
    pub(crate) base: Offset,
    pub(crate) content: Content,
    pub(crate) stage: Stage,
}

impl Content {
    pub(crate) const ALL: [Self; 5] = [Self::Log, Self::Offsets, Self::Times, Self::Aborted, Self::Producers];
    /// What is a segment's own.
    pub(crate) const OF_SEGMENT: [Self; 4] = [Self::Log, Self::Offsets, Self::Times, Self::Aborted];

    fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::Offsets => ".index",
            Self::Times => ".timeindex",
            Self::Aborted => ".txnindex",
            Self::Producers => ".snapshot",
        }
    }
}

impl Stage {
    fn parse(suffix: &str) -> Option<Self> {
        let stage = match suffix {
            "" => Self::Live,
            ".cleaned" => Self::Cleaned,
            ".swap" => Self::Swap,
            ".deleted" => Self::Deleted(0),
            _ => Self::Deleted(suffix.strip_prefix('.')?.strip_suffix(".deleted")?.parse().ok()?),
        };
        // A number can be written in several ways, and a name only in one.
        (stage.to_string() == suffix).then_some(stage)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => Ok(()),
            Self::Deleted(0) => f.write_str(".deleted"),
            Self::Deleted(number) => write!(f, ".{number}.deleted"),
            Self::Cleaned => f.write_str(".cleaned"),
            Self::Swap => f.write_str(".swap"),
        }
    }
}

impl Name {
    /// The name of a file in use.
    pub(crate) fn live(base: Offset, content: Content) -> Self {
        Self { base, content, stage: Stage::Live }
    }

    /// The same on another way.
    pub(crate) fn at(self, stage: Stage) -> Self {
        Self { stage, ..self }
    }

    /// Reads a name; none when it is none of a segment's.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (digits, rest) = name.split_at_checked(20)?;
        if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let base = Offset(digits.parse().ok()?);
        let (content, rest) =
            Content::ALL.iter().find_map(|content| Some((*content, rest.strip_prefix(content.suffix())?)))?;
        Some(Self { base, content, stage: Stage::parse(rest)? })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}{}{}", self.base.0, self.content.suffix(), self.stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_it_is_written_and_no_other() {
        for content in Content::ALL {
            for stage in [Stage::Live, Stage::Deleted(0), Stage::Deleted(12), Stage::Cleaned, Stage::Swap] {
                let name = Name { base: Offset(4_711), content, stage };
                assert_eq!(Name::parse(&name.to_string()), Some(name));
            }
        }
        let live = Name::live(Offset(7), Content::Log);
        assert_eq!(live.to_string(), "00000000000000000007.log");
        assert_eq!(live.at(Stage::Deleted(0)).to_string(), "00000000000000000007.log.deleted");
        assert_eq!(live.at(Stage::Deleted(12)).to_string(), "00000000000000000007.log.12.deleted");
        let strangers = [
            "",
            "7.log",
            "0000000000000000000x.log",
            "00000000000000000007.log.bak",
            "00000000000000000007.log.0.deleted",
            "00000000000000000007.log.+1.deleted",
            "00000000000000000007.log.1.swap",
            "99999999999999999999.log",
            "ä".repeat(12).as_str(),
        ]
        .map(str::to_owned);
        for stranger in strangers {
            assert_eq!(Name::parse(&stranger), None, "{stranger}");
        }
    }
}
