//! The broker in this process, called over a socket as a client would: frames in, frames out.

mod broker;
mod client;
mod produce_fetch;
