//! `--api-key`: what a subcommand presents to the services.

use reqwest::StatusCode;
use service_kit::{Settings, config::Secret};

/// The flag, and the variable that stands for it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ApiKeyArgs {
    /// API key to present (setting `client.api_key`); in the variable nobody else on this machine sees it
    #[arg(long, value_name = "KEY", env = "ORDERFLOW_API_KEY", hide_env_values = true, value_parser = parse)]
    api_key: Option<Secret>,
}

impl ApiKeyArgs {
    /// The key, if there is one.
    pub(crate) fn of(&self, settings: &Settings) -> Secret {
        match &self.api_key {
            Some(key) if !key.is_empty() => key.clone(),
            _ => settings.client.api_key.clone(),
        }
    }

    /// What opens the workers' levers: a key that was given for this, else their token, else the configured key.
    pub(crate) fn for_workers(&self, settings: &Settings) -> Secret {
        let given = self.api_key.as_ref().filter(|key| !key.is_empty());
        match given {
            Some(key) => key.clone(),
            None if !settings.admin.token.is_empty() => settings.admin.token.clone(),
            None => settings.client.api_key.clone(),
        }
    }
}

/// What to do about an answer that asks for a key.
pub(crate) fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => " (--api-key, ORDERFLOW_API_KEY or client.api_key)",
        _ => "",
    }
}

/// Anything that can be sent; the message does not repeat it.
fn parse(text: &str) -> Result<Secret, String> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Secret::new(text))
    } else {
        Err("a key has printable ASCII characters without spaces".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_comes_before_what_is_configured() {
        let given = ApiKeyArgs { api_key: Some(Secret::new("given")) };
        let none = ApiKeyArgs::default();
        let mut settings = Settings::default();
        assert!(none.of(&settings).is_empty() && none.for_workers(&settings).is_empty());
        settings.client.api_key = Secret::new("configured");
        assert_eq!((given.of(&settings).expose(), none.of(&settings).expose()), ("given", "configured"));
        assert_eq!(none.for_workers(&settings).expose(), "configured");
        settings.admin.token = Secret::new("token");
        assert_eq!(none.for_workers(&settings).expose(), "token");
        assert_eq!(given.for_workers(&settings).expose(), "given");
        assert!(!format!("{given:?}").contains("given"), "it is not shown");
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_repeating_it() {
        for text in ["a b", "a\n", "é"] {
            assert!(!parse(text).unwrap_err().contains(text), "{text}");
        }
    }
}
