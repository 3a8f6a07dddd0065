//! The binary as its users meet it: by its command line, and by a client that others wrote.

mod broker;
mod command_line;
mod house;
mod librdkafka;
mod transcript;
