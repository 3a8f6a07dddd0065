//! Reads the message definitions that Kafka's jars carry and keeps their facts.
//!
//! Comments and prose stay behind. A definition without versions (an API that Kafka has removed) is skipped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::model::{Field, Kind, Message, Struct, Tagged, Versions};
use super::notation;

/// Definitions that Kafka does not write in its binary form.
const NOT_BINARY: [&str; 1] = ["QuorumStateData"];

/// Replaces the schema files below `folder` by what the `jars` say.
pub fn import(folder: &Path, jars: &[PathBuf]) -> anyhow::Result<()> {
    let mut files: BTreeMap<PathBuf, Vec<Message>> = BTreeMap::new();
    for jar in jars {
        for definition in definitions(jar)? {
            let name = text(&definition, "name")?;
            if text(&definition, "validVersions")? == "none" || NOT_BINARY.contains(&name) {
                continue;
            }
            let message = message(&definition).with_context(|| format!("{}: {name}", jar.display()))?;
            files.entry(place(jar, &message)?).or_default().push(message);
        }
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    for (name, messages) in &mut files {
        messages.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder"))?;
        std::fs::write(&path, notation::write(messages)).with_context(|| format!("write {}", path.display()))?;
    }
    println!("{} files, {} messages", files.len(), files.values().map(Vec::len).sum::<usize>());
    Ok(())
}

/// The JSON of every definition in a jar, by `unzip`.
fn definitions(jar: &Path) -> anyhow::Result<Vec<Value>> {
    let names = unzip(&["-Z1"], jar, &[])?;
    let names: Vec<&str> = names.lines().filter(|name| name.ends_with(".json")).collect();
    ensure!(!names.is_empty(), "{}: no message definitions in it", jar.display());
    names.iter().map(|name| parse(&unzip(&["-p"], jar, &[name])?).with_context(|| (*name).to_owned())).collect()
}

fn unzip(options: &[&str], jar: &Path, names: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("unzip").args(options).arg(jar).args(names).output().context("run unzip")?;
    ensure!(output.status.success(), "unzip {}: {}", jar.display(), String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Kafka's definitions are JSON with lines of comment.
fn parse(text: &str) -> anyhow::Result<Value> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    Ok(serde_json::from_str(&lines.join("\n"))?)
}

/// The file that a message belongs to: `<Api>.txt`, or `<family>/<Record>.txt`.
fn place(jar: &Path, message: &Message) -> anyhow::Result<PathBuf> {
    let name = &message.name;
    let stem = |ending: &str| name.strip_suffix(ending).unwrap_or(name);
    Ok(match message.kind {
        Kind::Request => format!("{}.txt", stem("Request")),
        Kind::Response => format!("{}.txt", stem("Response")),
        Kind::Header => "Header.txt".to_owned(),
        Kind::Key => format!("{}/{}.txt", family(jar, message)?, stem("Key")),
        Kind::Value => format!("{}/{}.txt", family(jar, message)?, stem("Value")),
        Kind::Metadata | Kind::Data => format!("{}/{}.txt", family(jar, message)?, stem("Record")),
    }
    .into())
}

/// Which log or blob a record belongs to.
fn family(jar: &Path, message: &Message) -> anyhow::Result<&'static str> {
    if message.kind == Kind::Data {
        return Ok(match message.name.as_str() {
            "ConsumerProtocolAssignment" | "ConsumerProtocolSubscription" => "consumer",
            "AbortedTxn" | "ProducerSnapshot" => "log",
            "DefaultPrincipalData" => "principal",
            _ => "control",
        });
    }
    let jar = jar.file_name().and_then(|name| name.to_str()).context("a jar has no name")?;
    let families = [
        ("kafka-metadata-", "metadata"),
        ("kafka-group-coordinator-", "group"),
        ("kafka-transaction-coordinator-", "transaction"),
        ("kafka-share-coordinator-", "share"),
        ("kafka-storage-", "remote_log"),
    ];
    let known = families.iter().find(|(prefix, _)| jar.starts_with(prefix));
    Ok(known.with_context(|| format!("no family for the records of {jar}"))?.1)
}

fn message(json: &Value) -> anyhow::Result<Message> {
    Ok(Message {
        kind: match text(json, "type")? {
            "coordinator-key" => Kind::Key,
            "coordinator-value" => Kind::Value,
            other => other.parse()?,
        },
        name: text(json, "name")?.to_owned(),
        key: json.get("apiKey").and_then(Value::as_i64).map(i16::try_from).transpose()?,
        versions: text(json, "validVersions")?.parse()?,
        flexible: text(json, "flexibleVersions")?.parse()?,
        unstable: flag(json, "latestVersionUnstable")?,
        listeners: match json.get("listeners").and_then(Value::as_array) {
            Some(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None => Vec::new(),
        },
        fields: fields(json)?,
        structs: match json.get("commonStructs").and_then(Value::as_array) {
            Some(structs) => structs.iter().map(common).collect::<anyhow::Result<_>>()?,
            None => Vec::new(),
        },
    })
}

fn common(json: &Value) -> anyhow::Result<Struct> {
    Ok(Struct { name: text(json, "name")?.to_owned(), fields: fields(json)? })
}

fn fields(json: &Value) -> anyhow::Result<Vec<Field>> {
    match json.get("fields").and_then(Value::as_array) {
        Some(fields) => fields.iter().map(field).collect(),
        None => Ok(Vec::new()),
    }
}

fn field(json: &Value) -> anyhow::Result<Field> {
    let versions = |name: &str| match json.get(name) {
        Some(_) => text(json, name)?.parse::<Versions>(),
        None => Ok(Versions::NONE),
    };
    // A field that gives the versions of its tag only is in just those (`FieldSpec`).
    let present = if json.get("versions").is_some() { "versions" } else { "taggedVersions" };
    let tag = json.get("tag").and_then(Value::as_u64).map(u32::try_from).transpose()?;
    Ok(Field {
        name: text(json, "name")?.to_owned(),
        kind: text(json, "type")?.parse()?,
        versions: versions(present)?,
        nullable: versions("nullableVersions")?,
        tagged: match tag {
            Some(tag) => Some(Tagged { tag, versions: versions("taggedVersions")? }),
            None => None,
        },
        default: default(json)?,
        ignorable: flag(json, "ignorable")?,
        map_key: flag(json, "mapKey")?,
        inflexible: json.get("flexibleVersions").is_some_and(|versions| versions == "none"),
        entity: json.get("entityType").and_then(Value::as_str).map(str::to_owned),
        fields: fields(json)?,
    })
}

/// The default in one spelling; none for the zero of a type.
fn default(json: &Value) -> anyhow::Result<Option<String>> {
    let default = match json.get("default") {
        None => return Ok(None),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::String(text)) => text.to_ascii_lowercase(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(says)) => says.to_string(),
        Some(other) => bail!("default {other}"),
    };
    let default = match default.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16)?.to_string(),
        None => default,
    };
    Ok(Some(default).filter(|default| !["", "0", "false"].contains(&default.as_str())))
}

