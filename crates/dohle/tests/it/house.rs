//! The workshop's checks of the house itself, so that `cargo test` is the gate.

use std::fs;

use xtask::{codegen, layers, place, tidy};

use crate::broker::{dohle, run};

#[test]
fn every_edge_between_crates_is_one_that_the_layers_hold() {
    assert_eq!(layers::breaches().unwrap(), Vec::<String>::new());
}

#[test]
fn every_file_is_tidy() {
    assert_eq!(tidy::breaches().unwrap(), Vec::<String>::new());
}

#[test]
fn the_generated_code_is_up_to_date() {
    codegen::run(&place::root(), true).unwrap();
}

#[test]
fn every_key_is_documented_as_its_table_declares_it() {
    let page = run(dohle().args(["config", "keys", "--markdown"]), "").stdout;
    let file = place::root().join("docs/configuration.md");
    let is_same = fs::read(&file).unwrap() == page;
    assert!(is_same, "write it anew: `cargo run -p dohle -- config keys --markdown > docs/configuration.md`");
}
