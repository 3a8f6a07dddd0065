//! The binary as its users meet it: by its command line, and by a client that others wrote.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bench;
mod broker;
mod command_line;
mod house;
mod librdkafka;
mod log;
mod moves;
mod transactions;
mod transcript;
