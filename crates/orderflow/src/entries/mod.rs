//! Entries of the stream as the command shows them, picks them and keeps them in files.

mod filter;
mod json;
mod line;
mod pages;
mod record;

pub(crate) use filter::EntryFilter;
pub(crate) use json::{EntryJson, FieldsJson};
pub(crate) use line::line;
pub(crate) use pages::Pages;
pub(crate) use record::Record;

/// What `--help` says of entries as JSON.
pub(crate) const JSON_HELP: &str = "\
An entry as JSON is {\"id\": …, \"fields\": {\"name\": \"value\", …}}, the fields in their order. A value that is not UTF-8 is \
{\"base64\": …}; where a name is not UTF-8, or comes twice, fields is an array of [name, value] instead.";
