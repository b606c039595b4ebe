//! Appends chunk by chunk at a rate, and knows at any time which lines are in the stream.

use std::{
    num::NonZeroU32,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde::Serialize;
use service_kit::config::{Retention, RetentionPolicy};
use stream_core::{Error, Fields, MemoryUse, NewEntry, StreamId};
use tokio_util::sync::CancellationToken;

use super::{
    Args, EXIT_INTERRUPTED, EXIT_REJECTED, EXIT_UNKNOWN,
    lines::{Chunk, Lines},
};
use crate::{
    bar::Bar,
    output::{entries as so_many, prose, result},
    redis_access::Access,
};

/// A rate is kept in so many steps a second, so that it is even.
const STEPS_A_SECOND: u32 = 10;
/// How often the server is asked how full it is.
const MEMORY_INTERVAL: Duration = Duration::from_secs(1);

/// What became of the entries.
#[derive(Debug, Default, Serialize)]
struct Tally {
    appended: u64,
    /// Lines of which it is not known whether they were appended.
    unknown_lines: Vec<u64>,
    /// Lines that were appended although an earlier one was not.
    appended_out_of_order: Vec<u64>,
    first_id: Option<StreamId>,
    last_id: Option<StreamId>,
    /// The line to go on at; `None` if everything is done.
    next_line: Option<u64>,
}

/// Why an import ended before the end of its file.
#[derive(Debug)]
pub(super) enum Stopped {
    Interrupted,
    /// A line is no entry.
    Rejected {
        line: u64,
        problem: String,
    },
    /// The stream is at its hard cap.
    Full(String),
    Failed(anyhow::Error),
}

/// An import under way.
#[derive(Debug)]
pub(super) struct Importer<'a> {
    access: &'a Access,
    cap: Option<Cap>,
    rate: Option<NonZeroU32>,
    started: Instant,
    tally: Tally,
}

/// From when on producer-api takes nothing any more.
#[derive(Debug)]
struct Cap {
    entries: u64,
    memory_percent: u64,
    asked: Option<Instant>,
}

impl<'a> Importer<'a> {
    pub(super) fn new(access: &'a Access, args: &Args, retention: &Retention) -> Self {
        let cap = (retention.policy == RetentionPolicy::Guarded).then_some(Cap {
            entries: retention.hard_cap_entries,
            memory_percent: retention.hard_cap_memory_percent,
            asked: None,
        });
        Self { access, cap, rate: args.rate, started: Instant::now(), tally: Tally::default() }
    }

    /// Appends everything; `None` if it came to the end.
    pub(super) async fn run(&mut self, lines: &mut Lines, cancel: &CancellationToken) -> Option<Stopped> {
        let mut progress = Bar::new(lines.bytes());
        let stopped = self.append_all(lines, cancel, &mut progress).await;
        progress.finish();
        stopped.err()
    }

    async fn append_all(
        &mut self,
        lines: &mut Lines,
        cancel: &CancellationToken,
        progress: &mut Bar,
    ) -> Result<(), Stopped> {
        while let Some(chunk) = self.next(lines, cancel).await? {
            let bytes_read = chunk.bytes_read;
            let mut rest = chunk.records.into_iter();
            loop {
                let size = self.rate.map_or(usize::MAX, |rate| (rate.get() / STEPS_A_SECOND).max(1) as usize);
                let mut entries = Vec::new();
                let mut rejected = None;
                for line in rest.by_ref().take(size) {
                    match line.record {
                        Ok(record) => entries.push((line.line, record.fields)),
                        Err(problem) => {
                            rejected = Some((line.line, problem));
                            break;
                        }
                    }
                }
                if !entries.is_empty() {
                    self.await_turn(entries[0].0, cancel).await?;
                    self.append(&entries).await?;
                }
                if let Some((line, problem)) = rejected {
                    self.tally.next_line = Some(line);
                    return Err(Stopped::Rejected { line, problem });
                }
                if entries.is_empty() {
                    break;
                }
            }
            let Tally { appended, .. } = self.tally;
            let rate = appended as f64 / self.started.elapsed().as_secs_f64().max(0.001);
            progress.advance(bytes_read, format_args!("{appended} appended, {rate:.0} entries/s"));
        }
        Ok(())
    }

    async fn next(
        &mut self,
        lines: &mut Lines,
        cancel: &CancellationToken,
    ) -> Result<Option<Chunk>, Stopped> {
        tokio::select! {
            // Waiting for standard input may take for ever.
            () = cancel.cancelled() => Err(Stopped::Interrupted),
            chunk = lines.next() => chunk.map_err(Stopped::Failed),
        }
    }

