//! Layered configuration: defaults < file < environment < flags, every mistake reported at once.
//!
//! ```
//! use service_kit::config::Settings;
//!
//! let settings = Settings::default();
//! assert_eq!(settings.stream.key, "events:orders");
//! ```

mod api_keys;
mod args;
mod check;
mod check_notifications;
mod check_texts;
mod error;
mod layer;
mod listeners;
mod print;
mod resolve;
mod rows;
mod schema;
mod sections;
mod types;
mod value;

#[cfg(test)]
mod tests;

pub use api_keys::{ApiKeyEntry, ApiKeys, is_key_id};
pub use args::ConfigArgs;
pub use error::{ConfigError, ConfigErrors};
pub use resolve::Resolved;
pub use rows::WebhookEndpoint;
pub(crate) use schema::env_name;
pub use sections::{
    Admin, Analytics, Auth, Client, Console, DeadLetters, Http, Log, Notifications, Producer, Reaper, Redis,
    Retention, Settings, Shutdown, Smtp, Stream, Tls, Webhook, Worker,
};
pub use types::{
    AuthMode, Channel, Durability, HttpUrl, LogFormat, RedisUrl, RetentionPolicy, Secret, SmtpSecurity,
    Username,
};

/// The built-in defaults: a TOML file in which a comment explains every key.
pub const DEFAULTS_TOML: &str = include_str!("defaults.toml");
