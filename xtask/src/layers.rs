//! Which room knows which: the edges between crates against `layers.toml`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::{place, workspace};

/// What a room may know, as `layers.toml` says it.
#[derive(Deserialize)]
struct Room {
    knows: BTreeSet<String>,
    #[serde(default)]
    tests: BTreeSet<String>,
}

/// What cargo says of the workspace.
#[derive(Deserialize)]
struct Workspace {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Absent for an ordinary dependency; `dev` for one of the tests.
    kind: Option<String>,
}

/// Every edge that `layers.toml` does not hold, and every room that it lacks or that is gone: one line each.
pub fn breaches() -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(place::root().join("layers.toml")).context("read layers.toml")?;
    let rooms: BTreeMap<String, Room> = toml::from_str(&text).context("layers.toml")?;
    Ok(judge(&rooms, &read_workspace()?))
}

fn read_workspace() -> anyhow::Result<Workspace> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let output = workspace::command("cargo", &arguments).output().context("start cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("the output of cargo metadata")
}

fn judge(rooms: &BTreeMap<String, Room>, workspace: &Workspace) -> Vec<String> {
    let crates: BTreeSet<&str> = workspace.packages.iter().map(|package| package.name.as_str()).collect();
    let gone = rooms.keys().filter(|room| !crates.contains(room.as_str()));
    let mut breaches: Vec<String> = gone.map(|room| format!("layers.toml names {room}, which is no crate")).collect();
    for package in &workspace.packages {
        let Some(room) = rooms.get(&package.name) else {
            breaches.push(format!("layers.toml lacks {}", package.name));
            continue;
        };
        let inside = package.dependencies.iter().filter(|dependency| crates.contains(dependency.name.as_str()));
        let strangers = inside.filter(|dependency| !may_know(room, dependency));
        breaches.extend(strangers.map(|stranger| format!("{} must not know {}", package.name, stranger.name)));
    }
    breaches
}

fn may_know(room: &Room, dependency: &Dependency) -> bool {
    let in_tests = dependency.kind.as_deref() == Some("dev") && room.tests.contains(&dependency.name);
    room.knows.contains(&dependency.name) || in_tests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependency = |(name, kind): &(&str, Option<&str>)| Dependency {
            name: (*name).to_owned(),
            kind: kind.map(str::to_owned),
        };
        Package { name: name.to_owned(), dependencies: dependencies.iter().map(dependency).collect() }
    }

    #[test]
    fn an_edge_that_is_not_held_is_named() {
        let rooms = toml::from_str("[a]\nknows=['b']\ntests=['c']\n[b]\nknows=[]\n[gone]\nknows=[]").unwrap();
        let packages = vec![
            package("a", &[("b", None), ("c", Some("dev")), ("serde", None)]),
            package("b", &[("a", None), ("c", Some("dev"))]),
            package("c", &[]),
        ];
        let breaches = judge(&rooms, &Workspace { packages });
        let expected = [
            "layers.toml names gone, which is no crate",
            "b must not know a",
            "b must not know c",
            "layers.toml lacks c",
        ];
        assert_eq!(breaches, expected);
    }
}