    /// Waits until the rate lets the next entries go.
    async fn await_turn(&mut self, line: u64, cancel: &CancellationToken) -> Result<(), Stopped> {
        self.tally.next_line = Some(line);
        let due = self.rate.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(self.tally.appended as f64 / f64::from(rate.get()))
        });
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Stopped::Interrupted),
            () = tokio::time::sleep(due.saturating_sub(self.started.elapsed())) => {}
        }
        match self.full().await {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(Stopped::Full(why)),
            Err(error) => Err(Stopped::Failed(self.access.explain(&error))),
        }
    }

    /// Why nothing may be added, by the rules that producer-api keeps.
    async fn full(&mut self) -> Result<Option<String>, Error> {
        let Some(cap) =
            self.cap.as_mut().filter(|cap| cap.asked.is_none_or(|at| at.elapsed() > MEMORY_INTERVAL))
        else {
            return Ok(None);
        };
        cap.asked = Some(Instant::now());
        let length = self.access.stream.length().await?;
        if length >= cap.entries {
            return Ok(Some(format!("it holds {length} entries, which is retention.hard_cap_entries")));
        }
        let MemoryUse { used, max } = MemoryUse::ask(self.access.stream.connection()).await?;
        let limit = max.saturating_mul(cap.memory_percent) / 100;
        Ok((max > 0 && used >= limit)
            .then(|| format!("Redis uses {used} bytes; from {limit} on (retention.hard_cap_memory_percent) it takes no more")))
    }

    async fn append(&mut self, entries: &[(u64, Fields)]) -> Result<(), Stopped> {
        // They are appended as new events however often they are imported.
        let new = entries.iter().map(|(_, fields)| NewEntry { fields: fields.iter(), dedup: None });
        let appended = self.access.stream.append_batch_counted(new).await;
        if let (Some(cap), Some(length)) = (&mut self.cap, appended.length)
            && length >= cap.entries
        {
            // Told before the next ones.
            cap.asked = None;
        }
        let mut first_error: Option<Error> = None;
        let mut next_line = None;
        for ((line, _), outcome) in entries.iter().zip(appended.results) {
            match outcome {
                Ok(entry) => {
                    self.tally.appended += 1;
                    self.tally.first_id.get_or_insert(entry.id);
                    self.tally.last_id = Some(entry.id);
                    if first_error.is_some() {
                        self.tally.appended_out_of_order.push(*line);
                    }
                }
                Err(error) => {
                    if error.may_have_been_applied() {
                        self.tally.unknown_lines.push(*line);
                    } else {
                        next_line.get_or_insert(*line);
                    }
                    first_error.get_or_insert(error);
                }
            }
        }
        let after = entries.last().map(|(line, _)| line + 1);
        self.tally.next_line = next_line.or(after);
        match first_error {
            None => Ok(()),
            Some(error) => Err(Stopped::Failed(self.access.explain(&error))),
        }
    }

    /// The last word, and the exit code.
    pub(super) fn report(mut self, stopped: Option<Stopped>, args: &Args) -> anyhow::Result<ExitCode> {
        if stopped.is_none() {
            self.tally.next_line = None;
        }
        let Tally { appended, first_id, last_id, .. } = &self.tally;
        if args.json {
            result(serde_json::to_string(&self.tally)?)?;
        } else {
            let range = match (first_id, last_id) {
                (Some(first), Some(last)) => format!(", as {first} to {last}"),
                _ => String::new(),
            };
            result(format_args!("appended {}{range}", so_many(*appended)))?;
        }
        let Some(stopped) = stopped else { return Ok(ExitCode::SUCCESS) };
        let (why, code) = match stopped {
            Stopped::Interrupted => ("interrupted".to_owned(), EXIT_INTERRUPTED),
            Stopped::Rejected { line, problem } => {
                (format!("{}:{line}: {problem}", args.file.display()), EXIT_REJECTED)
            }
            Stopped::Full(why) => {
                (format!("the stream is full: {why} (make room with `orderflow trim`, or raise that cap)"), 1)
            }
            Stopped::Failed(error) => (format!("orderflow: {error:#}"), 1),
        };
        prose(format_args!("{why}; {}", self.where_it_stopped()));
        Ok(ExitCode::from(if self.tally.unknown_lines.is_empty() { code } else { EXIT_UNKNOWN }))
    }

    fn where_it_stopped(&self) -> String {
        let Tally { unknown_lines, appended_out_of_order, last_id, next_line, .. } = &self.tally;
        let mut told = match next_line {
            Some(line) => format!("go on with --start-line {line}"),
            None => "nothing was appended".to_owned(),
        };
        if let (Some(first), Some(last)) = (unknown_lines.first(), unknown_lines.last()) {
            let from = last_id.map_or_else(String::new, |id| format!(" --from {id}"));
            told = format!(
                "lines {first} to {last} may or may not have been appended: look with `orderflow replay{from}`; {told}"
            );
        }
        if !appended_out_of_order.is_empty() {
            let lines: Vec<_> = appended_out_of_order.iter().map(u64::to_string).collect();
            told = format!("{told}, but without its lines {}, which were appended", lines.join(", "));
        }
        told
    }
}
