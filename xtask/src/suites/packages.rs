//! What the suites install: Debian packages, Python and Node packages, the Go program. Kept under the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::place;
use crate::process;

const LIMIT: Duration = Duration::from_secs(600);

/// Installs Debian packages when one of them is missing; needs root then.
pub(super) fn debian(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    ensure!(is_root(), "Debian packages are missing: run `apt-get install {list}` as root");
    eprintln!("… installing {list}");
    let logs = place::cache("debian")?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        process::run_into(process::without_input(&mut command), &logs.join("apt.log"), LIMIT)
    };
    apt(&["update", "-qq"])?;
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(&missing);
    apt(&install)
}

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["-W", "-f", "${Status}", package]).output();
    query.is_ok_and(|answer| answer.stdout.ends_with(b"ok installed"))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|answer| answer.stdout == b"0\n")
}

/// A Python environment of its own that holds `requirements`; answers with its interpreter.
pub(super) fn python(name: &str, requirements: &[&str]) -> Result<PathBuf> {
    let home = place::cache(name)?.join("venv");
    let recipe = requirements.join("\n");
    let interpreter = home.join("bin/python");
    if !place::is_made(&home, &recipe)? {
        eprintln!("… installing {}", requirements.join(" "));
        let log = home.join("install.log");
        process::run_into(Command::new("python3").args(["-m", "venv"]).arg(&home), &log, LIMIT)?;
        let mut pip = Command::new(&interpreter);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(requirements);
        process::run_into(process::without_input(&mut pip), &log, LIMIT)?;
        place::mark(&home, &recipe)?;
    }
    Ok(interpreter)
}

/// Copies a Node program and installs what its package.json names; answers with the folder.
pub(super) fn node(name: &str, program: &Path) -> Result<PathBuf> {
    let home = place::cache(name)?.join("node");
    let recipe = fs::read_to_string(program.join("package.json")).context("read package.json")?;
    if !place::is_made(&home, &recipe)? {
        eprintln!("… installing the Node packages of {name}");
        fs::write(home.join("package.json"), &recipe)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--no-package-lock"]).current_dir(&home);
        process::run_into(process::without_input(&mut npm), &home.join("install.log"), LIMIT)?;
        place::mark(&home, &recipe)?;
    }
    for entry in fs::read_dir(program)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "js") {
            fs::copy(&path, home.join(path.file_name().expect("a file has a name")))?;
        }
    }
    Ok(home)
}

/// Builds a Go program; Go decides whether there is something to do. Answers with the binary.
pub(super) fn go(name: &str, program: &Path) -> Result<PathBuf> {
    let cache = place::cache(name)?;
    let binary = cache.join("client");
    eprintln!("… building the Go program of {name}");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&binary).arg(".").current_dir(program);
    process::run_into(process::without_input(&mut go), &cache.join("build.log"), LIMIT)?;
    Ok(binary)
}

/// Fetches a package's archive from npm and unpacks `inside` of it; answers with the folder of that name.
pub(super) fn npm_archive(package: &str, home: &Path, inside: &str) -> Result<PathBuf> {
    let log = home.join("npm.log");
    let mut pack = Command::new("npm");
    pack.args(["pack", "--silent", package]).current_dir(home);
    let archive = process::run(process::without_input(&mut pack), &log, LIMIT)?;
    let mut unpack = Command::new("tar");
    unpack.arg("xzf").arg(archive.trim()).arg(inside).current_dir(home);
    process::run_into(&mut unpack, &home.join("tar.log"), LIMIT)?;
    Ok(home.join(inside))
}
