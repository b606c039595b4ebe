//! The command-line flags that change the configuration.

use std::path::PathBuf;

/// Flags that every service takes to change its configuration; they win over file and environment.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConfigArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Redis to use, e.g. `redis://127.0.0.1:6379/` (setting redis.url)
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,

    /// Key of the event stream (setting stream.key)
    #[arg(long, value_name = "KEY")]
    pub stream: Option<String>,

    /// Log format: human or json (setting log.format)
    // Text, not an enum: a wrong value is reported together with every other mistake.
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,

    /// Any setting, e.g. `worker.block=2s`; may be repeated, the last one wins
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}
