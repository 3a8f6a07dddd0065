//! The binary: parse, resolve, start, stop. No logic of any kind.

mod command;
mod compose;
mod interrupt;
mod outcome;
mod output;
mod text;

use std::process::ExitCode;

use clap::Parser;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = command::Arguments::parse();
    outcome::start_tracing();
    outcome::report(command::run(arguments))
}
