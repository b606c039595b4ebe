//! What can be wrong with a configuration, and how it is told.

use std::fmt;

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} ({origin}): {problem}{}", AllowedSuffix(allowed.as_deref()))]
#[non_exhaustive]
pub struct ConfigError {
    /// Dotted key such as `worker.block`, or the name of the thing that could not be read.
    pub key: String,
    /// Where the value came from: a file, an environment variable, a flag or the defaults.
    pub origin: String,
    /// What is wrong, in words; never the value of a secret.
    pub problem: String,
    /// What would be right, where that can be said.
    pub allowed: Option<String>,
}

impl ConfigError {
    pub(super) fn new(key: impl Into<String>, origin: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self { key: key.into(), origin: origin.to_string(), problem: problem.into(), allowed: None }
    }

    pub(super) fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }
}

struct AllowedSuffix<'a>(Option<&'a str>);

impl fmt::Display for AllowedSuffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |allowed| write!(f, "; allowed: {allowed}"))
    }
}

/// Every mistake found in the configuration; displays as one line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// `Ok(value)` if there are no errors.
    pub(super) fn check<T>(errors: Vec<ConfigError>, value: T) -> Result<T, Self> {
        if errors.is_empty() { Ok(value) } else { Err(Self(errors)) }
    }

    /// All of these as one, each mistake once.
    ///
    /// # Errors
    /// If there is one at all.
    pub fn join(all: impl IntoIterator<Item = Self>) -> Result<(), Self> {
        let mut errors: Vec<ConfigError> = Vec::new();
        for error in all.into_iter().flat_map(|one| one.0) {
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        Self::check(errors, ())
    }

    /// At least one.
    pub(super) fn of(errors: Vec<ConfigError>) -> Self {
        Self(errors)
    }

    /// The mistakes, in the order in which the layers were read; at least one.
    pub fn as_slice(&self) -> &[ConfigError] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
