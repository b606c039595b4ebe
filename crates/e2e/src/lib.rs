//! Tests only: runs the real binaries, as processes, against a real Redis server, and stops, kills and
//! restarts them.
//!
//! The binaries come from the target directory that the tests run from: `cargo build --workspace --bins`
//! (or `make test`) builds them.

#![expect(clippy::missing_panics_doc, reason = "a panic is how a test's helper reports a failure")]

mod binary;
pub mod chaos;
mod fast_rules;
mod load;
mod pipeline;
mod prometheus;
mod promtool;
mod service;
mod up;
pub mod users;

pub use binary::binary;
pub use fast_rules::fast_rules;
pub use load::{Journal, Load, Outcome, Posted};
pub use pipeline::{Pipeline, Role};
pub use prometheus::{Alert, Prometheus};
pub use promtool::{promtool, succeeded};
pub use service::Service;
pub use up::Up;
