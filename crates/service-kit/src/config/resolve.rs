//! Merges the layers and reads the settings from them, collecting every mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use ::config::ValueKind;

use super::check::Checker;
use super::error::{ConfigError, ConfigErrors};
use super::layer::{self, Leaf, Leaves};
use super::schema::{self, DEFAULTS};
use super::value::Setting;
use super::{ConfigArgs, Settings, print};

/// Settings together with where each value came from.
#[derive(Debug, Clone)]
pub struct Resolved {
    settings: Settings,
    leaves: Leaves,
}

impl Resolved {
    /// Reads all layers; `env` is the environment (`std::env::vars_os()` in a process).
    ///
    /// # Errors
    /// Every mistake in every layer that is in effect, at once.
    pub fn load(
        args: &ConfigArgs,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let file = args.config.as_deref().map(|path| layer::from_file(path, &mut errors));
        let env = layer::from_env(env, &mut errors);
        let flags = layer::from_args(args, &mut errors);

        let mut leaves = DEFAULTS.clone();
        for mut layer in file.into_iter().chain([env, flags]) {
            schema::reject_unknown(&mut layer, &mut errors);
            leaves.append(&mut layer);
        }

        let mut reader = Reader { leaves: &leaves, errors, failed: BTreeSet::new() };
        let settings = Settings::read(&mut reader);
        let mut checker = Checker::new(&leaves, reader.failed, reader.errors);
        checker.check(&settings);
        ConfigErrors::check(checker.into_errors(), ()).map(|()| Self { settings, leaves })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A mistake that shows only when more is known than the settings.
    pub(super) fn error(
        &self,
        key: &'static str,
        problem: impl Into<String>,
        allowed: impl Into<String>,
    ) -> ConfigError {
        ConfigError::new(key, &self.leaves[key].origin, problem).allowed(allowed)
    }

    /// The settings alone.
    pub fn into_settings(self) -> Settings {
        self.settings
    }

    /// The configuration as TOML, secrets masked, the source of each value as a trailing comment.
    pub fn to_toml(&self) -> String {
        print::to_toml(&self.settings, &self.leaves)
    }
}

/// Reads settings from leaves; a value of the wrong type is noted and its default used instead,
/// so that one mistake does not hide another.
pub(super) struct Reader<'a> {
    pub(super) leaves: &'a Leaves,
    errors: Vec<ConfigError>,
    failed: BTreeSet<&'static str>,
}

impl Reader<'_> {
    /// The value of one key.
    pub(super) fn leaf<T: Setting>(&mut self, key: &'static str) -> T {
        let leaf = &self.leaves[key];
        if let Some(value) = T::parse(leaf) {
            return value;
        }
        self.fail::<T>(key, key, leaf);
        T::parse(&DEFAULTS[key]).expect("the built-in defaults are of the right type")
    }

    /// The value of one key whose parts are refused one by one: where, what is wrong, what is allowed.
    pub(super) fn leaf_in_parts<T: Default>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Leaf) -> Result<T, Vec<(String, String, &'static str)>>,
    ) -> T {
        let leaf = &self.leaves[key];
        parse(leaf).unwrap_or_else(|mistakes| {
            self.failed.insert(key);
            self.errors.extend(mistakes.into_iter().map(|(place, problem, allowed)| {
                ConfigError::new(place, &leaf.origin, problem).allowed(allowed)
            }));
            T::default()
        })
    }

    /// Every value below a table whose keys are the user's.
    pub(super) fn free_table(&mut self, key: &'static str) -> BTreeMap<String, String> {
        let mut table = BTreeMap::new();
        for (full, leaf) in below(self.leaves, key) {
            match String::parse(leaf) {
                Some(text) => drop(table.insert(full[key.len() + 1..].to_owned(), text)),
                None => self.fail::<String>(key, full, leaf),
            }
        }
        table
    }

    /// Notes what is wrong with a part of `key`, which is then not checked any further.
    pub(super) fn reject(&mut self, key: &'static str, error: ConfigError) {
        self.errors.push(error);
        self.failed.insert(key);
    }

    fn fail<T: Setting>(&mut self, key: &'static str, shown: &str, leaf: &Leaf) {
        let problem = format!("{} is not allowed", describe(shown, &leaf.value));
        self.errors.push(ConfigError::new(shown, &leaf.origin, problem).allowed(T::ALLOWED));
        self.failed.insert(key);
    }
}

/// The leaves below a table.
pub(super) fn below<'a>(leaves: &'a Leaves, table: &'a str) -> impl Iterator<Item = (&'a String, &'a Leaf)> {
    let is_below = move |key: &str| key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'));
    leaves.iter().filter(move |(key, _)| is_below(key))
}

/// The value as written, unless it may hold a secret.
pub(super) fn describe(key: &str, value: &ValueKind) -> String {
    match value {
        _ if print::is_secret(key) => "the value".to_owned(),
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Array(_) => "this list".to_owned(),
        value => value.to_string(),
    }
}
