//! What a reader must be able to rely on in every file, and a compiler does not check.

mod golden;

use std::path::Path;

use anyhow::Context;

use crate::{place, workspace};

/// Words that must not stand in a file, each with the reason.
const BANNED: &[(&str, &str)] = &[
    ("#[ignore", "a test that is not run proves nothing"),
    ("#[should_panic", "assert on the refusal instead"),
    ("TODO", "write what is missing into docs/differences.md, or do it"),
    ("FIXME", "mend it"),
    ("thread::sleep(", "wait for the event, not for a while"),
];

/// Files that may hold a banned word, because it is their subject.
const EXEMPT: &[&str] = &["xtask/src/tidy.rs"];

/// Everything untidy, one line each.
pub fn breaches() -> anyhow::Result<Vec<String>> {
    let root = place::root();
    let mut breaches = golden::breaches(&root)?;
    for folder in ["crates", "xtask"] {
        for file in workspace::rust_files(&root.join(folder))? {
            let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            let name = file.strip_prefix(&root).unwrap_or(&file);
            breaches.extend(judge(name, &text));
        }
    }
    Ok(breaches)
}

fn judge(name: &Path, text: &str) -> Vec<String> {
    let mut breaches = vec![];
    let is_target = name.components().any(|part| part.as_os_str() == "target");
    if is_target || EXEMPT.iter().any(|exempt| name.starts_with(exempt)) {
        return breaches;
    }
    // A generated file says so first; the tests of a noun own what the noun owns.
    let first = text.lines().find(|line| !line.is_empty() && !line.starts_with("// "));
    if !name.ends_with("tests.rs") && !first.is_some_and(|line| line.starts_with("//!")) {
        breaches.push(format!("{}: begin with //! and say what this module owns", name.display()));
    }
    for (place, line) in text.lines().enumerate() {
        let found = BANNED.iter().filter(|(word, _)| line.contains(word));
        breaches.extend(found.map(|(word, why)| format!("{}:{}: `{word}`: {why}", name.display(), place + 1)));
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_untidy_line_is_named_with_its_place() {
        let breaches = judge(Path::new("crates/a/src/b.rs"), "//! B.\nlet a = 1; // TODO more\n");
        assert_eq!(breaches.len(), 1);
        assert!(breaches[0].starts_with("crates/a/src/b.rs:2: `TODO`"));
        assert_eq!(judge(Path::new("crates/a/src/b.rs"), "fn a() {}\n").len(), 1);
        assert!(judge(Path::new("crates/a/src/b.rs"), "//! B.\n").is_empty());
    }
}
