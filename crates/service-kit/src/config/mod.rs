//! Layered configuration: defaults < file < environment < flags, every mistake reported at once.
//!
//! ```
//! use service_kit::config::Settings;
//!
//! let settings = Settings::default();
//! assert_eq!(settings.stream.key, "events:orders");
//! ```

mod args;
mod check;
mod error;
mod layer;
mod print;
mod resolve;
mod schema;
mod sections;
mod types;
mod value;

#[cfg(test)]
mod tests;

pub use args::ConfigArgs;
pub use error::{ConfigError, ConfigErrors};
pub use resolve::Resolved;
pub(crate) use schema::env_name;
pub use sections::{
    Admin, Analytics, Console, DeadLetters, Log, Notifications, Producer, Reaper, Redis, Retention, Settings,
    Shutdown, Stream, Worker,
};
pub use types::{Channel, Durability, LogFormat, RedisUrl, RetentionPolicy, Secret};

/// The built-in defaults: a TOML file in which a comment explains every key.
pub const DEFAULTS_TOML: &str = include_str!("defaults.toml");
