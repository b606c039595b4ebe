//! Layering, unknown keys, checks and printing, against an injected environment.

mod checks;
mod layers;
mod printing;
mod rows;

use std::ffi::OsString;

use super::{ConfigArgs, ConfigErrors, Resolved, Settings};

fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (OsString, OsString)> + 'a {
    pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)))
}

fn args(set: &[&str]) -> ConfigArgs {
    ConfigArgs { set: set.iter().map(ToString::to_string).collect(), ..ConfigArgs::default() }
}

fn load(args: &ConfigArgs, pairs: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    Resolved::load(args, env(pairs)).map(Resolved::into_settings)
}

/// The error lines of a configuration that must be refused.
fn refused(args: &ConfigArgs, pairs: &[(&str, &str)]) -> Vec<String> {
    let errors = load(args, pairs).expect_err("the configuration is refused");
    let lines: Vec<_> = errors.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), errors.as_slice().len(), "one line for each error");
    lines
}
