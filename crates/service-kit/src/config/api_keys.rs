//! [`ApiKeys`]: the entries of `auth.keys`, in the configuration and in the file of `auth.keys_file`.

use std::fmt::Write as _;
use std::path::Path;

use ::config::{Map, Value, ValueKind};
use jiff::Timestamp;

use super::layer::{self, Leaf, Origin};
use super::resolve::Reader;
use super::value::{Setting, quote};
use crate::auth::{Digest, Scope, Scopes};

const KEY: &str = "auth.keys";
/// Each is looked at for every request, and is a label of metrics.
const KEYS_MAX: usize = 1_000;
const ID_MAX: usize = 64;
/// What a caller without a key is called.
const RESERVED_ID: &str = "anonymous";
/// From three an hour to what no server does.
const RATE: (f64, f64) = (0.001, 1_000_000.0);
const BURST_MAX: u32 = 1_000_000;
const MEMBERS: [&str; 6] = ["id", "sha256", "scopes", "rate_per_second", "burst", "expires"];

/// Who may present which key, and what for. The keys themselves are not here.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(Vec<ApiKeyEntry>);

/// One key.
#[derive(Debug, Clone)]
pub struct ApiKeyEntry {
    /// What it is called, in logs and metrics too.
    pub id: String,
    /// The SHA-256 of the key.
    pub digest: Digest,
    /// What it may be used for; not empty.
    pub scopes: Scopes,
    /// Requests and events a second; `None`: any number.
    pub rate_per_second: Option<f64>,
    /// Requests and events at once, where there is a rate; `None`: a second's worth, at least the largest batch.
    pub burst: Option<u32>,
    /// From when on it is not taken any more.
    pub expires: Option<Timestamp>,
}

/// What is wrong with an entry, and what would be right.
struct Mistake {
    key: String,
    problem: String,
    allowed: &'static str,
}

impl ApiKeys {
    /// The entries, names and keys distinct.
    pub fn entries(&self) -> &[ApiKeyEntry] {
        &self.0
    }

    /// The entries.
    pub fn into_entries(self) -> Vec<ApiKeyEntry> {
        self.0
    }

    /// The entries of a file that holds `auth.keys` as the configuration does, and nothing else.
    ///
    /// # Errors
    /// A line for each mistake; no line holds what was written for a hash.
    pub(crate) fn from_file(text: &str, path: &Path) -> Result<Self, Vec<String>> {
        let leaves =
            layer::from_toml(text, &Origin::File(path.to_owned())).map_err(|problem| vec![problem])?;
        let mut problems: Vec<_> = leaves
            .keys()
            .filter(|key| *key != KEY)
            .map(|key| format!("{key}: does not belong here; allowed: [[auth.keys]] alone"))
            .collect();
        let nothing = || {
            Err(vec![Mistake::new(KEY, "is not there", "a [[auth.keys]] for each key, or `auth.keys = []`")])
        };
        let keys = leaves.get(KEY).map_or_else(nothing, |leaf| parse(&leaf.value));
        match keys {
            Ok(keys) if problems.is_empty() => return Ok(keys),
            Ok(_) => {}
            Err(mistakes) => problems.extend(mistakes.iter().map(Mistake::line)),
        }
        Err(problems)
    }
}

impl ApiKeyEntry {
    /// Whether no name and no key is there twice.
    pub(crate) fn check_distinct(entries: &[Self]) -> Result<(), Vec<String>> {
        distinct(entries).map_err(|mistakes| mistakes.iter().map(Mistake::line).collect())
    }

    /// As an inline table.
    fn to_toml(&self) -> String {
        let scopes: Vec<_> = self.scopes.iter().map(|scope| quote(scope.as_str())).collect();
        let mut toml = format!(
            "{{ id = {}, sha256 = \"{}…\", scopes = [{}]",
            quote(&self.id),
            self.digest.short(),
            scopes.join(", ")
        );
        if let Some(rate) = self.rate_per_second {
            _ = write!(toml, ", rate_per_second = {rate:?}");
        }
        if let Some(burst) = self.burst {
            _ = write!(toml, ", burst = {burst}");
        }
        if let Some(expires) = self.expires {
            _ = write!(toml, ", expires = \"{expires}\"");
        }
        toml.push_str(" }");
        toml
    }
}

