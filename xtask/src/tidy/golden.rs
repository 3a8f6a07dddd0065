//! Every API that the broker serves has golden bytes: what a real client asked and what a real broker answered.
//!
//! The list of what is served is read from the source of the broker, where it is declared once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context;

const SERVED: &str = "crates/dohle-broker/src/api/mod.rs";
const GOLDEN: &str = "crates/dohle-protocol/tests/golden";

/// Every served API without golden bytes, one line each.
pub(super) fn breaches(root: &Path) -> anyhow::Result<Vec<String>> {
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
    let served = served(&read(&root.join(SERVED))?);
    anyhow::ensure!(!served.is_empty(), "{SERVED}: no list of what is served");
    let mut captured = BTreeSet::new();
    for entry in root.join(GOLDEN).read_dir().with_context(|| format!("list {GOLDEN}"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "hex") {
            captured.extend(read(&path)?.lines().filter_map(kind));
        }
    }
    Ok(missing(&served, &captured))
}

/// The APIs between `serve! {` and `}`, under Kafka's names.
fn served(source: &str) -> Vec<String> {
    let lines = source.lines().skip_while(|line| *line != "serve! {").skip(1);
    lines.take_while(|line| *line != "}").map(|line| camel(line.trim())).collect()
}

fn camel(file: &str) -> String {
    let capital =
        |word: &str| word.chars().next().into_iter().flat_map(char::to_uppercase).chain(word.chars().skip(1)).collect();
    file.split('_').map(|word| -> String { capital(word) }).collect()
}

/// API and role of a line.
fn kind(line: &str) -> Option<(String, String)> {
    let [api, _, role, _] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
    matches!(role, "request" | "response").then(|| (api.to_owned(), role.to_owned()))
}

fn missing(served: &[String], captured: &BTreeSet<(String, String)>) -> Vec<String> {
    let missing = served.iter().flat_map(|api| ["request", "response"].map(|role| (api.clone(), role.to_owned())));
    let missing = missing.filter(|kind| !captured.contains(kind));
    let told =
        |(api, role)| format!("{GOLDEN}: no {role} of {api}; let a client send it in `cargo xtask suites golden`");
    missing.map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_served_api_that_nobody_captured_is_named() {
        let served = served("a\nserve! {\n    api_versions\n    fetch\n}\nb\n");
        assert_eq!(served, ["ApiVersions", "Fetch"]);
        let captured =
            ["# Fetch 1 request 00", "Fetch 1 response 00", "ApiVersions 0 request 00", "ApiVersions 0 response 0"];
        let missing = missing(&served, &captured.into_iter().filter_map(kind).collect());
        assert_eq!(missing.len(), 1);
        assert!(missing[0].contains("no request of Fetch"), "{missing:?}");
    }
}
