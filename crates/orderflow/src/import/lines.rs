//! Entries from a file, a bounded number of lines and bytes at a time.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    thread,
};

use anyhow::Context as _;
use tokio::sync::mpsc;

use crate::entries::Record;

/// Entries that are appended in one round trip at most.
const CHUNK_LINES: usize = 100;
/// What a chunk holds at most, unless its only line is longer.
const CHUNK_BYTES: usize = 4 << 20;
/// Redis takes 512 MiB; what is longer than this is no entry of anybody's.
const LINE_BYTES_MAX: usize = 64 << 20;

/// A line that holds an entry, or should.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) line: u64,
    pub(super) record: Result<Record, String>,
}

/// Lines that are taken together.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) records: Vec<Line>,
    /// Bytes of the file up to the end of the chunk.
    pub(super) bytes_read: u64,
}

/// Reads on a thread of its own: a pipe may block for ever.
#[derive(Debug)]
pub(super) struct Lines {
    chunks: mpsc::Receiver<io::Result<Chunk>>,
    bytes: Option<u64>,
}

/// Whether it can be read a second time: a pipe, such as standard input, cannot.
pub(super) fn is_read_once(path: &Path) -> bool {
    // What cannot be looked at is told when it is opened.
    let is_special = || path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
    path == Path::new("-") || is_special()
}

impl Lines {
    pub(super) fn open(path: &Path, start_line: u64) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::spawn(io::stdin(), None, start_line));
        }
        let describe = || format!("cannot open {}", path.display());
        let file = File::open(path).with_context(describe)?;
        let metadata = file.metadata().with_context(describe)?;
        anyhow::ensure!(
            !metadata.is_dir(),
            "{} is a directory; give a file with one entry a line",
            path.display()
        );
        let bytes = metadata.is_file().then_some(metadata.len());
        Ok(Self::spawn(file, bytes, start_line))
    }

    fn spawn(input: impl Read + Send + 'static, bytes: Option<u64>, start_line: u64) -> Self {
        // One is appended while the next is read.
        let (sender, chunks) = mpsc::channel(1);
        thread::spawn(move || {
            let mut reader = Reader { input: BufReader::new(input), start_line, line: 0, bytes_read: 0 };
            loop {
                let chunk = reader.chunk();
                let is_last = chunk.is_err();
                let is_end = chunk.as_ref().is_ok_and(|chunk| chunk.records.is_empty());
                // If nobody listens, nobody wants more.
                if is_end || sender.blocking_send(chunk).is_err() || is_last {
                    return;
                }
            }
        });
        Self { chunks, bytes }
    }

    /// The size of the file, if it is one.
    pub(super) const fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// The next lines, at least one; `None` at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Chunk>> {
        self.chunks.recv().await.transpose().context("cannot read the entries")
    }
}

struct Reader<R> {
    input: BufReader<R>,
    start_line: u64,
    /// Number of the last line read.
    line: u64,
    bytes_read: u64,
}

impl<R: Read> Reader<R> {
    /// The next lines; none at the end. Blank lines are no entries.
    fn chunk(&mut self) -> io::Result<Chunk> {
        let (mut chunk, mut chunk_bytes) = (Chunk::default(), 0);
        while chunk.records.len() < CHUNK_LINES && chunk_bytes < CHUNK_BYTES {
            let Some(line) = self.line()? else { break };
            self.line += 1;
            let wanted = self.line >= self.start_line;
            if wanted && !line.as_ref().is_ok_and(|line| line.trim_ascii().is_empty()) {
                chunk_bytes += line.as_ref().map_or(0, Vec::len);
                let record = line.and_then(|line| Record::parse(line.trim_ascii()));
                chunk.records.push(Line { line: self.line, record });
            }
        }
        chunk.bytes_read = self.bytes_read;
        Ok(chunk)
    }

    /// One line, or that it was too long.
    fn line(&mut self) -> io::Result<Option<Result<Vec<u8>, String>>> {
        let mut line = Vec::new();
        let read = self.input.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        self.bytes_read += read as u64;
        if read == 0 {
            return Ok(None);
        }
        if line.len() <= LINE_BYTES_MAX || line.ends_with(b"\n") {
            return Ok(Some(Ok(line)));
        }
        self.bytes_read += self.input.skip_until(b'\n')? as u64;
        Ok(Some(Err(format!("has more than {} MiB", LINE_BYTES_MAX >> 20))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn chunks(input: String, start_line: u64) -> Vec<Chunk> {
        let mut lines = Lines::spawn(io::Cursor::new(input), None, start_line);
        let mut chunks = Vec::new();
        while let Some(chunk) = lines.next().await.unwrap() {
            chunks.push(chunk);
        }
        chunks
    }

    const ENTRY: &str = "{\"fields\":{\"a\":\"b\"}}\n";

    #[tokio::test]
    async fn lines_keep_their_numbers_whatever_is_skipped() {
        let chunks = chunks(format!("{ENTRY}\n{ENTRY}[]\n{}", ENTRY.trim()), 2).await;
        let lines: Vec<_> = chunks[0].records.iter().map(|line| (line.line, line.record.is_ok())).collect();
        assert_eq!((chunks.len(), lines), (1, vec![(3, true), (4, false), (5, true)]));
        assert_eq!(chunks[0].bytes_read, 3 * ENTRY.len() as u64 - 1 + 4);
    }

    #[tokio::test]
    async fn chunks_are_bounded_in_lines_and_in_bytes() {
        let sizes = |chunks: &[Chunk]| chunks.iter().map(|chunk| chunk.records.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&chunks(ENTRY.repeat(CHUNK_LINES + 1), 1).await), [CHUNK_LINES, 1]);
        let large = format!("{{\"fields\":{{\"a\":\"{}\"}}}}\n", "x".repeat(3 << 20));
        assert_eq!(sizes(&chunks(large.repeat(3), 1).await), [2, 1]);
    }
}
