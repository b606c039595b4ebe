//! What every Orderflow process needs: layered [`config`], [`telemetry`], an [`ops`] HTTP port, the loop that
//! serves every [`http`] port, signals and [`shutdown`], RFC 9457 [`problem`]s, and a [`cli`] entry point that joins them, so
//! that a service's `main.rs` reads like a table of contents:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use service_kit::{Context, Service, service_main};
//!
//! fn main() -> ExitCode {
//!     let service = Service {
//!         name: env!("CARGO_PKG_NAME"),
//!         version: env!("CARGO_PKG_VERSION"),
//!         about: env!("CARGO_PKG_DESCRIPTION"),
//!         ops_listen_key: "producer.ops_listen",
//!         ops_listen: |settings| settings.producer.ops_listen,
//!         public_listen: Some(("producer.listen", |settings| settings.producer.listen)),
//!     };
//!     service_main(&service, run)
//! }
//!
//! async fn run(context: Context) -> anyhow::Result<()> {
//!     // connect, build, then:
//!     context.shutdown.cancelled().await;
//!     // drain
//!     Ok(())
//! }
//! ```

pub mod admin;
#[cfg(feature = "admin-client")]
pub mod admin_client;
pub mod auth;
mod capabilities;
pub mod cli;
pub mod config;
pub mod http;
#[cfg(feature = "admin-client")]
pub mod http_client;
mod log_line;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod ops;
pub mod problem;
pub mod query;
pub mod redis;
pub mod request;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod token;
pub mod trace;
pub mod worker;

pub use capabilities::ServerCapabilities;
pub use cli::{Context, Service, ServiceArgs, service_main};
pub use config::Settings;
pub use ops::{Condition, Readiness};
pub use problem::Problem;
pub use redis::Redis;
