//! The Rust of one struct: its definition, its default, how it is read and how it is written.

use std::fmt::Write;

use anyhow::{bail, ensure};

use super::guard::{Blocks, condition, negated};
use super::names::snake;
use super::number::{integer, is_integer, method};
use super::shape::{Shape, Unit};
use crate::schema::{Field, Primitive, Type, Versions};

/// Names that the text around the structs uses.
const TAKEN: [&str; 15] = [
    "Bytes",
    "DecodeError",
    "EncodeError",
    "Form",
    "Message",
    "Option",
    "Part",
    "Reader",
    "Request",
    "Response",
    "Result",
    "Rope",
    "Str",
    "Tags",
    "Vec",
];

/// The text of all structs of a message.
pub(super) fn generate(shape: &Shape<'_>) -> anyhow::Result<String> {
    let mut text = String::new();
    for unit in &shape.units {
        ensure!(!TAKEN.contains(&unit.rust.as_str()), "{} is taken", unit.rust);
        let writer = Writer { shape, unit };
        writer.definition(&mut text)?;
        writer.default(&mut text)?;
        writer.part(&mut text)?;
    }
    let message = shape.message;
    let flexible = message.flexible.intersect(message.versions);
    let from = if flexible.is_empty() { "i16::MAX".to_owned() } else { flexible.low.to_string() };
    write!(
        text,
        "impl Message for {0} {{
            const NAME: &'static str = \"{0}\";
            const VERSIONS: RangeInclusive<i16> = {1}..={2};
            const FLEXIBLE_FROM: i16 = {from};
        }}\n\n",
        message.name, message.versions.low, message.versions.high
    )?;
    Ok(text)
}

struct Writer<'a> {
    shape: &'a Shape<'a>,
    unit: &'a Unit<'a>,
}