fn text<'a>(json: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    json.get(name).and_then(Value::as_str).with_context(|| format!("no `{name}`"))
}

/// A flag, which Kafka writes as a word or as text.
fn flag(json: &Value, name: &str) -> anyhow::Result<bool> {
    match json.get(name) {
        None => Ok(false),
        Some(Value::Bool(says)) => Ok(*says),
        Some(Value::String(says)) => Ok(says.parse()?),
        Some(other) => bail!("`{name}` is {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{default, message, parse};
    use crate::schema::model::{Kind, Versions};

    #[test]
    fn comments_and_prose_stay_behind() {
        let text = r#"// a licence
            { "type": "data", "name": "Thing", "validVersions": "0-1", "flexibleVersions": "none",
              // a remark
              "fields": [ { "name": "Id", "type": "int32", "versions": "1+", "default": "0x7fffffff", "about": "words" } ] }"#;
        let message = message(&parse(text).unwrap()).unwrap();
        assert_eq!(message.kind, Kind::Data);
        assert_eq!(message.versions, Versions { low: 0, high: 1 });
        assert_eq!(message.fields[0].default.as_deref(), Some("2147483647"));
    }

    #[test]
    fn a_field_is_in_the_versions_of_its_tag_where_it_gives_no_others() {
        let text = r#"{ "type": "data", "name": "Thing", "validVersions": "0-1", "flexibleVersions": "1+",
              "fields": [ { "name": "Id", "type": "int32", "taggedVersions": "1+", "tag": 0 } ] }"#;
        let message = message(&parse(text).unwrap()).unwrap();
        assert_eq!(message.fields[0].versions, "1+".parse().unwrap());
    }

    #[test]
    fn a_default_that_is_the_zero_of_its_type_is_none() {
        for zero in [r#"{"default": "0"}"#, r#"{"default": "False"}"#, r#"{"default": ""}"#, r#"{"default": false}"#] {
            assert_eq!(default(&parse(zero).unwrap()).unwrap(), None, "{zero}");
        }
        assert_eq!(default(&parse(r#"{"default": null}"#).unwrap()).unwrap().as_deref(), Some("null"));
    }
}
