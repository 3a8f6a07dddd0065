//! The workshop's checks of the house itself, so that `cargo test` is the gate.

use xtask::{codegen, layers, place, tidy};

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
