//! Lines that are written together, and what became of each of them.

use axum::body::Bytes;
use serde::Serialize;
use serde_json::Value;
use service_kit::{Problem, config::Durability};
use stream_core::StreamId;
use tokio::time::sleep;

use crate::{
    app::App,
    dedup::NewEvent,
    group_commit::{self, Cause, Outcome, Stored},
    http::problems,
};

/// A batch that has reached this size takes no further line. The size is that of its lines and of the problems of
/// those that were refused: about what it takes in memory.
const BATCH_BYTES: usize = 1024 * 1024;

/// What became of a line.
#[derive(Debug, Serialize)]
pub(super) struct LineResult {
    pub(super) line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<StreamId>,
    /// Whether it was there before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<Value>,
}

impl LineResult {
    fn stored(line: u64, written: group_commit::Written) -> Self {
        let group_commit::Written { id, replayed } = written;
        Self { line, id: Some(id), replayed, problem: None }
    }

    pub(super) fn problem(line: u64, problem: &Problem) -> Self {
        Self::refused(line, problem.to_json())
    }

    fn refused(line: u64, problem: Value) -> Self {
        Self { line, id: None, replayed: false, problem: Some(problem) }
    }
}

/// Results as the client gets them.
pub(super) fn to_ndjson(results: impl IntoIterator<Item = LineResult>) -> Bytes {
    let mut text = Vec::with_capacity(4096);
    for result in results {
        // Writing strings and numbers into memory does not fail.
        _ = serde_json::to_writer(&mut text, &result);
        text.push(b'\n');
    }
    text.into()
}

/// Lines in their order: events to be written, and lines that were refused.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The number of each line; the problem of those that were refused.
    lines: Vec<(u64, Option<Value>)>,
    events: Vec<NewEvent>,
    bytes: usize,
}

/// What a batch came to.
#[derive(Debug)]
pub(super) struct Written {
    /// The results of its lines.
    pub(super) results: Bytes,
    /// None of its events was stored, because Redis is away or refuses.
    pub(super) in_vain: bool,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether it takes no further line; `lines_max` bounds the lines.
    pub(super) fn is_full(&self, lines_max: usize) -> bool {
        self.lines.len() >= lines_max || self.bytes >= BATCH_BYTES
    }

    pub(super) fn push(&mut self, line: u64, bytes: usize, event: NewEvent) {
        self.lines.push((line, None));
        self.events.push(event);
        self.bytes += bytes;
    }

    pub(super) fn refuse(&mut self, line: u64, problem: &Problem) {
        let problem = problem.to_json();
        // A line of a few bytes can have a problem of kilobytes.
        self.bytes += json_bytes(&problem);
        self.lines.push((line, Some(problem)));
    }

    /// Writes the events, each of which has its outcome within the request deadline.
    pub(super) async fn write(self, app: App, durability: Durability, after_failure: bool) -> Written {
        if after_failure {
            // Redis is not asked, and lines are not used up, as fast as they can be read.
            sleep(super::PAUSE).await;
        }
        let Self { lines, events, bytes } = self;
        let outcomes = write(&app, durability, events, bytes).await;
        let futile = |outcome: &Outcome| {
            outcome.is_err_and(|failure| {
                failure.stored == Stored::No && matches!(failure.cause, Cause::Redis(_) | Cause::QueueFull)
            })
        };
        let in_vain = !outcomes.is_empty() && outcomes.iter().all(futile);
        let mut outcomes = outcomes.into_iter();
        let results = lines.into_iter().map(|(line, refused)| match refused {
            Some(problem) => LineResult::refused(line, problem),
            None => match outcomes.next() {
                Some(Ok(written)) => LineResult::stored(line, written),
                Some(Err(failure)) => {
                    LineResult::problem(line, &problems::not_stored(failure, app.admission()))
                }
                None => unreachable!("the queue has an outcome for each event"),
            },
        });
        Written { results: to_ndjson(results), in_vain }
    }
}

async fn write(app: &App, durability: Durability, events: Vec<NewEvent>, bytes: usize) -> Vec<Outcome> {
    let count = events.len();
    if count == 0 {
        return Vec::new();
    }
    let deadline = app.deadline();
    // At a hard cap nothing is read until there is room: else every line of an import would be answered 429.
    app.admission().open_by(deadline).await;
    match app.queue(durability).submit_by(events, bytes, deadline).await {
        Ok(ticket) => ticket.outcomes(deadline).await,
        Err(failure) => vec![Err(failure); count],
    }
}

/// About how many bytes of memory a JSON value takes.
fn json_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => 24 + text.len(),
        Value::Array(items) => 24 + items.iter().map(json_bytes).sum::<usize>(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| 48 + name.len() + json_bytes(value)).sum::<usize>()
        }
        _ => 16,
    }
}