impl Mistake {
    fn new(key: impl Into<String>, problem: impl Into<String>, allowed: &'static str) -> Self {
        Self { key: key.into(), problem: problem.into(), allowed }
    }

    fn line(&self) -> String {
        format!("{}: {}; allowed: {}", self.key, self.problem, self.allowed)
    }
}

impl Setting for ApiKeys {
    const ALLOWED: &'static str =
        "a list of tables with id, sha256 and scopes, as `orderflow key new` prints them";

    fn parse(leaf: &Leaf) -> Option<Self> {
        parse(&leaf.value).ok()
    }

    fn to_toml(&self) -> String {
        let entries: Vec<_> = self.0.iter().map(ApiKeyEntry::to_toml).collect();
        format!("[{}]", entries.join(", "))
    }

    fn read(reader: &mut Reader<'_>, key: &'static str) -> Self {
        reader.leaf_in_parts(key, |leaf| {
            let parsed = match &leaf.value {
                // In the environment and in flags it is TOML as well.
                ValueKind::String(text) if leaf.origin.is_text() => match inline(text, &leaf.origin) {
                    Some(value) => parse(&value),
                    None => Err(vec![Mistake::new(KEY, "the value is not allowed", Self::ALLOWED)]),
                },
                value => parse(value),
            };
            parsed.map_err(|mistakes| {
                mistakes.into_iter().map(|mistake| (mistake.key, mistake.problem, mistake.allowed)).collect()
            })
        })
    }
}

/// A list as TOML writes it in one place, such as `[{id = "a", …}]`.
fn inline(text: &str, origin: &Origin) -> Option<ValueKind> {
    let mut leaves = layer::from_toml(&format!("keys = {text}"), origin).ok()?;
    let keys = leaves.remove("keys")?;
    leaves.is_empty().then_some(keys.value)
}

fn parse(value: &ValueKind) -> Result<ApiKeys, Vec<Mistake>> {
    let ValueKind::Array(items) = value else {
        return Err(vec![Mistake::new(KEY, "the value is not allowed", ApiKeys::ALLOWED)]);
    };
    if items.len() > KEYS_MAX {
        return Err(vec![Mistake::new(KEY, format!("holds {} keys", items.len()), "at most 1000")]);
    }
    let mut mistakes = Vec::new();
    let entries: Vec<_> =
        items.iter().enumerate().filter_map(|(index, item)| entry(index, item, &mut mistakes)).collect();
    if let Err(more) = distinct(&entries) {
        mistakes.extend(more);
    }
    if mistakes.is_empty() { Ok(ApiKeys(entries)) } else { Err(mistakes) }
}

