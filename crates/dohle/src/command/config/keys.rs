//! `dohle config keys`: every key that there is, from the tables of the rooms that obey them. `docs/configuration.md` is this command's
//! own page, and a test holds it to the tables.

use std::fmt::Write;

use dohle_base::config::{Accepts, Key, Kind, Table, Takes};
use dohle_client::config::{COMMON, CONSUMER, PRODUCER};
use serde::Serialize;

use super::super::Common;

pub(super) const HELP: &str = "\
Examples:
  dohle config keys
  dohle config keys --json | jq 'select(.of == \"topic\")'
  dohle config keys --markdown > docs/configuration.md

No broker is asked: these are the keys of this release.
JSON: {\"of\", \"name\", \"type\", \"default\", \"values\", \"takes_effect\", \"about\"}, a line for each key";

const PREFACE: &str = "\
# Configuration

Every key that Dohle knows, written by `dohle config keys --markdown` from the tables that the code obeys. Names, defaults and ranges
are Kafka's where Kafka has the key; `differences.md` says where they are not. A broker's keys stand in `server.properties` or behind
`--set`, those of topics and groups are altered with `dohle config set` or any of Kafka's tools, those of clients stand behind `-X`.
";

/// The keys of one kind of resource or client.
struct Chapter {
    of: &'static str,
    title: &'static str,
    table: Table,
    /// Whether a value can change while its owner lives.
    is_altered: bool,
}

#[derive(Serialize)]
struct Line {
    of: &'static str,
    name: &'static str,
    r#type: &'static str,
    default: Option<&'static str>,
    values: String,
    takes_effect: &'static str,
    about: &'static str,
}

pub(super) fn run(common: &Common, markdown: bool) -> anyhow::Result<()> {
    if markdown {
        return crate::output::say(page().trim_end());
    }
    let chapters = chapters();
    let lines = chapters.iter().flat_map(|chapter| chapter.table.iter().map(|key| line(chapter.of, key)));
    let lines: Vec<Line> = lines.collect();
    common.output().rows(["OF", "KEY", "TYPE", "DEFAULT", "VALUES", "TAKES EFFECT"], &lines, |line| {
        let default = line.default.unwrap_or("-");
        [line.of, line.name, line.r#type, default, &line.values, line.takes_effect].map(str::to_owned)
    })
}

fn chapters() -> Vec<Chapter> {
    let [broker, topic, group, client_metrics] = dohle_broker::config_tables();
    let resource = |of, title, table| Chapter { of, title, table, is_altered: true };
    let client = |of, title, table| Chapter { of, title, table, is_altered: false };
    vec![
        resource("broker", "Brokers", broker),
        resource("topic", "Topics", topic),
        resource("group", "Groups", group),
        resource("client-metrics", "Subscriptions to clients' metrics", client_metrics),
        client("client", "Every client", COMMON),
        client("producer", "Producers", PRODUCER),
        client("consumer", "Consumers", CONSUMER),
    ]
}

fn line(of: &'static str, key: &Key) -> Line {
    Line {
        of,
        name: key.name,
        r#type: kind(key.kind),
        default: key.default,
        values: values(key),
        takes_effect: takes(key.takes),
        about: key.about,
    }
}

fn page() -> String {
    let mut page = PREFACE.to_owned();
    for chapter in chapters() {
        let (head, rule) = if chapter.is_altered { (" takes effect |", "---|") } else { ("", "") };
        let _ = write!(page, "\n## {}\n\n| key | type | default | values |{head} what it is |\n", chapter.title);
        let _ = writeln!(page, "|---|---|---|---|{rule}---|");
        for key in chapter.table.iter() {
            let _ = writeln!(page, "{}", row(key, chapter.is_altered));
        }
    }
    page
}

fn row(key: &Key, is_altered: bool) -> String {
    let default = match key.default {
        None => "none".to_owned(),
        Some("") => "empty".to_owned(),
        Some(default) => format!("`{default}`"),
    };
    let takes = if is_altered { format!(" {} |", takes(key.takes)) } else { String::new() };
    let inherits = match key.synonyms {
        [] => String::new(),
        keys => {
            format!(" Inherited from {}.", keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "))
        }
    };
    let about = key.about.replace('|', "\\|");
    format!("| `{}` | {} | {default} | {} |{takes} {about}{inherits} |", key.name, kind(key.kind), values(key))
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Text => "text",
        Kind::Int => "int",
        Kind::Short => "short",
        Kind::Long => "long",
        Kind::Double => "double",
        Kind::List => "list",
        Kind::Class => "class",
        Kind::Password => "password",
    }
}

fn values(key: &Key) -> String {
    match key.accepts {
        Accepts::Any if key.kind == Kind::Boolean => "true, false".to_owned(),
        Accepts::Any => "any".to_owned(),
        Accepts::Between(least, i64::MAX) => format!("from {least}"),
        Accepts::Between(least, most) if most == i64::from(i32::MAX) => format!("from {least}"),
        Accepts::Between(least, most) => format!("{least} to {most}"),
        Accepts::Fraction(least, most) => format!("{least} to {most}"),
        Accepts::OneOf(known) => known.join(", "),
    }
}

fn takes(takes: Takes) -> &'static str {
    match takes {
        Takes::Immediately => "at once",
        Takes::OnRoll => "in the next segment",
        Takes::OnRestart => "at the next start",
    }
}
