//! The known keys, taken from the built-in defaults, and advice on unknown ones.

use std::sync::LazyLock;

use super::DEFAULTS_TOML;
use super::error::ConfigError;
use super::layer::{self, ENV_PREFIX, Leaves, Origin};

/// Tables whose keys are the user's.
const FREE_TABLES: [&str; 1] = ["notifications.templates"];
/// More edits than this and a known key is not what was meant.
const SUGGESTION_EDITS_MAX: usize = 3;

/// The leaves of the built-in defaults: exactly the known keys.
pub(super) static DEFAULTS: LazyLock<Leaves> = LazyLock::new(|| {
    layer::from_toml(DEFAULTS_TOML, &Origin::Default).expect("the built-in defaults are valid TOML")
});

/// Removes the leaves that the schema does not know, each with an error.
pub(super) fn reject_unknown(leaves: &mut Leaves, errors: &mut Vec<ConfigError>) {
    leaves.retain(|key, leaf| match problem_with(key, &leaf.origin) {
        Some(problem) => {
            errors.push(ConfigError::new(key, &leaf.origin, problem));
            false
        }
        None => true,
    });
}

fn problem_with(key: &str, origin: &Origin) -> Option<String> {
    if DEFAULTS.contains_key(key) {
        return None;
    }
    let prefix = format!("{key}.");
    if FREE_TABLES.contains(&key) || DEFAULTS.keys().any(|known| known.starts_with(&prefix)) {
        return Some("is a table, not a value".to_owned());
    }
    if FREE_TABLES.iter().any(|table| key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'))) {
        return None;
    }
    Some(match nearest(key) {
        Some(known) if matches!(origin, Origin::Env(_) | Origin::EnvFile { .. }) => {
            format!("unknown key; did you mean {}?", env_name(known))
        }
        Some(known) => format!("unknown key; did you mean {known}?"),
        None => "unknown key".to_owned(),
    })
}

/// The known key that is a few edits away, else the only one with the same last segment.
fn nearest(key: &str) -> Option<&'static str> {
    let by_edits = DEFAULTS
        .keys()
        .map(|known| (strsim::damerau_levenshtein(key, known), known.as_str()))
        .min()
        .filter(|(edits, _)| *edits <= SUGGESTION_EDITS_MAX);
    if let Some((_, known)) = by_edits {
        return Some(known);
    }
    let name = last_segment(key);
    let mut same_name = DEFAULTS.keys().filter(|known| last_segment(known) == name);
    let only = same_name.next()?;
    same_name.next().is_none().then_some(only.as_str())
}

/// The part of a dotted key after its last dot.
pub(super) fn last_segment(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// The environment variable that sets a key: `redis.url` → `ORDERFLOW__REDIS__URL`.
pub(crate) fn env_name(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}
