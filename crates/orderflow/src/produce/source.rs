//! Where events come from, batch by batch: flags, a file, standard input, or made up.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::Arc,
    thread,
};

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::{BATCH_MAX, made};

/// Lines read ahead of the batch that is being sent.
const READ_AHEAD: usize = 2 * BATCH_MAX;

/// Where an event stands, e.g. `orders.ndjson:17`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Position {
    Flags,
    Line { file: Arc<str>, number: u64 },
    Random(u64),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flags => f.write_str("the event"),
            Self::Line { file, number } => write!(f, "{file}:{number}"),
            Self::Random(number) => write!(f, "random event {number}"),
        }
    }
}

/// One event as it was written, or why it could not be read.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) position: Position,
    pub(super) json: Result<String, String>,
}

/// Events that are checked and sent together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) lines: Vec<Line>,
    pub(super) first: Position,
    pub(super) last: Position,
    /// How much of the source's total is done once this batch is.
    pub(super) done: u64,
}

/// What the progress is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Total {
    Events(u64),
    Bytes(u64),
    Unknown,
}

/// A source of events.
#[derive(Debug)]
pub(super) struct Source {
    lines: mpsc::Receiver<io::Result<(Line, u64)>>,
    total: Total,
    /// Send what there is rather than wait until a batch is full: somebody may be typing.
    eager: bool,
}

impl Source {
    pub(super) fn one(json: String) -> Self {
        let (sender, lines) = mpsc::channel(1);
        // There is room for one.
        _ = sender.try_send(Ok((Line { position: Position::Flags, json: Ok(json) }, 1)));
        Self { lines, total: Total::Events(1), eager: false }
    }

    pub(super) fn random(count: u64) -> Self {
        let mut next = made::random();
        let lines = spawn(move |sender| {
            for number in 1..=count {
                let json = next().map_err(|error| error.to_string());
                let line = Line { position: Position::Random(number), json };
                if sender.blocking_send(Ok((line, number))).is_err() {
                    return;
                }
            }
        });
        Self { lines, total: Total::Events(count), eager: false }
    }

    pub(super) fn file(path: &Path, line_bytes_max: usize) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            let lines = spawn(move |sender| read(io::stdin(), "stdin", line_bytes_max, &sender));
            return Ok(Self { lines, total: Total::Unknown, eager: true });
        }
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        let metadata = file.metadata().with_context(|| format!("cannot open {name}"))?;
        anyhow::ensure!(!metadata.is_dir(), "{name} is a directory; give a file with one JSON object a line");
        let is_plain = metadata.is_file();
        let lines = spawn(move |sender| read(file, &name, line_bytes_max, &sender));
        let total = if is_plain { Total::Bytes(metadata.len()) } else { Total::Unknown };
        Ok(Self { lines, total, eager: !is_plain })
    }

    pub(super) fn total(&self) -> Total {
        self.total
    }

    /// The next events, at least one; `None` at the end.
    pub(super) async fn next_batch(&mut self) -> anyhow::Result<Option<Batch>> {
        let Some(read) = self.lines.recv().await else { return Ok(None) };
        let (line, mut done) = read?;
        let first = line.position.clone();
        let mut lines = vec![line];
        while lines.len() < BATCH_MAX {
            let next = if self.eager { self.lines.try_recv().ok() } else { self.lines.recv().await };
            let Some(read) = next else { break };
            let (line, position) = read?;
            lines.push(line);
            done = position;
        }
        let last = lines.last().map_or_else(|| first.clone(), |line| line.position.clone());
        Ok(Some(Batch { lines, first, last, done }))
    }
}

type LineSender = mpsc::Sender<io::Result<(Line, u64)>>;

/// Runs a producer of lines on a thread of its own: reading a pipe may block for ever.
fn spawn(produce: impl FnOnce(LineSender) + Send + 'static) -> mpsc::Receiver<io::Result<(Line, u64)>> {
    let (sender, lines) = mpsc::channel(READ_AHEAD);
    thread::spawn(move || produce(sender));
    lines
}

