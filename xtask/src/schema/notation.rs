//! Our notation for messages: one line a message, struct or field; two spaces of indent a level.
//!
//! ```text
//! request FetchRequest key=1 versions=4-18 flexible=12+ listeners=broker,controller
//!   ReplicaId int32 0-14 default=-1 ignorable entity=brokerId
//!   Topics []FetchTopic 0+
//!     TopicId uuid 13+
//! struct Cursor
//!   TopicName string 0+
//! ```
//! A `struct` belongs to the message above it. A field's words after its versions: `nullable=V`, `tag=N@V`, `default=D`,
//! `ignorable`, `mapkey`, `inflexible`, `entity=E`.

use std::fmt::Write;
use std::iter::Peekable;

use anyhow::{Context, bail};

use super::model::{Field, Message, Struct, Tagged, Versions};

/// Writes the messages of one file.
pub(super) fn write(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        write_head(&mut text, message);
        write_fields(&mut text, &message.fields, 1);
        for shared in &message.structs {
            text.push_str(&format!("struct {}\n", shared.name));
            write_fields(&mut text, &shared.fields, 1);
        }
    }
    text
}

fn write_head(text: &mut String, message: &Message) {
    let mut words = vec![message.kind.word().to_owned(), message.name.clone()];
    words.extend(message.key.map(|key| format!("key={key}")));
    words.push(format!("versions={}", message.versions));
    words.push(format!("flexible={}", message.flexible));
    if !message.listeners.is_empty() {
        words.push(format!("listeners={}", message.listeners.join(",")));
    }
    if message.unstable {
        words.push("unstable".to_owned());
    }
    text.push_str(&words.join(" "));
    text.push('\n');
}

fn write_fields(text: &mut String, fields: &[Field], depth: usize) {
    for field in fields {
        let _ = write!(text, "{:1$}{2} {3} {4}", "", depth * 2, field.name, field.kind, field.versions);
        if !field.nullable.is_empty() {
            let _ = write!(text, " nullable={}", field.nullable);
        }
        if let Some(tagged) = field.tagged {
            let _ = write!(text, " tag={}@{}", tagged.tag, tagged.versions);
        }
        if let Some(default) = &field.default {
            let _ = write!(text, " default={default}");
        }
        for (word, says) in
            [("ignorable", field.ignorable), ("mapkey", field.map_key), ("inflexible", field.inflexible)]
        {
            if says {
                let _ = write!(text, " {word}");
            }
        }
        if let Some(entity) = &field.entity {
            let _ = write!(text, " entity={entity}");
        }
        text.push('\n');
        write_fields(text, &field.fields, depth + 1);
    }
}

/// Reads the messages of one file.
pub(super) fn parse(text: &str) -> anyhow::Result<Vec<Message>> {
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line)).peekable();
    let mut messages: Vec<Message> = Vec::new();
    while let Some((number, line)) = lines.next() {
        let place = || format!("line {number}: `{line}`");
        if let Some(name) = line.strip_prefix("struct ") {
            let owner = messages.last_mut().with_context(place)?;
            owner.structs.push(Struct { name: name.to_owned(), fields: parse_fields(&mut lines, 1)? });
        } else {
            let mut message = parse_head(line).with_context(place)?;
            message.fields = parse_fields(&mut lines, 1)?;
            messages.push(message);
        }
    }
    Ok(messages)
}

fn parse_head(line: &str) -> anyhow::Result<Message> {
    let mut words = line.split_whitespace();
    let mut message = Message {
        kind: words.next().context("no kind")?.parse()?,
        name: words.next().context("no name")?.to_owned(),
        key: None,
        versions: Versions::NONE,
        flexible: Versions::NONE,
        unstable: false,
        listeners: Vec::new(),
        fields: Vec::new(),
        structs: Vec::new(),
    };
    for word in words {
        match word.split_once('=') {
            Some(("key", key)) => message.key = Some(key.parse()?),
            Some(("versions", versions)) => message.versions = versions.parse()?,
            Some(("flexible", versions)) => message.flexible = versions.parse()?,
            Some(("listeners", names)) => message.listeners = names.split(',').map(str::to_owned).collect(),
            None if word == "unstable" => message.unstable = true,
            _ => bail!("unknown word `{word}`"),
        }
    }
    Ok(message)
}

type Lines<'a, I> = Peekable<I>;

fn parse_fields<'a, I>(lines: &mut Lines<'a, I>, depth: usize) -> anyhow::Result<Vec<Field>>
where
    I: Iterator<Item = (usize, &'a str)>,
{
    let mut fields = Vec::new();
    while let Some((number, line)) = lines.next_if(|(_, line)| line.len() - line.trim_start().len() == depth * 2) {
        let mut field = parse_field(line.trim_start()).with_context(|| format!("line {number}: `{line}`"))?;
        field.fields = parse_fields(lines, depth + 1)?;
        fields.push(field);
    }
    Ok(fields)
}

fn parse_field(line: &str) -> anyhow::Result<Field> {
    let mut words = line.split_whitespace();
    let mut field = Field {
        name: words.next().context("no name")?.to_owned(),
        kind: words.next().context("no type")?.parse()?,
        versions: words.next().context("no versions")?.parse()?,
        nullable: Versions::NONE,
        tagged: None,
        default: None,
        ignorable: false,
        map_key: false,
        inflexible: false,
        entity: None,
        fields: Vec::new(),
    };
    for word in words {
        match word.split_once('=') {
            Some(("nullable", versions)) => field.nullable = versions.parse()?,
            Some(("tag", tag)) => {
                let (tag, versions) = tag.split_once('@').context("a tag without versions")?;
                field.tagged = Some(Tagged { tag: tag.parse()?, versions: versions.parse()? });
            }
            Some(("default", default)) => field.default = Some(default.to_owned()),
            Some(("entity", entity)) => field.entity = Some(entity.to_owned()),
            None if word == "ignorable" => field.ignorable = true,
            None if word == "mapkey" => field.map_key = true,
            None if word == "inflexible" => field.inflexible = true,
            _ => bail!("unknown word `{word}`"),
        }
    }
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::{parse, write};

    const TEXT: &str = "\
request FetchRequest key=1 versions=4-18 flexible=12+ listeners=broker,controller unstable
  ReplicaId int32 0-14 default=-1 ignorable entity=brokerId
  Topics []FetchTopic 0+
    Topic string 0-12 nullable=7+ mapkey
    State Cursor 15+ tag=1@15+
struct Cursor
  Id int64 0+ inflexible
data Other versions=none flexible=none
";

    #[test]
    fn what_is_read_is_written_again() {
        assert_eq!(write(&parse(TEXT).unwrap()), TEXT);
    }

    #[test]
    fn an_error_names_its_line() {
        let error = parse("data Other versions=0 flexible=none\n  Id int65 0+\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: `  Id int65 0+`");
    }
}
