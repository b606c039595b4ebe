//! Lists of tables, such as `[[webhook.endpoints]]`: one struct a row, each field a setting of its own.
//!
//! In the environment and in flags such a list is written as TOML: `[{name = "a", url = "https://…"}]`. In what is
//! printed each field is shown as its type shows it, so that secrets stay masked inside a row too.

use std::time::Duration;

use ::config::{File, FileFormat, Map, Source, Value, ValueKind};

use super::error::ConfigError;
use super::layer::{Leaf, Origin};
use super::resolve::{Reader, describe};
use super::types::{HttpUrl, Secret};
use super::value::Setting;

/// The most rows of one list.
const ROWS_MAX: usize = 100;

/// One row, being read.
pub(super) struct RowReader<'a> {
    /// The key of the list and the row's number, for messages: `webhook.endpoints[0]`.
    key: &'a str,
    table: Map<String, Value>,
    origin: &'a Origin,
    errors: Vec<ConfigError>,
}

/// A type that is a row of a list of tables.
pub(super) trait Row: Sized {
    /// Reads every field, so that every mistake is told.
    fn read(row: &mut RowReader<'_>) -> Option<Self>;
    /// The row as an inline table, secrets masked.
    fn to_toml(&self) -> String;
}

impl RowReader<'_> {
    /// The value of a field, its default where it is absent.
    fn field<T: Setting>(&mut self, name: &'static str, default: Option<ValueKind>) -> Option<T> {
        let shown = format!("{}.{name}", self.key);
        let (value, origin) = match (self.table.remove(name), default) {
            (Some(value), _) => (value.kind, self.origin.clone()),
            (None, Some(default)) => (default, Origin::Default),
            (None, None) => {
                self.errors.push(ConfigError::new(shown, self.origin, "is missing").allowed(T::ALLOWED));
                return None;
            }
        };
        let leaf = Leaf { value, origin };
        let read = T::parse(&leaf);
        if read.is_none() {
            let problem = format!("{} is not allowed", describe(name, &leaf.value));
            self.errors.push(ConfigError::new(shown, self.origin, problem).allowed(T::ALLOWED));
        }
        read
    }
}

impl Reader<'_> {
    /// Every row of a list of tables.
    pub(super) fn rows<T: Row>(&mut self, key: &'static str) -> Vec<T> {
        let leaf = &self.leaves[key];
        let Some(tables) = tables(leaf) else {
            // Never the text: it may hold a secret.
            let problem = "is not a list of tables";
            self.reject(key, ConfigError::new(key, &leaf.origin, problem).allowed(ALLOWED));
            return Vec::new();
        };
        if tables.len() > ROWS_MAX {
            let problem = format!("has {} rows", tables.len());
            self.reject(
                key,
                ConfigError::new(key, &leaf.origin, problem).allowed(format!("at most {ROWS_MAX}")),
            );
            return Vec::new();
        }
        let mut rows = Vec::with_capacity(tables.len());
        for (index, table) in tables.into_iter().enumerate() {
            let shown = format!("{key}[{index}]");
            let mut row = RowReader { key: &shown, table, origin: &leaf.origin, errors: Vec::new() };
            let read = T::read(&mut row);
            for name in row.table.keys() {
                row.errors.push(ConfigError::new(format!("{shown}.{name}"), &leaf.origin, "unknown key"));
            }
            rows.extend(read);
            for error in row.errors {
                self.reject(key, error);
            }
        }
        rows
    }
}

const ALLOWED: &str = "a list of tables (in the environment and in flags as TOML, such as [{name = \"a\", url = \"https://host/\"}])";

/// The tables of a list; `None` if it is none.
fn tables(leaf: &Leaf) -> Option<Vec<Map<String, Value>>> {
    let items = match &leaf.value {
        ValueKind::Array(items) => items.clone(),
        ValueKind::String(text) if leaf.origin.is_text() && text.trim().is_empty() => Vec::new(),
        ValueKind::String(text) if leaf.origin.is_text() => {
            let parsed = File::from_str(&format!("rows = {text}"), FileFormat::Toml).collect().ok()?;
            match parsed.get("rows").map(|rows| &rows.kind) {
                Some(ValueKind::Array(items)) => items.clone(),
                _ => return None,
            }
        }
        _ => return None,
    };
    items
        .into_iter()
        .map(|item| match item.kind {
            ValueKind::Table(table) => Some(table),
            _ => None,
        })
        .collect()
}

macro_rules! default {
    () => {
        None
    };
    ($default:expr) => {
        Some(ValueKind::from($default))
    };
}

macro_rules! rows {
    ($($(#[$meta:meta])* $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $ty:ty $(= $default:expr)?,)+
    })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $ty,)+
        }

        impl Row for $name {
            fn read(row: &mut RowReader<'_>) -> Option<Self> {
                $(let $field = row.field::<$ty>(stringify!($field), default!($($default)?));)+
                Some(Self { $($field: $field?,)+ })
            }

            fn to_toml(&self) -> String {
                let fields = [$(format!(concat!(stringify!($field), " = {}"), Setting::to_toml(&self.$field))),+];
                format!("{{ {} }}", fields.join(", "))
            }
        }

        impl Setting for Vec<$name> {
            const ALLOWED: &'static str = ALLOWED;

            fn parse(_: &Leaf) -> Option<Self> {
                None
            }

            fn to_toml(&self) -> String {
                format!("[{}]", self.iter().map(Row::to_toml).collect::<Vec<_>>().join(", "))
            }

            fn read(reader: &mut Reader<'_>, key: &'static str) -> Self {
                reader.rows(key)
            }
        }
    )+};
}

rows! {
    /// One receiver of webhooks.
    WebhookEndpoint {
        /// What it is called in metrics, in logs and in the marks of what was sent.
        name: String,
        /// Where requests go.
        url: HttpUrl,
        /// What requests are signed with, all of them: while a secret is replaced, both are here.
        secrets: Vec<Secret> = Vec::<String>::new(),
        /// A file with further secrets, one a line; empty for none.
        secrets_file: String = "",
        /// Types of events that it is told of; empty for all.
        types: Vec<String> = Vec::<String>::new(),
        /// Bounds one request, from the connection to the end of the answer.
        timeout: Duration = "5s",
        /// Whether it may be at an address of a private network, or on this machine.
        allow_private: bool = false,
    }
}
