//! A message as it will stand in Rust: its structs with the versions in which each can occur, and their new names.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};

use crate::schema::{Field, Message, Primitive, Struct, Type, Versions};

/// A message and its structs, the message first, the others in the order of their first use.
pub(super) struct Shape<'a> {
    pub(super) message: &'a Message,
    pub(super) units: Vec<Unit<'a>>,
}

/// One struct.
pub(super) struct Unit<'a> {
    /// Kafka's name of it.
    pub(super) name: &'a str,
    /// Our name of it.
    pub(super) rust: String,
    /// The versions in which it can occur.
    pub(super) versions: Versions,
    pub(super) fields: &'a [Field],
}

impl<'a> Shape<'a> {
    /// Finds the structs of `message`. A struct whose name is in `shared` is prefixed by the kind of the message, because
    /// another message of the same file has one of that name.
    pub(super) fn of(message: &'a Message, shared: &[&str]) -> anyhow::Result<Self> {
        let mut shape = Self { message, units: Vec::new() };
        shape.visit(&message.name, &message.fields, message.versions)?;
        for unit in &mut shape.units {
            let word = message.kind.word();
            let prefix =
                if shared.contains(&unit.name) { word[..1].to_uppercase() + &word[1..] } else { String::new() };
            unit.rust = prefix + unit.name;
        }
        Ok(shape)
    }

    fn visit(&mut self, name: &'a str, fields: &'a [Field], versions: Versions) -> anyhow::Result<()> {
        match self.units.iter_mut().find(|unit| unit.name == name) {
            Some(unit) => unit.versions = unit.versions.span(versions),
            None => self.units.push(Unit { name, rust: String::new(), versions, fields }),
        }
        for field in fields {
            let versions = versions.intersect(field.versions);
            if let (Some(nested), false) = (field.struct_name(), versions.is_empty()) {
                let fields = if field.fields.is_empty() { &self.common(nested)?.fields } else { &field.fields };
                self.visit(nested, fields, versions)?;
            }
        }
        Ok(())
    }

    fn common(&self, name: &str) -> anyhow::Result<&'a Struct> {
        let found = self.message.structs.iter().find(|common| common.name == name);
        found.with_context(|| format!("{} has no struct {name}", self.message.name))
    }

    pub(super) fn unit(&self, name: &str) -> &Unit<'a> {
        self.units.iter().find(|unit| unit.name == name).expect("every struct was visited")
    }

    /// The fewest bytes of a struct in any version.
    pub(super) fn size_min(&self, unit: &Unit<'_>) -> anyhow::Result<usize> {
        let sizes = (unit.versions.low..=unit.versions.high).map(|version| self.size_at(unit, version));
        let size = sizes.min().with_context(|| format!("{} has no version", unit.name))?;
        ensure!(size > 0 || unit.name == self.message.name, "{} can have no bytes", unit.name);
        Ok(size)
    }

    fn size_at(&self, unit: &Unit<'_>, version: i16) -> usize {
        let flexible = self.message.flexible.contains(version);
        let carried = unit.fields.iter().filter(|field| field.untagged().contains(version));
        usize::from(flexible) + carried.map(|field| self.field_size(field, version, flexible)).sum::<usize>()
    }

    fn field_size(&self, field: &Field, version: i16, flexible: bool) -> usize {
        let compact = flexible && !field.inflexible;
        match &field.kind {
            Type::Array(_) | Type::Single(Primitive::Bytes | Primitive::Records) => {
                if compact {
                    1
                } else {
                    4
                }
            }
            Type::Single(Primitive::String) => {
                if compact {
                    1
                } else {
                    2
                }
            }
            Type::Single(Primitive::Struct(_)) if field.nullable.contains(version) => 1,
            Type::Single(Primitive::Struct(name)) => self.size_at(self.unit(name), version),
            Type::Single(Primitive::Bool | Primitive::Int8) => 1,
            Type::Single(Primitive::Int16 | Primitive::Uint16) => 2,
            Type::Single(Primitive::Int32 | Primitive::Uint32) => 4,
            Type::Single(Primitive::Int64 | Primitive::Float64) => 8,
            Type::Single(Primitive::Uuid) => 16,
        }
    }
}

/// The names that are defined by more than one of `messages`.
pub(super) fn shared_names(messages: &[Message]) -> anyhow::Result<Vec<&str>> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for message in messages {
        for unit in Shape::of(message, &[])?.units {
            *counts.entry(unit.name).or_default() += 1;
        }
    }
    Ok(counts.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| name).collect())
}

impl Field {
    /// The struct that it holds, alone or in an array.
    pub(super) fn struct_name(&self) -> Option<&str> {
        match &self.kind {
            Type::Single(Primitive::Struct(name)) | Type::Array(Primitive::Struct(name)) => Some(name),
            Type::Single(_) | Type::Array(_) => None,
        }
    }

    /// The versions in which it has a tag.
    pub(super) fn tagged_versions(&self) -> Versions {
        self.tagged.map_or(Versions::NONE, |tagged| tagged.versions.intersect(self.versions))
    }

    /// The versions in which it stands in its place. A field that is tagged once stays tagged.
    pub(super) fn untagged(&self) -> Versions {
        let tagged = self.tagged_versions();
        if tagged.is_empty() {
            return self.versions;
        }
        self.versions.intersect(Versions { low: i16::MIN, high: tagged.low - 1 })
    }
}
