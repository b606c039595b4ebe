//! What is refused once it is known where a process listens: to be open by accident, or closed to everybody.

use std::net::SocketAddr;

use super::error::{ConfigError, ConfigErrors};
use super::resolve::Resolved;

/// What to write so that a process starts.
const MAKE_A_KEY: &str = "auth.keys or auth.keys_file with a key that `orderflow key new` made";

impl Resolved {
    /// For a process that asks nobody for a key: none of its listeners may be reached from another machine.
    pub(crate) fn refuse_open_listeners(
        &self,
        listeners: &[(&'static str, SocketAddr)],
    ) -> Result<(), ConfigErrors> {
        let open = listeners.iter().filter(|(_, addr)| !addr.ip().to_canonical().is_loopback());
        let errors: Vec<ConfigError> = open
            .map(|(key, addr)| {
                let problem = format!(
                    "{addr} can be reached from other machines, no API key is configured, and nobody has said that \
                     none is needed"
                );
                let allowed = format!(
                    "an address of this machine alone, such as 127.0.0.1:{}; or {MAKE_A_KEY}; or auth.mode = \"off\" \
                     (ORDERFLOW__AUTH__MODE=off), to let in whoever reaches it",
                    addr.port()
                );
                self.error(key, problem, allowed)
            })
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(ConfigErrors::of(errors)) }
    }

    /// Keys are asked for, and nobody has one.
    pub(crate) fn refuse_no_keys(&self) -> ConfigErrors {
        let key = if self.settings().auth.keys_file.is_empty() { "auth.mode" } else { "auth.keys_file" };
        let allowed = format!("{MAKE_A_KEY}; or auth.mode = \"off\"");
        ConfigErrors::of(vec![self.error(key, "a key is asked for, but none is configured", allowed)])
    }

    /// The file of keys cannot be used.
    pub(crate) fn refuse_keys_file(&self, problems: Vec<String>) -> ConfigErrors {
        let path = &self.settings().auth.keys_file;
        let allowed = "a readable TOML file with [[auth.keys]], as `orderflow key new` prints them";
        let error =
            |problem| self.error("auth.keys_file", format!("{path:?} cannot be used: {problem}"), allowed);
        ConfigErrors::of(problems.into_iter().map(error).collect())
    }
}
