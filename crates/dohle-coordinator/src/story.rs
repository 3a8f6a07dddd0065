//! What all texts that are played as tests have in common: a small language, and how it is compared with what happens.
//!
//! A line that begins at the margin is an action, or a comment after `#`; the indented lines below it are everything that
//! comes of it. [`play`] acts and writes those lines itself, so a script is right if it comes out as it went in.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use dohle_base::{Now, Timestamp};

/// The moment at which all stories begin.
pub(crate) const BEGINNING: Now = Now { instant: dohle_base::Instant(0), wall: Timestamp(1_000_000) };

/// Whoever plays a script.
pub(crate) trait Actor {
    /// Does what a line says.
    fn act(&mut self, verb: &str, words: &Words<'_>);
    /// What has happened since it was asked last.
    fn happened(&mut self) -> Vec<String>;
}

/// Acts, and returns the script with what came of it.
pub(crate) fn play(script: &str, actor: &mut impl Actor) -> String {
    let mut out = String::new();
    for line in script.lines().filter(|line| !line.starts_with(' ')) {
        writeln!(out, "{line}").unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some((verb, words)) = words.split_first()
            && *verb != "given"
            && !verb.starts_with('#')
        {
            actor.act(verb, &Words(words));
        }
        actor.happened().into_iter().for_each(|line| writeln!(out, "  {line}").unwrap());
    }
    out
}

/// What the lines that begin with `given` set before anything else.
pub(crate) fn given(script: &str) -> BTreeMap<&str, &str> {
    let lines = script.lines().filter_map(|line| line.strip_prefix("given "));
    lines.flat_map(str::split_whitespace).filter_map(|pair| pair.split_once('=')).collect()
}

/// Compares what happened, line by line, with what is written.
pub(crate) fn compare(written: &str, happened: &str) {
    if happened != written {
        let first = written.lines().zip(happened.lines()).position(|(written, happened)| written != happened);
        let line = first.unwrap_or_else(|| written.lines().count().min(happened.lines().count()));
        panic!("the text differs from line {} on; this is what happens:\n{happened}", line + 1);
    }
}

/// The moment after a while, on both clocks.
pub(crate) fn later(now: Now, passed: Duration) -> Now {
    Now { instant: now.instant + passed, wall: now.wall.saturating_add(passed) }
}

/// The words of an action: some plain, some `key=value`.
pub(crate) struct Words<'a>(pub(crate) &'a [&'a str]);

impl<'a> Words<'a> {
    pub(crate) fn plain(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().copied().filter(|word| !word.contains('='))
    }

    pub(crate) fn nth(&self, place: usize) -> &'a str {
        self.plain().nth(place).expect("a word is missing")
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find_map(|word| word.split_once('=').filter(|(name, _)| *name == key)).map(|(_, value)| value)
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }
}
