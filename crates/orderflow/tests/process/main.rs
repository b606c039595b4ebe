//! The binary as its users meet it: real processes, real Redis servers, real sockets.

#![expect(clippy::unwrap_used, reason = "in helpers as in tests a panic is the failure report")]

mod common;
mod dlq;
mod doctor;
mod help;
mod http;
mod installation;
mod produce;
mod tools;
mod up;
