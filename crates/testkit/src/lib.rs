//! What tests of the other crates need: real Redis servers, free ports, bounded waiting. Never part of a release.
//!
//! - [`RedisServer`]: a `redis-server` of the test's own, gone when it is dropped.
//! - [`eventually`]: waits for something to become true, instead of sleeping.
//! - [`free_port`]: a loopback port nobody listens on.

mod eventually;
mod options;
mod ports;
mod process;
mod server;

pub use eventually::{Observation, eventually};
pub use options::RedisOptions;
pub use ports::free_port;
pub use process::StartError;
pub use server::RedisServer;