fn distinct(entries: &[ApiKeyEntry]) -> Result<(), Vec<Mistake>> {
    let mut mistakes = Vec::new();
    if entries.len() > KEYS_MAX {
        mistakes.push(Mistake::new(KEY, format!("holds {} keys", entries.len()), "at most 1000"));
    }
    for (index, entry) in entries.iter().enumerate() {
        let before = &entries[..index];
        if before.iter().any(|other| other.id == entry.id) {
            let problem = format!("the id {:?} is there twice", entry.id);
            mistakes.push(Mistake::new(KEY, problem, "each id once"));
        }
        if let Some(other) = before.iter().find(|other| other.digest.is(&entry.digest)) {
            let problem = format!("{:?} and {:?} have the same sha256", other.id, entry.id);
            mistakes.push(Mistake::new(KEY, problem, "each key once"));
        }
    }
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

/// One entry, or what is wrong with it: all of it.
fn entry(index: usize, item: &Value, mistakes: &mut Vec<Mistake>) -> Option<ApiKeyEntry> {
    let place = format!("{KEY}[{index}]");
    let ValueKind::Table(table) = &item.kind else {
        mistakes.push(Mistake::new(place, "is not a table", ApiKeys::ALLOWED));
        return None;
    };
    let mut fields = Fields { place, table, mistakes };
    fields.reject_unknown();
    let id =
        fields.read("id", true, id, "1 to 64 letters, digits, dots, hyphens and underscores; not anonymous");
    let digest =
        fields.read("sha256", true, digest, "64 hexadecimal digits: the SHA-256 of the key, not the key");
    let scopes = fields.read("scopes", true, scopes, "a list of at least one of produce, read and admin");
    let rate_per_second = fields.read("rate_per_second", false, rate, "a number from 0.001 to 1000000");
    let burst = fields.read("burst", false, burst, "a whole number from 1 to 1000000");
    let expires = fields.read("expires", false, expires, "a moment such as 2027-01-31T00:00:00Z (RFC 3339)");
    if burst.is_some() && !table.contains_key("rate_per_second") {
        let key = format!("{}.burst", fields.place);
        fields.mistakes.push(Mistake::new(key, "is there without rate_per_second", "both, or none"));
    }
    Some(ApiKeyEntry { id: id?, digest: digest?, scopes: scopes?, rate_per_second, burst, expires })
}

struct Fields<'a> {
    place: String,
    table: &'a Map<String, Value>,
    mistakes: &'a mut Vec<Mistake>,
}

impl Fields<'_> {
    fn reject_unknown(&mut self) {
        let mut unknown: Vec<_> =
            self.table.keys().filter(|name| !MEMBERS.contains(&name.as_str())).collect();
        unknown.sort();
        for name in unknown {
            let key = format!("{}.{name}", self.place);
            let allowed = "id, sha256, scopes, rate_per_second, burst and expires";
            self.mistakes.push(Mistake::new(key, "unknown key", allowed));
        }
    }

    /// A member, noted if it is not what it should be, or not there.
    fn read<T>(
        &mut self,
        name: &str,
        required: bool,
        parse: fn(&ValueKind) -> Option<T>,
        allowed: &'static str,
    ) -> Option<T> {
        let value = self.table.get(name);
        let parsed = value.and_then(|value| parse(&value.kind));
        if parsed.is_none() && (required || value.is_some()) {
            // Never what was written: it may be the key itself.
            let problem = if value.is_some() { "the value is not allowed" } else { "is missing" };
            self.mistakes.push(Mistake::new(format!("{}.{name}", self.place), problem, allowed));
        }
        parsed
    }
}

fn text(value: &ValueKind) -> Option<&str> {
    match value {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}

/// Whether this can be the name of a key.
pub fn is_key_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(allowed) && id != RESERVED_ID
}

fn id(value: &ValueKind) -> Option<String> {
    text(value).filter(|id| is_key_id(id)).map(str::to_owned)
}

fn digest(value: &ValueKind) -> Option<Digest> {
    Digest::from_hex(text(value)?)
}

fn scopes(value: &ValueKind) -> Option<Scopes> {
    let ValueKind::Array(items) = value else { return None };
    let scopes: Option<Scopes> = items.iter().map(|item| Scope::from_word(text(&item.kind)?)).collect();
    scopes.filter(|scopes| !scopes.is_empty())
}

fn rate(value: &ValueKind) -> Option<f64> {
    let rate = match value {
        ValueKind::Float(rate) => *rate,
        ValueKind::I64(rate) => i32::try_from(*rate).ok()?.into(),
        _ => return None,
    };
    (RATE.0..=RATE.1).contains(&rate).then_some(rate)
}

fn burst(value: &ValueKind) -> Option<u32> {
    match value {
        ValueKind::I64(burst) => u32::try_from(*burst).ok().filter(|burst| (1..=BURST_MAX).contains(burst)),
        _ => None,
    }
}

fn expires(value: &ValueKind) -> Option<Timestamp> {
    text(value)?.parse().ok()
}