/// Reads lines until the end, or until nobody wants them any more. Empty lines are no events.
fn read(input: impl Read, name: &str, line_bytes_max: usize, sender: &LineSender) {
    let file: Arc<str> = name.into();
    let mut input = BufReader::new(input);
    let (mut number, mut offset) = (0_u64, 0_u64);
    loop {
        let (read, text) = match bounded_line(&mut input, line_bytes_max) {
            Ok((0, _)) => return,
            Ok(line) => line,
            Err(error) => {
                let error = io::Error::new(error.kind(), format!("cannot read {name}: {error}"));
                // If nobody listens, nobody needs to know.
                _ = sender.blocking_send(Err(error));
                return;
            }
        };
        number += 1;
        offset += read;
        if text.as_ref().is_ok_and(|text| text.trim_ascii().is_empty()) {
            continue;
        }
        let json = text.and_then(|text| {
            String::from_utf8(text.trim_ascii().to_vec()).map_err(|error| {
                format!("is not UTF-8 from byte {} on", error.utf8_error().valid_up_to() + 1)
            })
        });
        let line = Line { position: Position::Line { file: file.clone(), number }, json };
        if sender.blocking_send(Ok((line, offset))).is_err() {
            return;
        }
    }
}

/// Bytes consumed, and the line, or that it was too long; memory stays bounded either way.
fn bounded_line(input: &mut impl BufRead, bytes_max: usize) -> io::Result<(u64, Result<Vec<u8>, String>)> {
    let mut line = Vec::new();
    let mut read = input.by_ref().take(bytes_max as u64 + 1).read_until(b'\n', &mut line)? as u64;
    if line.len() <= bytes_max || line.ends_with(b"\n") {
        return Ok((read, Ok(line)));
    }
    read += input.skip_until(b'\n')? as u64;
    Ok((read, Err(format!("has more than {bytes_max} bytes, which is more than a request may hold"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &'static [u8], bytes_max: usize) -> Vec<(u64, Result<String, String>, u64)> {
        let (sender, mut receiver) = mpsc::channel(100);
        read(input, "in", bytes_max, &sender);
        drop(sender);
        let mut lines = Vec::new();
        while let Some(line) = receiver.blocking_recv() {
            let (Line { position, json }, offset) = line.unwrap();
            let Position::Line { number, .. } = position else { panic!("a line") };
            lines.push((number, json, offset));
        }
        lines
    }

    #[test]
    fn lines_keep_their_numbers_and_blank_ones_are_skipped() {
        let read = lines(b"{}\n\n  {\"a\":1}\r\n{\"b\":2}", 100);
        let expected = [(1, "{}", 3), (3, "{\"a\":1}", 15), (4, "{\"b\":2}", 22)];
        let expected = expected.map(|(number, text, offset)| (number, Ok(text.to_owned()), offset));
        assert_eq!(read, expected);
    }

    #[test]
    fn what_cannot_be_an_event_is_told_and_the_next_line_is_read() {
        let read = lines(b"0123456789\n\xff\n{}\n", 9);
        assert_eq!(read[0].1.as_ref().unwrap_err().split(',').next(), Some("has more than 9 bytes"));
        assert_eq!(read[1].1.as_ref().unwrap_err(), "is not UTF-8 from byte 1 on");
        assert_eq!(read[2], (3, Ok("{}".to_owned()), 16));
    }

    #[tokio::test]
    async fn a_file_is_read_in_full_batches() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("events");
        std::fs::write(&file, "{}\n".repeat(BATCH_MAX + 1)).unwrap();
        let mut source = Source::file(&file, 100).unwrap();
        assert_eq!(source.total(), Total::Bytes(3 * (BATCH_MAX as u64 + 1)));
        let first = source.next_batch().await.unwrap().unwrap();
        assert_eq!((first.lines.len(), first.done), (BATCH_MAX, 3 * BATCH_MAX as u64));
        assert_eq!(source.next_batch().await.unwrap().unwrap().lines.len(), 1);
        assert!(source.next_batch().await.unwrap().is_none());
    }
}
