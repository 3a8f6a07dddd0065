//! The broker in this process, called over a socket as a client would: frames in, frames out.

mod broker;
mod client;
mod configs;
mod groups;
mod offsets;
mod places;
mod produce_fetch;
mod topics;
mod versions;
