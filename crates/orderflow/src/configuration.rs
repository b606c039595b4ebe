//! The settings of a subcommand, and which of them nobody has set.

use std::collections::BTreeSet;

use anyhow::Context as _;
use service_kit::{
    Settings,
    config::{ConfigArgs, RedisUrl, Resolved, Secret},
};

use crate::embedded_record::Record;

/// Settings together with the keys that are at their built-in defaults.
#[derive(Debug, Clone)]
pub(crate) struct Configuration {
    pub(crate) settings: Settings,
    resolved: Resolved,
    defaulted: BTreeSet<String>,
}

impl Configuration {
    /// Reads all layers. The error holds every mistake at once.
    pub(crate) fn load(args: &ConfigArgs) -> anyhow::Result<Self> {
        let args = with_absolute_file(args)?;
        let resolved = Resolved::load(&args, std::env::vars_os())?;
        let defaulted = defaulted_keys(&resolved.to_toml());
        Ok(Self { settings: resolved.settings().clone(), resolved, defaulted })
    }

    /// Reads all layers; what nobody set is that of an `orderflow up` which runs from this directory, if any.
    pub(crate) fn load_for_tool(args: &ConfigArgs) -> anyhow::Result<Self> {
        let mut configuration = Self::load(args)?;
        if configuration.is_default("redis.url")
            && let Some(record) = Record::of_running_here()
        {
            configuration.adopt(record);
        }
        Ok(configuration)
    }

    /// Whether nobody set this key: no file, environment variable or flag.
    pub(crate) fn is_default(&self, key: &str) -> bool {
        self.defaulted.contains(key)
    }

    /// The settings as they were read, with the source of each.
    pub(crate) fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    fn adopt(&mut self, record: Record) {
        self.settings.redis.url = RedisUrl::new(record.redis_url);
        if self.is_default("stream.key") {
            self.settings.stream.key = record.stream;
        }
        if self.is_default("admin.token") {
            self.settings.admin.token = Secret::new(record.admin_token);
        }
        if self.is_default("producer.listen") {
            self.settings.producer.listen = record.producer;
        }
        if let Some(analytics) = record.analytics.filter(|_| self.is_default("analytics.listen")) {
            self.settings.analytics.listen = analytics;
        }
    }
}

/// The same flags with the configuration file's full path: a service gets it whatever its directory, and
/// no file can be called like another source of settings.
pub(crate) fn with_absolute_file(args: &ConfigArgs) -> anyhow::Result<ConfigArgs> {
    let mut args = args.clone();
    if let Some(file) = &mut args.config {
        *file = std::path::absolute(&*file).context("--config")?;
    }
    Ok(args)
}

/// The keys whose trailing comment in the printed configuration names the defaults as their source.
fn defaulted_keys(toml: &str) -> BTreeSet<String> {
    let mut section = "";
    let mut keys = BTreeSet::new();
    for line in toml.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((key, rest)) = line.split_once(" = ")
            && rest.ends_with(" # default")
        {
            keys.insert(format!("{section}.{key}"));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaulted(args: &ConfigArgs, env: &[(&str, &str)]) -> BTreeSet<String> {
        let env = env.iter().map(|(name, value)| (name.into(), value.into()));
        defaulted_keys(&Resolved::load(args, env).unwrap().to_toml())
    }

    #[test]
    fn a_url_from_anywhere_is_not_a_default_even_if_it_is_the_same() {
        let default_url = "redis://127.0.0.1:6379/";
        let flags = |url: &str| ConfigArgs { redis_url: Some(url.to_owned()), ..ConfigArgs::default() };
        let set = ConfigArgs { set: vec![format!("redis.url={default_url}")], ..ConfigArgs::default() };
        let none = ConfigArgs::default();
        assert!(defaulted(&none, &[]).contains("redis.url"));
        assert!(defaulted(&none, &[("REDIS_URL", "")]).contains("redis.url"), "empty is unset");
        assert!(!defaulted(&flags(default_url), &[]).contains("redis.url"));
        assert!(!defaulted(&set, &[]).contains("redis.url"));
        assert!(!defaulted(&none, &[("REDIS_URL", default_url)]).contains("redis.url"));
        assert!(!defaulted(&none, &[("ORDERFLOW__REDIS__URL", default_url)]).contains("redis.url"));
        assert!(defaulted(&none, &[("REDIS_URL", default_url)]).contains("stream.key"));
    }

    #[test]
    fn a_url_from_a_file_is_not_a_default() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("default");
        std::fs::write(&file, "[redis]\nurl = \"redis://127.0.0.1:6379/\"\n").unwrap();
        let args = ConfigArgs { config: Some(file), ..ConfigArgs::default() };
        let args = with_absolute_file(&args).unwrap();
        assert!(!defaulted(&args, &[]).contains("redis.url"));
    }
}
