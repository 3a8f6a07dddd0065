//! Transcripts: what somebody typed and what came of it, as text.
//!
//! `$ ` stands before a command, `< ` before a line that it reads, `! ` before a line of its standard error, `= ` before an
//! exit code that is not zero; all other lines are its output. What differs from run to run is written as `<id>`.

use std::process::Output;

use crate::broker::Broker;

const ID_LENGTH: usize = 22;

/// Plays the commands of a script and compares everything that was said.
pub(crate) fn check(broker: &Broker, script: &str) {
    let mut played = String::new();
    for scene in scenes(script) {
        let arguments = words(&scene.command);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = broker.run_with(&arguments, &scene.input);
        played.push_str(&format!("$ {}\n", scene.command));
        played.extend(scene.input.lines().map(|line| format!("< {line}\n")));
        played.push_str(&said(&output));
        played.push('\n');
    }
    assert!(played.trim_end() == script.trim_end(), "it went otherwise:\n{played}\nthan was written:\n{script}");
}

struct Scene {
    command: String,
    input: String,
}

fn scenes(script: &str) -> Vec<Scene> {
    let mut scenes: Vec<Scene> = vec![];
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            scenes.push(Scene { command: command.to_owned(), input: String::new() });
        } else if let Some(input) = line.strip_prefix("< ") {
            let scene = scenes.last_mut().expect("a command stands before what it reads");
            scene.input.push_str(input);
            scene.input.push('\n');
        }
    }
    scenes
}

/// Words between blanks; single quotes hold blanks together.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![];
    for (place, part) in command.split('\'').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn said(output: &Output) -> String {
    let mut said = String::new();
    said.extend(lines(&output.stdout).map(|line| format!("{line}\n")));
    said.extend(lines(&output.stderr).map(|line| format!("! {line}\n")));
    match output.status.code() {
        Some(0) => {}
        code => said.push_str(&format!("= {}\n", code.expect("the command was not killed"))),
    }
    said
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = String> {
    std::str::from_utf8(bytes).unwrap().lines().map(without_ids)
}

/// Ids of topics, clusters and members are words of as many letters as no other word has.
fn without_ids(line: &str) -> String {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    let is_id = |word: &str| word.len() == ID_LENGTH && word.contains(|letter: char| letter.is_ascii_uppercase());
    let mut text = String::new();
    let mut rest = line;
    while let Some(begin) = rest.find(is_letter) {
        let (before, from) = rest.split_at(begin);
        let (word, behind) = from.split_at(from.find(|letter| !is_letter(letter)).unwrap_or(from.len()));
        text.push_str(before);
        text.push_str(if is_id(word) { "<id>" } else { word });
        rest = behind;
    }
    text + rest
}
