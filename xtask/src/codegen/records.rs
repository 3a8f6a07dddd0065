//! The modules under `record`: one folder a family, one file a record, and an enum over the records of a log.

use std::fmt::Write;

use anyhow::{Context, ensure};

use super::Files;
use super::apis::{HEADLINE, file};
use super::names::{camel, snake};
use crate::schema::{Kind, Message, Schema};

/// Generates the folder of a family.
pub(super) fn generate(family: &str, schemas: &[&Schema], files: &mut Files) -> anyhow::Result<()> {
    for schema in schemas {
        let about = format!("{}.", schema.name);
        files.insert(format!("record/{family}/{}.rs", snake(&schema.name)).into(), file(schema, &about)?);
    }
    let mut text = format!("{HEADLINE}//! {}\n\n", about(family)?);
    for schema in schemas {
        writeln!(text, "pub mod {};", snake(&schema.name))?;
    }
    let kind = schemas[0].messages[0].kind;
    text += &match kind {
        Kind::Key | Kind::Value => keyed(family, schemas)?,
        Kind::Metadata => framed(family, schemas)?,
        Kind::Request | Kind::Response | Kind::Header | Kind::Data => "\n".to_owned(),
    };
    for schema in schemas {
        let names: Vec<&str> = schema.messages.iter().map(|message| message.name.as_str()).collect();
        writeln!(text, "pub use {}::{{{}}};", snake(&schema.name), names.join(", "))?;
    }
    files.insert(format!("record/{family}/mod.rs").into(), text);
    Ok(())
}

fn about(family: &str) -> anyhow::Result<&'static str> {
    Ok(match family {
        "consumer" => "What members of classic consumer groups tell each other (`ConsumerProtocol`).",
        "control" => "The values of control records, and of their keys.",
        "group" => "The records of `__consumer_offsets`.",
        "log" => "What lies beside a log's segments: producer snapshots and aborted transactions.",
        "metadata" => "The records of `__cluster_metadata`.",
        "principal" => "The principal that a broker forwards with a request.",
        "remote_log" => "The records of `__remote_log_metadata`.",
        "share" => "The records of `__share_group_state`.",
        "transaction" => "The records of `__transaction_state`.",
        other => anyhow::bail!("nothing is known about the family {other}"),
    })
}

/// What both kinds of enums begin with, up to the number of a record's type.
fn opening(name: &str, by: &str, Arms { variants, kinds, .. }: &Arms) -> String {
    format!(
        "
        use std::ops::RangeInclusive;

        use bytes::Bytes;

        use super::framing::{{self, RecordError}};
        use crate::api::Message;
        use crate::primitive::{{EncodeError, Reader}};

        /// A record, by {by}.
        #[derive(Clone, Debug, PartialEq)]
        pub enum {name} {{ {variants} }}

        impl {name} {{
            /// The number of its type.
            pub fn kind(&self) -> i16 {{ match self {{ {kinds} }} }}"
    )
}

/// The enum over records whose type stands before their value.
fn framed(family: &str, schemas: &[&Schema]) -> anyhow::Result<String> {
    let mut arms = Arms::default();
    for schema in schemas {
        let [message] = schema.messages.as_slice() else { anyhow::bail!("{} is not one message", schema.name) };
        let (name, body) = (&schema.name, &message.name);
        let kind = arms.kind(message)?;
        writeln!(arms.variants, "/// Type {kind}.\n{name}({body}),")?;
        writeln!(arms.kinds, "Self::{name}(_) => {kind},")?;
        writeln!(arms.versions, "Self::{name}(_) => {body}::VERSIONS,")?;
        writeln!(arms.decode, "{kind} => Self::{name}(framing::read_body(&mut reader, version)?),")?;
        writeln!(arms.encode, "Self::{name}(body) => framing::write_framed({kind}, body, version),")?;
    }
    let name = format!("{}Record", camel(family));
    let opening = opening(&name, "its type", &arms);
    let Arms { versions, decode, encode, .. } = arms;
    Ok(format!(
        "
        {opening}

            /// The versions that its schema has.
            pub fn versions(&self) -> RangeInclusive<i16> {{ match self {{ {versions} }} }}

            /// Reads the value of a log record, and nothing after it.
            pub fn decode(value: &Bytes) -> Result<Self, RecordError> {{
                let mut reader = Reader::new(value.clone());
                let (kind, version) = framing::read_frame(&mut reader)?;
                Ok(match kind {{ {decode} unknown => return Err(RecordError::UnknownType(unknown)), }})
            }}

            /// The value of a log record, in a version of its schema.
            pub fn encode(&self, version: i16) -> Result<Bytes, EncodeError> {{ match self {{ {encode} }} }}
        }}\n\n"
    ))
}

/// The enum over records whose type stands before their key.
fn keyed(family: &str, schemas: &[&Schema]) -> anyhow::Result<String> {
    let mut arms = Arms::default();
    for schema in schemas {
        let [key, value] = schema.messages.as_slice() else { anyhow::bail!("{} is not key and value", schema.name) };
        ensure!(key.versions.low == key.versions.high, "{} has more than one version", key.name);
        let name = &schema.name;
        let kind = arms.kind(key)?;
        ensure!(value.key == key.key, "{name}: key and value differ in their type");
        writeln!(
            arms.variants,
            "/// Type {kind}.\n{name} {{ /// What it is about.\nkey: {}, /// None for a tombstone.\nvalue: Option<{}> }},",
            key.name, value.name
        )?;
        writeln!(arms.kinds, "Self::{name} {{ .. }} => {kind},")?;
        writeln!(arms.versions, "Self::{name} {{ .. }} => {}::VERSIONS,", value.name)?;
        writeln!(
            arms.decode,
            "{kind} => Self::{name} {{ key: framing::read_key(&mut reader)?, value: framing::read_value(value)? }},"
        )?;
        writeln!(
            arms.encode,
            "Self::{name} {{ key, value }} => Ok((framing::write_key({kind}, key)?, framing::write_value(value, version)?)),"
        )?;
    }
    let name = format!("{}Record", camel(family));
    let opening = opening(&name, "the type of its key", &arms);
    let Arms { versions, decode, encode, .. } = arms;
    Ok(format!(
        "
        {opening}

            /// The versions that the schema of its value has.
            pub fn value_versions(&self) -> RangeInclusive<i16> {{ match self {{ {versions} }} }}

            /// Reads key and value of a log record.
            pub fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Self, RecordError> {{
                let mut reader = Reader::new(key.clone());
                Ok(match framing::read_kind(&mut reader)? {{ {decode} unknown => return Err(RecordError::UnknownType(unknown.into())), }})
            }}

            /// Key and value of a log record, the value in a version of its schema.
            pub fn encode(&self, version: i16) -> Result<(Bytes, Option<Bytes>), EncodeError> {{
                match self {{ {encode} }}
            }}
        }}\n\n"
    ))
}

/// The arms of the matches over a family's records.
#[derive(Default)]
struct Arms {
    seen: Vec<i16>,
    variants: String,
    kinds: String,
    versions: String,
    decode: String,
    encode: String,
}

impl Arms {
    /// The type of a record, which no other of its family has.
    fn kind(&mut self, message: &Message) -> anyhow::Result<i16> {
        let kind = message.key.with_context(|| format!("{} has no type", message.name))?;
        ensure!(!self.seen.contains(&kind), "{}: type {kind} twice", message.name);
        self.seen.push(kind);
        Ok(kind)
    }
}
