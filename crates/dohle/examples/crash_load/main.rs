//! The load of `cargo xtask crash`: producers, a member of a group and a reader, all of librdkafka, in one process that outlives the
//! broker's deaths, because what a client does about a death is half of what is tested.
//!
//! An example of this crate and no part of the workshop: librdkafka is a minute of C, which the tests here need anyway, and which nobody
//! should wait for who only wants to check the layers. It judges nothing but whether a record is the one that was sent; it tells what
//! happened, a line each, and the workshop keeps the account.
//!
//! ```text
//! it is told                  and says
//! load TOPIC PARTITIONS       acked TOPIC PARTITION WRITER NUMBER OFFSET · refused … WHY
//!                             committing TOPIC PARTITION OFFSET · committed TOPIC PARTITION OFFSET
//! mark                        next TOPIC PARTITION WRITER NUMBER for each lane · marked
//! drain                       drained, when everything is acknowledged; then nothing is sent until the next `load`
//! check TOPIC PARTITIONS      checking TOPIC · spans TOPIC PARTITION LOW HIGH · read TOPIC PARTITION OFFSET WRITER NUMBER ·
//!                             strange TOPIC PARTITION OFFSET · stands TOPIC PARTITION OFFSET · checked TOPIC
//! (end of input)              ends
//! ```
//!
//! TOPIC is a number: topic 3 is called `crash-3`.

mod client;
mod member;
mod reader;
mod record;
mod writer;

use std::fmt::Display;
use std::io::{self, Write};
use std::process;

use member::Member;
use record::WRITERS;
use writer::Writer;

/// Everything that is written and read at a time: all of one topic.
struct Load {
    writers: Vec<Writer>,
    member: Member,
}

impl Load {
    fn start(bootstrap: &str, topic: u32, partitions: i32) -> Self {
        let writers = WRITERS.iter().map(|name| Writer::start(bootstrap, *name, topic, partitions)).collect();
        Self { writers, member: Member::start(bootstrap, topic) }
    }

    /// Comes back when everything that was sent is acknowledged.
    fn drain(self) {
        self.writers.into_iter().for_each(Writer::drain);
        self.member.leave();
    }
}

fn main() {
    let bootstrap = std::env::args().nth(1).expect("the first argument says where the broker is");
    let mut load: Option<Load> = None;
    for line in io::stdin().lines() {
        let line = line.expect("orders are text");
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["load", topic, partitions] => load = Some(Load::start(&bootstrap, number(topic), number(partitions))),
            ["mark"] => {
                load.iter().flat_map(|load| &load.writers).for_each(Writer::mark);
                say("marked");
            }
            ["drain"] => {
                load.take().into_iter().for_each(Load::drain);
                say("drained");
            }
            ["check", topic, partitions] => reader::check(&bootstrap, number(topic), number(partitions)),
            _ => say(format_args!("trouble unknown order `{line}`")),
        }
    }
    // Whoever still waits for a broker does not keep us.
    process::exit(0);
}

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse().ok().expect("topics and partitions are numbers")
}

/// A line for the workshop. When nobody listens any more there is nothing left to do.
fn say(line: impl Display) {
    if writeln!(io::stdout().lock(), "{line}").is_err() {
        process::exit(0);
    }
}
