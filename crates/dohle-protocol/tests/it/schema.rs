//! A second reader of the schema files, apart from the generator's, so that a misreading there is noticed here.

use std::path::Path;

/// A message as its file says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) key: i16,
    pub(crate) versions: Versions,
    pub(crate) flexible: Versions,
    pub(crate) fields: Vec<Field>,
    pub(crate) structs: Vec<(String, Vec<Field>)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// The type without `[]`.
    pub(crate) element: String,
    pub(crate) is_array: bool,
    pub(crate) versions: Versions,
    pub(crate) nullable: Versions,
    pub(crate) tag: Option<(u32, Versions)>,
    pub(crate) default: Option<String>,
    pub(crate) inflexible: bool,
    pub(crate) fields: Vec<Field>,
}

/// A range of versions, both ends in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Versions {
    pub(crate) low: i16,
    pub(crate) high: i16,
}

impl Default for Versions {
    fn default() -> Self {
        Self { low: 1, high: 0 }
    }
}

impl Versions {
    fn parse(text: &str) -> Self {
        let number = |part: &str| part.parse::<i16>().expect("a version");
        match (text.strip_suffix('+'), text.split_once('-')) {
            (Some(low), _) => Self { low: number(low), high: i16::MAX },
            (None, Some((low, high))) => Self { low: number(low), high: number(high) },
            (None, None) if text == "none" => Self::default(),
            (None, None) => Self { low: number(text), high: number(text) },
        }
    }

    pub(crate) fn has(self, version: i16) -> bool {
        self.low <= version && version <= self.high
    }
}

impl Message {
    /// The fields of a struct that a field holds.
    pub(crate) fn inside<'a>(&'a self, field: &'a Field) -> &'a [Field] {
        if !field.fields.is_empty() {
            return &field.fields;
        }
        let common = self.structs.iter().find(|(name, _)| *name == field.element);
        &common.unwrap_or_else(|| panic!("{} has no {}", self.name, field.element)).1
    }
}

/// Every message, with the folder that its file is in: empty for APIs.
pub(crate) fn read() -> Vec<(String, Message)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let mut found = Vec::new();
    let mut folders = vec![(String::new(), root)];
    while let Some((family, folder)) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push((path.file_name().unwrap().to_str().unwrap().to_owned(), path));
            } else {
                let text = std::fs::read_to_string(path).unwrap();
                found.extend(parse(&text).into_iter().map(|message| (family.clone(), message)));
            }
        }
    }
    found.sort_by(|a, b| (&a.0, &a.1.name).cmp(&(&b.0, &b.1.name)));
    found
}

fn parse(text: &str) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for line in text.lines() {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let words: Vec<&str> = line.split_whitespace().collect();
        match (depth, words[0]) {
            (0, "struct") => messages.last_mut().unwrap().structs.push((words[1].to_owned(), Vec::new())),
            (0, _) => messages.push(head(&words)),
            _ => {
                let message = messages.last_mut().unwrap();
                let mut list = message.structs.last_mut().map_or(&mut message.fields, |(_, fields)| fields);
                for _ in 1..depth {
                    list = &mut list.last_mut().unwrap().fields;
                }
                list.push(field(&words));
            }
        }
    }
    messages
}

fn head(words: &[&str]) -> Message {
    let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    Message {
        kind: words[0].to_owned(),
        name: words[1].to_owned(),
        key: value("key=").map_or(-1, |key| key.parse().unwrap()),
        versions: Versions::parse(value("versions=").unwrap()),
        flexible: Versions::parse(value("flexible=").unwrap()),
        ..Message::default()
    }
}

fn field(words: &[&str]) -> Field {
    let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    let tag = value("tag=").map(|tag| tag.split_once('@').unwrap());
    Field {
        element: words[1].trim_start_matches("[]").to_owned(),
        is_array: words[1].starts_with("[]"),
        versions: Versions::parse(words[2]),
        nullable: value("nullable=").map(Versions::parse).unwrap_or_default(),
        tag: tag.map(|(tag, versions)| (tag.parse().unwrap(), Versions::parse(versions))),
        default: value("default=").map(str::to_owned),
        inflexible: words.contains(&"inflexible"),
        fields: Vec::new(),
    }
}
