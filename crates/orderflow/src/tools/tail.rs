//! `orderflow tail`: follows the stream live, outside of any group.

use std::{process::ExitCode, str::FromStr, time::Duration};

use anyhow::Context as _;
use serde::{Serialize, Serializer, ser::SerializeMap};
use service_kit::config::ConfigArgs;
use stream_core::{Entry, ErrorKind, Fields, StreamId, Tail};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    configuration::Configuration,
    output::{news, printable, result},
    redis_access::Access,
};

/// How long one read waits for entries: also how soon a dead connection is noticed.
const BLOCK: Duration = Duration::from_secs(1);
/// Pause between two attempts to read while Redis is away.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of `orderflow tail`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Begin after this entry ID, or at the `start` of the stream, instead of now
    #[arg(long, value_name = "ID|start")]
    from: Option<Begin>,

    /// Print one JSON object a line: {"id": …, "fields": {…}}; bytes that are not UTF-8 become U+FFFD
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: ConfigArgs,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begin(StreamId);

impl FromStr for Begin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "start" => Ok(Self(StreamId::MIN)),
            id => id.parse().map(Self).map_err(|error| format!("{error}, or start")),
        }
    }
}

/// Runs the subcommand until it is interrupted.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load_for_tool(&args.config)?;
    let access = Access::open(&configuration.settings)?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    tokio::select! {
        followed = follow(&access, args.from, args.json) => followed?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends only with an error: the first connect must succeed, later ones are retried.
async fn follow(access: &Access, from: Option<Begin>, json: bool) -> anyhow::Result<()> {
    let connection = access.connector.blocking(BLOCK).map_err(|error| access.explain(&error))?;
    let after = from.map(|from| from.0);
    // A tail from an ID sends nothing until its first read, which may wait for long.
    access.stream.connection().ping().await.map_err(|error| access.explain(&error))?;
    let tail = access.stream.tail(connection, after, BLOCK).await;
    let mut tail = tail.map_err(|error| access.explain(&error))?;
    loop {
        for entry in next(access, &mut tail).await? {
            if json {
                result(serde_json::to_string(&Json(&entry))?)?;
            } else {
                result(human(&entry))?;
            }
        }
    }
}

/// The next entries, however long Redis is away in between; nothing is skipped.
async fn next(access: &Access, tail: &mut Tail) -> anyhow::Result<Vec<Entry>> {
    let mut away = false;
    loop {
        match tail.next().await {
            Ok(entries) => {
                if away {
                    news("Redis answers again");
                }
                return Ok(entries);
            }
            Err(error) if !is_passing(error.kind()) => return Err(access.explain(&error)),
            Err(error) => {
                if !away {
                    news(format_args!("Redis at {}: {error}; waiting for it", access.connector.address()));
                    away = true;
                }
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::Loading | ErrorKind::MaxClients)
}

/// ID, then the fields in their order as `name=value`.
fn human(entry: &Entry) -> String {
    let mut line = entry.id.to_string();
    for (name, value) in entry.fields.iter() {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        line.push_str("  ");
        line.push_str(&printable(&name));
        line.push('=');
        let quote = value.is_empty() || value.contains(' ');
        let value = printable(&value);
        let quotes = if quote { "\"" } else { "" };
        line.extend([quotes, &value, quotes]);
    }
    line
}

struct Json<'a>(&'a Entry);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(2))?;
        object.serialize_entry("id", &self.0.id)?;
        object.serialize_entry("fields", &JsonFields(&self.0.fields))?;
        object.end()
    }
}

/// In their order, duplicates kept, as the entry has them.
struct JsonFields<'a>(&'a Fields);

impl Serialize for JsonFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0.iter() {
            object.serialize_entry(&String::from_utf8_lossy(name), &String::from_utf8_lossy(value))?;
        }
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pairs: &[(&'static str, &'static str)]) -> Entry {
        Entry { id: StreamId::new(7, 1), fields: pairs.iter().copied().collect() }
    }

    #[test]
    fn an_entry_is_one_line_whatever_it_holds() {
        let entry = entry(&[("type", "order.paid"), ("note", "two words\n"), ("empty", "")]);
        assert_eq!(human(&entry), "7-1  type=order.paid  note=\"two words\\n\"  empty=\"\"");
    }

    #[test]
    fn json_keeps_order_and_duplicates() {
        let entry = entry(&[("b", "1"), ("a", "2"), ("b", "3")]);
        let json = serde_json::to_string(&Json(&entry)).unwrap();
        assert_eq!(json, r#"{"id":"7-1","fields":{"b":"1","a":"2","b":"3"}}"#);
    }

    #[test]
    fn where_to_begin_is_an_id_or_the_start() {
        assert_eq!("start".parse(), Ok(Begin(StreamId::MIN)));
        assert_eq!("5-1".parse(), Ok(Begin(StreamId::new(5, 1))));
        assert!("now".parse::<Begin>().unwrap_err().ends_with(", or start"));
    }
}
