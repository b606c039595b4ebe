//! The console as a process, against a real Redis, with real workers behind it.

#![expect(clippy::unwrap_used, reason = "in helpers as in tests a panic is the failure report")]

mod access;
mod bench;
mod dead_letters;
mod guide;
mod http;
mod keys;
mod levers;
mod live;
mod looking;
mod page;
mod pipeline;
mod reset;
mod tail;
mod workers;
