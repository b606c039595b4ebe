//! A range in a file: written beside it under another name, and renamed when it is complete.

use std::{
    fs::{self, Permissions},
    io::{BufWriter, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use serde::Serialize;
use stream_core::{Entry, StreamId};
use tempfile::NamedTempFile;

use super::Wanted;
use crate::{
    bar::Bar,
    entries::{EntryJson, Pages},
    interruption::{EXIT_INTERRUPTED, interruption},
    output::{bytes, entries, news, result},
    redis_access::Access,
};

/// What was written.
#[derive(Debug, Default, Serialize)]
struct Written {
    entries: u64,
    bytes: u64,
    first_id: Option<StreamId>,
    last_id: Option<StreamId>,
}

/// Writes what is wanted to `file`.
pub(super) async fn run(
    access: &Access,
    wanted: Wanted,
    file: &Path,
    force: bool,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut target = Target::new(file, force)?;
    let cancel = interruption()?;
    let mut progress = Progress::new(&wanted);
    let mut written = Written::default();
    let mut pages = Pages::new(&access.stream, wanted.query);
    let mut left = wanted.count;
    while left > 0 {
        let page_max = if wanted.filter.is_empty() { left } else { u64::MAX };
        let page = tokio::select! {
            biased;
            () = cancel.cancelled() => {
                progress.bar.finish();
                news(format_args!("interrupted; {} was not written", file.display()));
                return Ok(ExitCode::from(EXIT_INTERRUPTED));
            }
            page = pages.next(page_max) => page,
        };
        let page = page.map_err(|error| {
            progress.bar.finish();
            let at = written.last_id.map_or_else(String::new, |id| format!(" after {id}"));
            access.explain(&error).context(format!("stopped{at}; {} was not written", file.display()))
        })?;
        let Some(page) = page else { break };
        for entry in page.iter().filter(|entry| wanted.filter.fits(&entry.fields)) {
            if left == 0 {
                break;
            }
            written.bytes += target.write(entry)?;
            written.entries += 1;
            written.first_id.get_or_insert(entry.id);
            written.last_id = Some(entry.id);
            left -= 1;
        }
        progress.advance(&page, &written);
    }
    progress.bar.finish();
    target.complete()?;
    if json {
        result(serde_json::to_string(&written)?)?;
    } else {
        let range = match (written.first_id, written.last_id) {
            (Some(first), Some(last)) => format!(", from {first} to {last}"),
            _ => String::new(),
        };
        let (count, size) = (entries(written.entries), bytes(written.bytes));
        result(format_args!("wrote {count} ({size}) to {}{range}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A file that is there whole or not at all. Dropped before it is complete, it leaves nothing behind.
#[derive(Debug)]
struct Target {
    file: PathBuf,
    unfinished: BufWriter<NamedTempFile>,
    force: bool,
}

impl Target {
    fn new(file: &Path, force: bool) -> anyhow::Result<Self> {
        anyhow::ensure!(
            file != Path::new("-"),
            "- is no name of a file; without --output the entries go to standard output, with --json as they would be in \
             the file"
        );
        let name = file.file_name().with_context(|| format!("{} is no name of a file", file.display()))?;
        if let Ok(there) = fs::symlink_metadata(file) {
            // What is renamed to it would take the place of a device or a link.
            anyhow::ensure!(
                there.is_file(),
                "{} is there and is no plain file; choose another name, or print with --json",
                file.display()
            );
            anyhow::ensure!(force, "{}", exists(file));
        }
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        anyhow::ensure!(dir.is_dir(), "there is no directory {}; make it first", dir.display());
        let unfinished = tempfile::Builder::new()
            .prefix(&format!(".{}.", name.to_string_lossy()))
            .suffix(".unfinished")
            // What the user's mask leaves of it, as with any other file.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(dir)
            .with_context(|| format!("cannot write to {}", dir.display()))?;
        Ok(Self { file: file.to_owned(), unfinished: BufWriter::new(unfinished), force })
    }

    /// Appends an entry; the bytes that it took.
    fn write(&mut self, entry: &Entry) -> anyhow::Result<u64> {
        let mut line = serde_json::to_vec(&EntryJson(entry))?;
        line.push(b'\n');
        self.unfinished.write_all(&line).with_context(|| format!("cannot write {}", self.file.display()))?;
        Ok(line.len() as u64)
    }

    fn complete(self) -> anyhow::Result<()> {
        let describe = || format!("cannot write {}", self.file.display());
        let unfinished = self.unfinished.into_inner().map_err(std::io::IntoInnerError::into_error);
        let unfinished = unfinished.with_context(describe)?;
        // A crash of the machine must not leave the name with half of the content.
        unfinished.as_file().sync_all().with_context(describe)?;
        if self.force {
            unfinished.persist(&self.file).map_err(|error| error.error).with_context(describe)?;
        } else {
            unfinished.persist_noclobber(&self.file).map_err(|error| match error.error.kind() {
                std::io::ErrorKind::AlreadyExists => anyhow::anyhow!("{}", exists(&self.file)),
                _ => anyhow::Error::new(error.error).context(describe()),
            })?;
        }
        Ok(())
    }
}

fn exists(file: &Path) -> String {
    format!("{} exists; choose another name, or replace it with --force", file.display())
}

/// By entries where their number is known, else by the time between the ends of the range.
#[derive(Debug)]
struct Progress {
    bar: Bar,
    by_entries: bool,
    read: u64,
    begin_ms: u64,
}

impl Progress {
    fn new(wanted: &Wanted) -> Self {
        let query = wanted.query;
        let begin_ms = match query.direction {
            stream_core::Direction::Forward => query.start.ms,
            stream_core::Direction::Backward => query.end.ms,
        };
        let counted = wanted.filter.is_empty() && wanted.count < wanted.length;
        let by_entries = wanted.whole || counted;
        let total = match (by_entries, counted) {
            (true, true) => wanted.count,
            (true, false) => wanted.length,
            (false, _) => query.end.ms.saturating_sub(query.start.ms),
        };
        Self { bar: Bar::new(Some(total)), by_entries, read: 0, begin_ms }
    }

    fn advance(&mut self, page: &[Entry], written: &Written) {
        self.read += page.len() as u64;
        let ms = page.last().map_or(0, |entry| entry.id.ms.abs_diff(self.begin_ms));
        let position = if self.by_entries { self.read } else { ms };
        let (count, size) = (entries(written.entries), bytes(written.bytes));
        self.bar.advance(position, format_args!("{count} written, {size}"));
    }
}
