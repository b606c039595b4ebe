//! The binary as its users meet it: real processes, real Redis servers, real sockets.

#![expect(clippy::unwrap_used, reason = "in helpers as in tests a panic is the failure report")]

mod common;
mod data_dir;
mod dlq;
mod doctor;
mod help;
mod history;
mod http;
mod installation;
mod key;
mod produce;
mod tables;
mod terminal;
mod tools;
mod trim;
mod up;
