//! Reads one layer of configuration into leaves: dotted keys with a value and its origin.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use ::config::{File, FileFormat, Map, Source, Value, ValueKind};

use super::ConfigArgs;
use super::error::ConfigError;

/// Prefix of the environment variables that set a key; `__` separates section and key.
pub(super) const ENV_PREFIX: &str = "ORDERFLOW__";
const FILE_SUFFIX: &str = "__FILE";
const REDIS_URL: &str = "REDIS_URL";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File(PathBuf),
    Env(String),
    EnvFile { variable: String, path: PathBuf },
    Flag(String),
}

impl Origin {
    /// Whether the value is bare text (environment, flags) and has still to be given its type.
    pub(super) fn is_text(&self) -> bool {
        !matches!(self, Self::Default | Self::File(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) | Self::Flag(name) => f.write_str(name),
            Self::EnvFile { variable, path } => write!(f, "{variable}={}", path.display()),
        }
    }
}

/// One value and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Leaf {
    pub(super) value: ValueKind,
    pub(super) origin: Origin,
}

/// Dotted key to leaf. Later layers replace earlier ones key by key.
pub(super) type Leaves = BTreeMap<String, Leaf>;

/// The leaves of a TOML text.
///
/// # Errors
/// The parser's message on one line.
pub(super) fn from_toml(text: &str, origin: &Origin) -> Result<Leaves, String> {
    let table = File::from_str(text, FileFormat::Toml).collect().map_err(|error| one_line(&error))?;
    let mut leaves = Leaves::new();
    flatten("", table, origin, &mut leaves);
    Ok(leaves)
}

fn flatten(prefix: &str, table: Map<String, Value>, origin: &Origin, leaves: &mut Leaves) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value.kind {
            ValueKind::Table(inner) => flatten(&key, inner, origin, leaves),
            value => {
                leaves.insert(key, Leaf { value, origin: origin.clone() });
            }
        }
    }
}

/// Position and cause from the parser's report, without its drawing of the source text (which
/// could show a secret).
fn one_line(error: &dyn fmt::Display) -> String {
    let report = error.to_string();
    let mut lines = report.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    match lines.rfind(|line| !line.contains('|')) {
        Some(cause) => format!("{first}: {cause}"),
        None => first.to_owned(),
    }
}

/// The leaves of a `--config` file.
pub(super) fn from_file(path: &Path, errors: &mut Vec<ConfigError>) -> Leaves {
    let origin = Origin::File(path.to_owned());
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read the file: {error}"));
    text.and_then(|text| from_toml(&text, &origin)).unwrap_or_else(|problem| {
        errors.push(ConfigError::new("--config", &origin, problem).allowed("a readable TOML file"));
        Leaves::new()
    })
}

/// The leaves of the environment: `REDIS_URL`, then everything that starts with [`ENV_PREFIX`].
pub(super) fn from_env(
    env: impl IntoIterator<Item = (OsString, OsString)>,
    errors: &mut Vec<ConfigError>,
) -> Leaves {
    let mut variables = BTreeMap::new();
    for (name, value) in env {
        let Some(name) = name.to_str().filter(|name| *name == REDIS_URL || name.starts_with(ENV_PREFIX))
        else {
            continue;
        };
        match value.into_string() {
            Ok(value) => drop(variables.insert(name.to_owned(), value)),
            Err(_) => errors.push(ConfigError::new(env_key(name), name, "is not UTF-8 text")),
        }
    }

    let mut leaves = Leaves::new();
    // Compose files often pass an unset variable on as an empty one.
    if let Some(url) = variables.remove(REDIS_URL).filter(|url| !url.is_empty()) {
        leaves.insert("redis.url".to_owned(), text_leaf(url, Origin::Env(REDIS_URL.to_owned())));
    }
    for (name, value) in &variables {
        match name.strip_suffix(FILE_SUFFIX) {
            Some(plain) if variables.contains_key(plain) => {
                let problem = format!("is set together with {plain}");
                errors.push(ConfigError::new(env_key(name), name, problem).allowed("one of the two"));
            }
            Some(plain) => match std::fs::read_to_string(value) {
                Ok(text) => {
                    let origin = Origin::EnvFile { variable: name.clone(), path: PathBuf::from(value) };
                    let text = text.strip_suffix('\n').unwrap_or(&text);
                    let text = text.strip_suffix('\r').unwrap_or(text);
                    leaves.insert(env_key(plain), text_leaf(text.to_owned(), origin));
                }
                Err(error) => {
                    let problem = format!("cannot read {value}: {error}");
                    errors.push(ConfigError::new(env_key(plain), name, problem).allowed("a readable file"));
                }
            },
            None => {
                leaves.insert(env_key(name), text_leaf(value.clone(), Origin::Env(name.clone())));
            }
        }
    }
    leaves
}

/// The leaves of the flags.
pub(super) fn from_args(args: &ConfigArgs, errors: &mut Vec<ConfigError>) -> Leaves {
    let mut leaves = Leaves::new();
    for assignment in &args.set {
        match assignment.split_once('=') {
            Some((key, value)) => {
                let origin = Origin::Flag(format!("--set {key}"));
                leaves.insert(key.trim().to_owned(), text_leaf(value.to_owned(), origin));
            }
            None => errors
                .push(ConfigError::new(assignment, "--set", "has no value").allowed("section.key=value")),
        }
    }
    let named = [
        ("redis.url", "--redis-url", &args.redis_url),
        ("stream.key", "--stream", &args.stream),
        ("log.format", "--log-format", &args.log_format),
    ];
    for (key, flag, value) in named {
        if let Some(value) = value {
            leaves.insert(key.to_owned(), text_leaf(value.clone(), Origin::Flag(flag.to_owned())));
        }
    }
    leaves
}

fn text_leaf(text: String, origin: Origin) -> Leaf {
    Leaf { value: ValueKind::String(text), origin }
}

/// `ORDERFLOW__REDIS__URL` → `redis.url`.
fn env_key(variable: &str) -> String {
    let path = variable.strip_prefix(ENV_PREFIX).unwrap_or(variable);
    path.to_ascii_lowercase().replace("__", ".")
}
