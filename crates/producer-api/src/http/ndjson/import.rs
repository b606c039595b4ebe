//! One NDJSON request under way: reads lines while those before them are being written, and answers in order.
//!
//! At most two batches are held: one that is being written and one that fills meanwhile, so that a request is as fast
//! as batches are, a single line does not wait for company, and the IDs of a request are in stream order. While both are
//! full, and while the client does not take its results, nothing is read: that is the backpressure.

use std::{pin::Pin, time::Duration};

use axum::body::Bytes;
use futures_util::StreamExt as _;
use order_events::{BodyError, ParseContext, parse_event};
use service_kit::{Problem, auth::Caller};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{sleep, timeout},
};

use super::{
    batch::{Batch, LineResult, Written, to_ndjson},
    framing::{Line, Lines},
};
use crate::{
    app::App,
    clock::unix_ms,
    dedup::{self, NewEvent},
    http::{
        encoding::{Chunks, Fault},
        problems,
        publish::Wishes,
    },
};

type Writing = Pin<Box<dyn Future<Output = Written> + Send>>;

/// Where lines come from and results go to.
pub(super) struct Import {
    pub(super) app: App,
    pub(super) chunks: Chunks,
    pub(super) answer: mpsc::Sender<Bytes>,
    /// Who pays for the lines.
    pub(super) caller: Caller,
    /// One of the requests that may be under way.
    pub(super) permit: OwnedSemaphorePermit,
    /// What holds for every line.
    pub(super) wishes: Wishes,
}

/// On what terms lines are taken.
#[derive(Clone, Copy)]
struct Terms<'a> {
    app: &'a App,
    /// Who pays for them.
    caller: &'a Caller,
    /// The request's `Idempotency-Key`.
    key: Option<&'a str>,
}

/// How the body goes on.
enum Input {
    /// There may be more.
    Open,
    /// It has ended as it should.
    Complete,
    /// It was given up. If the client can be told, this is what the first line that was not taken is told.
    GivenUp(Option<Problem>),
}

/// What happened first.
enum Event {
    Written(Written),
    Chunk(Option<Result<Bytes, Fault>>),
    Silence,
    Shutdown,
}

impl Import {
    /// Runs to the end of the request, however it ends. What has been read is written and awaited, also if nobody
    /// listens any more.
    pub(super) async fn run(self, first: Option<Bytes>) {
        let Self { app, mut chunks, answer, caller, wishes, permit: _permit } = self;
        let durability = wishes.durability.unwrap_or_else(|| app.durability());
        let terms = Terms { app: &app, caller: &caller, key: wishes.key.as_deref() };
        let limits = app.ndjson();
        let mut lines = Lines::new(limits.line_bytes);
        let mut input = if first.is_some() { Input::Open } else { Input::Complete };
        let mut piece = first.unwrap_or_default();
        let mut next = Batch::default();
        let mut writing: Option<Writing> = None;
        let mut in_vain = false;
        loop {
            fill(&mut next, limits.batch_lines, &mut lines, &mut piece, terms);
            if piece.is_empty()
                && matches!(input, Input::Complete)
                && let Some(line) = lines.last()
            {
                take(&mut next, line, terms);
            }
            if writing.is_none() && !next.is_empty() {
                writing = Some(Box::pin(std::mem::take(&mut next).write(app.clone(), durability, in_vain)));
                continue;
            }
            let open = matches!(input, Input::Open);
            if writing.is_none() && !open {
                break;
            }
            let reads = open && piece.is_empty() && !next.is_full(limits.batch_lines);
            let event = tokio::select! {
                biased;
                written = async { writing.as_mut().expect("checked").await }, if writing.is_some() => Event::Written(written),
                () = app.shutdown().cancelled(), if open => Event::Shutdown,
                chunk = chunks.next(), if reads => Event::Chunk(chunk),
                () = sleep(limits.idle_timeout), if reads => Event::Silence,
            };
            match event {
                Event::Written(written) => {
                    writing = None;
                    in_vain = written.in_vain;
                    if !send(&answer, written.results, limits.idle_timeout).await {
                        return;
                    }
                }
                Event::Chunk(Some(Ok(chunk))) => piece = chunk,
                Event::Chunk(None) => input = Input::Complete,
                Event::Chunk(Some(Err(fault @ (Fault::Silent | Fault::Corrupt(_))))) => {
                    input = Input::GivenUp(Some(fault.problem()));
                }
                Event::Chunk(Some(Err(Fault::Broken(reason)))) => {
                    tracing::debug!(reason, "an NDJSON request ended early");
                    input = Input::GivenUp(None);
                }
                Event::Silence => input = Input::GivenUp(Some(problems::silent())),
                Event::Shutdown => {
                    piece = Bytes::new();
                    input = Input::GivenUp(Some(problems::shutting_down()));
                }
            }
        }
        if let Input::GivenUp(Some(problem)) = input {
            let last =
                LineResult::problem(lines.upcoming(), &problem.with("stored", "no").with("last", true));
            send(&answer, to_ndjson([last]), limits.idle_timeout).await;
        }
    }
}

/// Takes lines off a piece until the batch is full or the piece used up.
fn fill(batch: &mut Batch, lines_max: usize, lines: &mut Lines, piece: &mut Bytes, terms: Terms<'_>) {
    while !batch.is_full(lines_max)
        && let Some(line) = lines.next(piece)
    {
        take(batch, line, terms);
    }
}

fn take(batch: &mut Batch, line: Line, terms: Terms<'_>) {
    let app = terms.app;
    match line {
        Line::Whole { number, text } => match event(number, &text, terms) {
            Ok(event) => match terms.caller.charge(1) {
                Ok(()) => batch.push(number, text.len(), event),
                Err(over) => batch.refuse(number, &problems::over_limit(over)),
            },
            Err(problem) => {
                app.metrics().rejected(1);
                batch.refuse(number, &problem);
            }
        },
        Line::TooLong { number } => {
            app.metrics().rejected(1);
            batch.refuse(number, &problems::line_too_long(app.ndjson().line_bytes));
        }
    }
}

/// The event of a line, or why it is refused. Whatever else a single event has to pass, it passes here.
///
/// Under an `Idempotency-Key` each line has a key of its own, `<key>#<line>`.
fn event(line: u64, text: &[u8], terms: Terms<'_>) -> Result<NewEvent, Problem> {
    let Terms { app, caller, key } = terms;
    let context = ParseContext { types: app.types(), now_ms: unix_ms() };
    let event = parse_event(text, &context).map_err(|error| match error {
        BodyError::Malformed { column, message, .. } => problems::malformed_line(column, &message),
        error => problems::invalid_body(&error),
    })?;
    let key = key.map(|key| format!("{key}#{line}"));
    Ok(dedup::single(event, key.as_deref(), dedup::Caller(caller.id())))
}

/// Gives results to the client; false if it has gone or does not take them.
async fn send(answer: &mpsc::Sender<Bytes>, results: Bytes, idle_timeout: Duration) -> bool {
    let Ok(sent) = timeout(idle_timeout, answer.send(results)).await else {
        let idle_ms = idle_timeout.as_millis() as u64;
        tracing::info!(idle_ms, "an NDJSON request was ended: its client does not read the answer");
        return false;
    };
    sent.is_ok()
}
