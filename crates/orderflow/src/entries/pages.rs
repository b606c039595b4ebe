//! A range of the stream, page by page, in bounded memory.

use stream_core::{Entry, Error, EventStream, RangeQuery};

/// What a page should not hold much more than.
const PAGE_BYTES: usize = 4 << 20;
/// Entries of the first page, about whose size nothing is known.
const FIRST_PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;

/// Reads a range to its end.
#[derive(Debug)]
pub(crate) struct Pages<'a> {
    stream: &'a EventStream,
    /// What has not been read yet.
    rest: Option<RangeQuery>,
    size: usize,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(stream: &'a EventStream, query: RangeQuery) -> Self {
        let rest = (query.start <= query.end).then_some(query);
        Self { stream, rest, size: FIRST_PAGE }
    }

    /// The next entries, at most `entries_max`; `None` at the end. After an error the next call tries the same again.
    pub(crate) async fn next(&mut self, entries_max: u64) -> Result<Option<Vec<Entry>>, Error> {
        let Some(query) = self.rest else { return Ok(None) };
        let size = self.size.min(usize::try_from(entries_max).unwrap_or(PAGE_MAX)).max(1);
        let page = self.stream.range(query, size).await?;
        self.rest = page.next;
        self.size = next_size(&page.entries);
        Ok((!page.entries.is_empty()).then_some(page.entries))
    }

    /// What has not been read yet.
    pub(crate) const fn rest(&self) -> Option<RangeQuery> {
        self.rest
    }
}

/// As many entries as would fill a page if they were like these.
fn next_size(entries: &[Entry]) -> usize {
    let pairs = entries.iter().flat_map(|entry| entry.fields.iter());
    let bytes: usize = pairs.map(|(name, value)| name.len() + value.len()).sum();
    (PAGE_BYTES / (bytes / entries.len().max(1)).max(1)).clamp(1, PAGE_MAX)
}

#[cfg(test)]
mod tests {
    use stream_core::StreamId;

    use super::*;

    #[test]
    fn large_entries_make_small_pages() {
        let entry = |bytes: usize| {
            let fields = [("a", "x".repeat(bytes))].into_iter().collect();
            Entry { id: StreamId::MIN, fields }
        };
        assert_eq!(next_size(&[]), PAGE_MAX);
        assert_eq!(next_size(&[entry(100), entry(200)]), PAGE_MAX);
        assert_eq!(next_size(&[entry(1 << 20)]), 3);
        assert_eq!(next_size(&[entry(10 << 20)]), 1);
    }
}
