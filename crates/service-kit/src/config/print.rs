//! The effective configuration as TOML, with sources and without secrets.

use std::fmt::Write as _;

use super::Settings;
use super::layer::Leaves;
use super::resolve::below;
use super::schema::last_segment;

/// Whether a key's value must not be shown: `redis.url` and `auth.keys` (shown masked by their types) and
/// anything named like a credential.
pub(super) fn is_secret(key: &str) -> bool {
    matches!(key, "redis.url" | "auth.keys") || is_credential(key)
}

fn is_credential(key: &str) -> bool {
    let name = last_segment(key);
    let words = ["token", "password", "secret", "secrets"];
    name.ends_with("api_key") || words.iter().any(|word| name.split('_').any(|part| part == *word))
}

pub(super) fn to_toml(settings: &Settings, leaves: &Leaves) -> String {
    let mut toml = String::new();
    for (section, entries) in settings.entries() {
        let gap = if toml.is_empty() { "" } else { "\n" };
        _ = writeln!(toml, "{gap}[{section}]");
        for (key, value) in entries {
            let value =
                if is_credential(key) && value != "\"\"" && value != "[]" { "\"***\"" } else { &value };
            _ = writeln!(toml, "{} = {value} # {}", last_segment(key), source(key, leaves));
        }
    }
    toml
}

/// Where the value came from; for a free table, where each of its values did.
fn source(key: &str, leaves: &Leaves) -> String {
    if let Some(leaf) = leaves.get(key) {
        return leaf.origin.to_string();
    }
    let mut sources: Vec<_> = below(leaves, key).map(|(_, leaf)| leaf.origin.to_string()).collect();
    sources.dedup();
    if sources.is_empty() { "default".to_owned() } else { sources.join(", ") }
}
