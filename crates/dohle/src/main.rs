//! The binary: parse, resolve, start, stop. No logic of any kind.

fn main() {}