impl Writer<'_> {
    fn definition(&self, text: &mut String) -> anyhow::Result<()> {
        let message = self.shape.message;
        if self.unit.name == message.name {
            writeln!(text, "/// {}", self.headline())?;
        } else {
            writeln!(text, "/// Part of [`{}`].", message.name)?;
        }
        let derived = if self.default_is_derived() { "Default, " } else { "" };
        writeln!(text, "#[derive({derived}Clone, Debug, PartialEq)]\npub struct {} {{", self.unit.rust)?;
        for field in self.fields() {
            writeln!(text, "/// {}\npub {}: {},", self.remark(field), snake(&field.name), self.rust_type(field))?;
        }
        if self.has_tags() {
            writeln!(text, "/// Tagged fields that this release does not know.\npub unknown_tags: Tags,")?;
        }
        text.push_str("}\n\n");
        Ok(())
    }

    fn headline(&self) -> String {
        let message = self.shape.message;
        let versions = words(message.versions);
        let unstable = if message.unstable { "; the last may still change" } else { "" };
        match message.key {
            Some(key) => format!("Number {key}, {versions}{unstable}."),
            None => format!("{}{unstable}.", capitalized(&versions)),
        }
    }

    /// The versions of a field, in words.
    fn remark(&self, field: &Field) -> String {
        let within = self.versions(field);
        let mut remark = if within == self.unit.versions {
            "In all versions".to_owned()
        } else {
            capitalized(&words(self.open(within)))
        };
        let nullable = self.nullable(field);
        if nullable == within {
            remark += ", or null";
        } else if !nullable.is_empty() {
            let _ = write!(remark, ", or null {}", words(self.open(nullable)));
        }
        if let Some(tagged) = field.tagged {
            let _ = write!(remark, "; tag {}", tagged.tag);
        }
        if within != self.unit.versions && field.ignorable {
            remark += "; else dropped";
        }
        remark + "."
    }

    /// The range with an open end when it ends with the struct.
    fn open(&self, versions: Versions) -> Versions {
        if versions.high == self.unit.versions.high { Versions { high: i16::MAX, ..versions } } else { versions }
    }

    fn default(&self, text: &mut String) -> anyhow::Result<()> {
        if self.default_is_derived() {
            return Ok(());
        }
        writeln!(text, "impl Default for {} {{ fn default() -> Self {{ Self {{", self.unit.rust)?;
        for field in self.fields() {
            writeln!(text, "{}: {},", snake(&field.name), self.default_value(field)?)?;
        }
        if self.has_tags() {
            text.push_str("unknown_tags: Tags::default(),\n");
        }
        text.push_str("} } }\n\n");
        Ok(())
    }

    fn part(&self, text: &mut String) -> anyhow::Result<()> {
        writeln!(text, "impl Part for {} {{", self.unit.rust)?;
        writeln!(text, "const SIZE_MIN: usize = {};\n", self.shape.size_min(self.unit)?)?;
        self.reading(text)?;
        self.writing(text)?;
        text.push_str("}\n\n");
        Ok(())
    }

    fn reading(&self, text: &mut String) -> anyhow::Result<()> {
        let mut values = String::new();
        for field in self.fields() {
            let place = self.unit.versions.intersect(field.untagged());
            let default = self.default_value(field)?;
            let value = if place.is_empty() { default } else { self.either(place, &self.read(field, place), &default) };
            writeln!(values, "{}: {value},", snake(&field.name))?;
        }
        let known = self.known_tags();
        if self.has_tags() {
            let tags = "reader.tags()";
            let value = if known.is_empty() {
                self.either(self.flexible(), tags, "Tags::default()")
            } else {
                "Tags::default()".to_owned()
            };
            writeln!(values, "unknown_tags: {value},")?;
        }
        let body = match known.as_str() {
            "" => format!("Self {{ {values} }}"),
            known => {
                let mut blocks = Blocks::default();
                blocks.push(self.guard(self.flexible()), known);
                format!("let mut it = Self {{ {values} }};\n{}it", blocks.text())
            }
        };
        let reader = if body.contains("reader") { "reader" } else { "_" };
        let form = if body.contains("form") { "form" } else { "_" };
        writeln!(text, "fn read({reader}: &mut Reader, {form}: Form) -> Self {{ {body} }}\n")?;
        Ok(())
    }

    /// One value in `versions` and another in the rest.
    fn either(&self, versions: Versions, value: &str, other: &str) -> String {
        match self.guard(versions) {
            None => value.to_owned(),
            Some(test) => format!("if {test} {{ {value} }} else {{ {other} }}"),
        }
    }

    /// The statement that reads the tagged fields, empty when all tags are unknown.
    fn known_tags(&self) -> String {
        let mut arms = String::new();
        for (field, tag, versions) in self.tagged() {
            let guard = match condition(versions, self.flexible()) {
                Some(condition) => format!(" if {condition}"),
                None => String::new(),
            };
            let value = self.read(field, versions);
            let _ = writeln!(arms, "{tag}{guard} => it.{} = {value},", snake(&field.name));
        }
        if arms.is_empty() {
            return arms;
        }
        format!(
            "it.unknown_tags = reader.tags_with(&mut |reader, tag| {{
                match tag {{ {arms} _ => return false, }}
                true
            }});\n"
        )
    }

    /// The expression that reads a field in the versions `within`.
    fn read(&self, field: &Field, within: Versions) -> String {
        let form = if field.inflexible { "form.with_old_lengths()" } else { "form" };
        let nullable = within.intersect(field.nullable);
        let (plain, null) = match &field.kind {
            Type::Array(_) => (format!("reader.array({form})"), format!("reader.nullable_array({form})")),
            Type::Single(Primitive::String) => {
                (format!("reader.string({form})"), format!("reader.nullable_string({form})"))
            }
            Type::Single(Primitive::Bytes) => {
                (format!("reader.bytes({form})"), format!("reader.nullable_bytes({form})"))
            }
            Type::Single(Primitive::Records) => {
                (format!("reader.records({form})"), format!("reader.nullable_records({form})"))
            }
            Type::Single(Primitive::Struct(_)) => {
                (format!("Part::read(reader, {form})"), format!("reader.nullable({form})"))
            }
            Type::Single(number) => return format!("reader.{}()", method(number)),
        };
        match condition(nullable, within) {
            _ if self.nullable(field).is_empty() => plain,
            _ if nullable.is_empty() => format!("Some({plain})"),
            None => null,
            Some(condition) => format!("if {condition} {{ {null} }} else {{ Some({plain}) }}"),
        }
    }

    fn writing(&self, text: &mut String) -> anyhow::Result<()> {
        let mut blocks = Blocks::default();
        for field in self.fields() {
            self.write_field(field, &mut blocks)?;
        }
        if self.has_tags() {
            blocks.push(None, &self.write_tags()?);
        }
        let body = blocks.text();
        let rope = if body.contains("rope") { "rope" } else { "_" };
        let form = if body.contains("form") { "form" } else { "_" };
        writeln!(text, "fn write(&self, {rope}: &mut Rope, {form}: Form) {{")?;
        writeln!(text, "{body}}}")?;
        Ok(())
    }

    fn write_field(&self, field: &Field, blocks: &mut Blocks) -> anyhow::Result<()> {
        let within = self.versions(field);
        let place = self.unit.versions.intersect(field.untagged());
        if !place.is_empty() {
            blocks.push(self.guard(place), &self.write(field, place));
        }
        if !within.covers(self.unit.versions) && !field.ignorable {
            let is_set = self.is_set(field)?;
            let refusal = self.refusal(&snake(&field.name));
            if place == within {
                blocks.push_else(&format!(" else if {is_set} {{ {refusal} }}\n"));
            } else {
                let outside = negated(within, self.unit.versions);
                blocks.push(None, &format!("if {outside} && {is_set} {{ {refusal} }}\n"));
            }
        }
        Ok(())
    }

    fn refusal(&self, field: &str) -> String {
        let field = format!("{}.{field}", self.unit.rust);
        format!("rope.refuse(\"{field}\", form.version);")
    }

    fn write_tags(&self) -> anyhow::Result<String> {
        let mut count = String::new();
        let mut fields = String::new();
        for (field, tag, versions) in self.tagged() {
            let is_set = match condition(versions, self.flexible()) {
                Some(condition) => format!("{condition} && {}", self.is_set(field)?),
                None => self.is_set(field)?,
            };
            let value = self.write(field, versions);
            let value = value.trim_end().trim_end_matches(';');
            count += &format!("if {is_set} {{ known += 1; }}\n");
            fields += &format!("if {is_set} {{ tags.field(rope, {tag}, &mut |rope| {value}); }}\n");
        }
        let write = if fields.is_empty() {
            "rope.tags(&self.unknown_tags);\n".to_owned()
        } else {
            format!(
                "let mut known = 0;
                {count}
                let mut tags = rope.tags_with(known, &self.unknown_tags);
                {fields}
                tags.finish(rope);\n"
            )
        };
        Ok(match condition(self.flexible(), self.unit.versions) {
            None => write,
            Some(_) => format!(
                "if form.flexible {{ {write} }} else if !self.unknown_tags.is_empty() {{ {} }}\n",
                self.refusal("unknown_tags")
            ),
        })
    }

    /// The statement that writes a field in the versions `within`.
    fn write(&self, field: &Field, within: Versions) -> String {
        let name = format!("self.{}", snake(&field.name));
        let form = if field.inflexible { "form.with_old_lengths()" } else { "form" };
        let nullable = within.intersect(field.nullable);
        let write = |value: &str, null: &str| match &field.kind {
            Type::Array(_) => format!("rope.{null}array({value}, {form});\n"),
            Type::Single(Primitive::String) => format!("rope.{null}string({value}, {form});\n"),
            Type::Single(Primitive::Bytes) => format!("rope.{null}bytes({value}, {form});\n"),
            Type::Single(Primitive::Records) => format!("rope.{null}records({value}, {form});\n"),
            Type::Single(Primitive::Struct(_)) if null.is_empty() => {
                format!("{}.write(rope, {form});\n", value.trim_start_matches('&'))
            }
            Type::Single(Primitive::Struct(_)) => format!("rope.nullable({value}, {form});\n"),
            Type::Single(number) => format!("rope.{}({});\n", method(number), value.trim_start_matches('&')),
        };
        let null = write(&format!("&{name}"), "nullable_");
        let required = format!(
            "if let Some(value) = rope.required(&{name}, \"{}.{}\") {{ {} }}\n",
            self.unit.rust,
            snake(&field.name),
            write("value", "")
        );
        match condition(nullable, within) {
            _ if self.nullable(field).is_empty() => write(&format!("&{name}"), ""),
            _ if nullable.is_empty() => required,
            None => null,
            Some(condition) => format!("if {condition} {{ {null} }} else {{ {required} }}\n"),
        }
    }

    /// The expression that says whether a field differs from its default.
    fn is_set(&self, field: &Field) -> anyhow::Result<String> {
        let name = format!("self.{}", snake(&field.name));
        let default = field.default.as_deref();
        if !self.nullable(field).is_empty() {
            return Ok(match (&field.kind, default) {
                (_, Some("null")) => format!("{name}.is_some()"),
                (_, Some(other)) => bail!("{name}: default {other} of a field that can be null"),
                (Type::Single(Primitive::Records), None) => format!("{name}.is_some()"),
                (Type::Single(Primitive::Struct(_)), None) => format!("{name} != Some(Default::default())"),
                (_, None) => format!("{name}.as_ref().is_none_or(|value| !value.is_empty())"),
            });
        }
        Ok(match (&field.kind, default) {
            (Type::Single(Primitive::Bool), None) => name,
            (Type::Single(Primitive::Bool), Some("true")) => format!("!{name}"),
            (Type::Single(Primitive::Float64), None) => format!("{name} != 0.0"),
            (Type::Single(Primitive::Uuid), None) => format!("!{name}.is_zero()"),
            (Type::Single(Primitive::Struct(nested)), None) => {
                format!("{name} != {}::default()", self.shape.unit(nested).rust)
            }
            (Type::Array(_) | Type::Single(Primitive::String | Primitive::Bytes | Primitive::Records), None) => {
                format!("!{name}.is_empty()")
            }
            (Type::Single(kind), None) if is_integer(kind) => format!("{name} != 0"),
            (Type::Single(kind), Some(number)) if is_integer(kind) => format!("{name} != {}", integer(kind, number)?),
            (kind, Some(default)) => bail!("{name}: default {default} of {kind}"),
            (kind, None) => bail!("{name}: no default of {kind}"),
        })
    }

    fn default_value(&self, field: &Field) -> anyhow::Result<String> {
        let value = match (&field.kind, field.default.as_deref()) {
            (_, Some("null")) => return Ok("None".to_owned()),
            (Type::Single(Primitive::Records), None) if !self.nullable(field).is_empty() => {
                return Ok("None".to_owned());
            }
            (Type::Array(_), None) => "Vec::new()".to_owned(),
            (Type::Single(kind), Some(number)) if is_integer(kind) => integer(kind, number)?,
            (Type::Single(Primitive::Bool), Some("true")) => "true".to_owned(),
            (Type::Single(Primitive::Bool), None) => "false".to_owned(),
            (Type::Single(Primitive::Float64), None) => "0.0".to_owned(),
            (Type::Single(Primitive::Uuid), None) => "Uuid::ZERO".to_owned(),
            (Type::Single(Primitive::String), None) => "Str::default()".to_owned(),
            (Type::Single(Primitive::Bytes), None) => "Bytes::new()".to_owned(),
            (Type::Single(Primitive::Records), None) => "Records::default()".to_owned(),
            (Type::Single(Primitive::Struct(nested)), None) => format!("{}::default()", self.shape.unit(nested).rust),
            (Type::Single(_), None) => "0".to_owned(),
            (kind, Some(default)) => bail!("{}: default {default} of {kind}", field.name),
        };
        Ok(if self.nullable(field).is_empty() { value } else { format!("Some({value})") })
    }

    /// Whether the default of every field is the default of its type.
    fn default_is_derived(&self) -> bool {
        self.fields().all(|field| match field.default.as_deref() {
            None => self.nullable(field).is_empty() || field.kind == Type::Single(Primitive::Records),
            Some(default) => default == "null",
        })
    }

    fn rust_type(&self, field: &Field) -> String {
        let kind = match &field.kind {
            Type::Array(element) => format!("Vec<{}>", self.rust_primitive(element)),
            Type::Single(kind) => self.rust_primitive(kind),
        };
        if self.nullable(field).is_empty() { kind } else { format!("Option<{kind}>") }
    }

    fn rust_primitive(&self, kind: &Primitive) -> String {
        match kind {
            Primitive::Uuid => "Uuid".to_owned(),
            Primitive::String => "Str".to_owned(),
            Primitive::Bytes => "Bytes".to_owned(),
            Primitive::Records => "Records".to_owned(),
            Primitive::Struct(name) => self.shape.unit(name).rust.clone(),
            number => method(number).to_owned(),
        }
    }

    /// The fields that some version carries.
    fn fields(&self) -> impl Iterator<Item = &Field> {
        self.unit.fields.iter().filter(|field| !self.versions(field).is_empty())
    }

    /// The fields with a tag, in the order of the tags, with the versions in which they have it.
    fn tagged(&self) -> Vec<(&Field, u32, Versions)> {
        let mut fields = Vec::new();
        for field in self.fields() {
            let versions = self.unit.versions.intersect(field.tagged_versions());
            if let (Some(tagged), false) = (field.tagged, versions.is_empty()) {
                fields.push((field, tagged.tag, versions));
            }
        }
        fields.sort_by_key(|(_, tag, _)| *tag);
        fields
    }

    fn versions(&self, field: &Field) -> Versions {
        self.unit.versions.intersect(field.versions)
    }

    fn nullable(&self, field: &Field) -> Versions {
        self.versions(field).intersect(field.nullable)
    }

    fn flexible(&self) -> Versions {
        self.unit.versions.intersect(self.shape.message.flexible)
    }

    fn has_tags(&self) -> bool {
        !self.flexible().is_empty()
    }

    /// The test for `versions`; none when they are all that there are.
    fn guard(&self, versions: Versions) -> Option<String> {
        let is_flexible = versions == self.flexible() && versions.high == self.unit.versions.high;
        let condition = condition(versions, self.unit.versions)?;
        Some(if is_flexible { "form.flexible".to_owned() } else { condition })
    }
}

fn words(versions: Versions) -> String {
    match (versions.low, versions.high) {
        (low, i16::MAX) => format!("since version {low}"),
        (low, high) if low == high => format!("in version {low}"),
        (low, high) => format!("in versions {low} to {high}"),
    }
}

fn capitalized(text: &str) -> String {
    text[..1].to_uppercase() + &text[1..]
}
