//! A range on standard output.

use super::{Wanted, go_on, print_lines};
use crate::{
    entries::{EntryJson, Pages, line},
    output::news,
    redis_access::Access,
};

/// Prints what is wanted; the number of entries.
pub(super) async fn run(access: &Access, wanted: &Wanted, json: bool) -> anyhow::Result<u64> {
    let mut pages = Pages::new(&access.stream, wanted.query);
    let mut printed = 0;
    loop {
        let left = wanted.count - printed;
        // A filter may let little pass: then the page is not the smaller for it.
        let page_max = if wanted.filter.is_empty() { left } else { u64::MAX };
        let page = match pages.next(page_max).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(printed),
            Err(error) => {
                let rest = pages.rest().map(go_on).unwrap_or_default();
                let error = access.explain(&error);
                return Err(if printed == 0 {
                    error
                } else {
                    error.context(format!("stopped after {printed} entries; go on with {rest}"))
                });
            }
        };
        let newest_read = page.last().map(|entry| entry.id);
        let fitting = page.iter().filter(|entry| wanted.filter.fits(&entry.fields));
        let fitting: Vec<_> = fitting.take(usize::try_from(left).unwrap_or(usize::MAX)).collect();
        let lines = fitting
            .iter()
            .map(|entry| if json { serde_json::to_string(&EntryJson(entry)) } else { Ok(line(entry)) });
        print_lines(&lines.collect::<Result<Vec<_>, _>>()?)?;
        printed += fitting.len() as u64;
        if printed < wanted.count {
            continue;
        }
        let last = fitting.last().map(|entry| entry.id);
        let rest =
            if last == newest_read { pages.rest() } else { last.and_then(|id| wanted.query.after(id)) };
        if let Some(rest) = rest {
            news(format_args!("there may be more; go on with {}", go_on(rest)));
        }
        return Ok(printed);
    }
}
