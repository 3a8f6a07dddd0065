//! What the load says, line by line. The load itself says what each line means.

/// A writer of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Writer {
    /// It retries without repeating.
    Once(u8),
    /// It may repeat what it did not hear of.
    Plain(u8),
}

/// A record by its name: the numbers of a writer in a partition have no gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) writer: Writer,
    pub(super) number: i64,
}

/// A partition of a topic of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: u32,
    pub(super) partition: i32,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Acked {
        place: Place,
        mark: Mark,
        offset: i64,
    },
    /// The client gave a record up.
    Refused {
        place: Place,
        mark: Mark,
        why: String,
    },
    Committing {
        place: Place,
        offset: i64,
    },
    Committed {
        place: Place,
        offset: i64,
    },
    /// The number that a lane of a writer comes to next.
    Next {
        place: Place,
        mark: Mark,
    },
    Marked,
    Drained,
    Checking {
        topic: u32,
    },
    /// What the partition has: from the first offset to behind the last.
    Spans {
        place: Place,
        low: i64,
        high: i64,
    },
    Read {
        place: Place,
        offset: i64,
        mark: Mark,
    },
    /// A record that nobody sent like that.
    Strange {
        place: Place,
        offset: i64,
    },
    /// The committed offset; -1 for none.
    Stands {
        place: Place,
        offset: i64,
    },
    Checked {
        topic: u32,
    },
    Trouble(String),
}

impl Event {
    /// Reads a line; none when it is not one of the load's.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = Words(rest);
        Some(match verb {
            "acked" => {
                let (place, mark) = (words.place()?, words.mark()?);
                Self::Acked { place, mark, offset: words.number()? }
            }
            "refused" => {
                let (place, mark) = (words.place()?, words.mark()?);
                Self::Refused { place, mark, why: words.0.to_owned() }
            }
            "committing" => Self::Committing { place: words.place()?, offset: words.number()? },
            "committed" => Self::Committed { place: words.place()?, offset: words.number()? },
            "next" => Self::Next { place: words.place()?, mark: words.mark()? },
            "marked" => Self::Marked,
            "drained" => Self::Drained,
            "checking" => Self::Checking { topic: words.number()? },
            "spans" => Self::Spans { place: words.place()?, low: words.number()?, high: words.number()? },
            "read" => Self::Read { place: words.place()?, offset: words.number()?, mark: words.mark()? },
            "strange" => Self::Strange { place: words.place()?, offset: words.number()? },
            "stands" => Self::Stands { place: words.place()?, offset: words.number()? },
            "checked" => Self::Checked { topic: words.number()? },
            "trouble" => Self::Trouble(rest.to_owned()),
            _ => return None,
        })
    }
}

struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn next(&mut self) -> &'a str {
        let (word, rest) = self.0.split_once(' ').unwrap_or((self.0, ""));
        self.0 = rest;
        word
    }

    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.next().parse().ok()
    }

    fn place(&mut self) -> Option<Place> {
        Some(Place { topic: self.number()?, partition: self.number()? })
    }

    fn mark(&mut self) -> Option<Mark> {
        let writer = self.next();
        let writer = match (writer.strip_prefix("once"), writer.strip_prefix("plain")) {
            (Some(place), _) => Writer::Once(place.parse().ok()?),
            (None, Some(place)) => Writer::Plain(place.parse().ok()?),
            (None, None) => return None,
        };
        Some(Mark { writer, number: self.number()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_load_is_read_and_any_other_is_not() {
        let place = Place { topic: 3, partition: 1 };
        let mark = Mark { writer: Writer::Once(0), number: 17 };
        assert_eq!(Event::parse("acked 3 1 once0 17 42"), Some(Event::Acked { place, mark, offset: 42 }));
        assert_eq!(Event::parse("read 3 1 42 once0 17"), Some(Event::Read { place, offset: 42, mark }));
        let refused = Event::Refused { place, mark, why: "not now, later".to_owned() };
        assert_eq!(Event::parse("refused 3 1 once0 17 not now, later"), Some(refused));
        assert_eq!(Event::parse("spans 3 1 0 9"), Some(Event::Spans { place, low: 0, high: 9 }));
        for line in ["", "acked 3 1 once0 17", "acked 3 1 twice0 17 42", "hello"] {
            assert_eq!(Event::parse(line), None, "{line}");
        }
    }
}
