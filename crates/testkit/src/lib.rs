//! What tests of the other crates need: real Redis servers, free ports, bounded waiting. Never part of a release.
//!
//! - [`RedisServer`]: a `redis-server` of the test's own, gone when it is dropped.
//! - [`eventually`]: waits for something to become true, instead of sleeping.
//! - [`TcpProxy`]: the network between a client and its server, made slow, silent or broken at will.
//! - [`Authority`]: certificates of a test's own.
//! - [`free_port`]: a loopback port nobody listens on.

mod eventually;
mod options;
mod ports;
mod process;
mod proxy;
mod server;
mod tls;

pub use eventually::{Observation, eventually};
pub use options::{RedisOptions, RedisTls};
pub use ports::free_port;
pub use process::StartError;
pub use proxy::{Network, TcpProxy};
pub use server::RedisServer;
pub use tls::{Authority, Identity, IdentityFiles, install_tls_provider};
