//! The query of `GET /v1/events`: `start`, `end`, `count`, `order`, `cursor`.

use service_kit::{
    Problem,
    query::{Parameters, quoted},
};
use stream_core::{Direction, RangeQuery, StreamId};

const DEFAULT_COUNT: usize = 50;
/// Most events of one page.
pub(super) const MAX_COUNT: usize = 1_000;

const ALLOWED: [&str; 5] = ["start", "end", "count", "order", "cursor"];
const ALLOWED_BOUND: &str = "allowed: -, +, an ID (<milliseconds>-<sequence>) or <milliseconds>";

/// Which entries are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageQuery {
    pub(super) range: RangeQuery,
    pub(super) count: usize,
}

impl PageQuery {
    /// Reads the parameters of a query string; an error names every mistake.
    pub(super) fn parse(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut parameters = Parameters::new(pairs.iter().cloned(), &ALLOWED);
        let direction = parameters.read("order", direction).unwrap_or_default();
        let start = parameters.read("start", |text| bound(text, 0)).unwrap_or(StreamId::MIN);
        let end = parameters.read("end", |text| bound(text, u64::MAX)).unwrap_or(StreamId::MAX);
        let count = parameters.read("count", count).unwrap_or(DEFAULT_COUNT);
        let cursor = parameters.read("cursor", cursor);
        parameters.finish()?;
        let mut range = RangeQuery { start, end, direction };
        match (cursor, direction) {
            // A cursor only narrows: it cannot lead out of the range that it came from.
            (Some(cursor), Direction::Forward) => range.start = start.max(cursor),
            (Some(cursor), Direction::Backward) => range.end = end.min(cursor),
            (None, _) => {}
        }
        Ok(Self { range, count })
    }
}

/// The cursor that continues with `rest`: the ID to go on at, which `start` (`order=asc`) or `end`
/// (`order=desc`) take as well.
pub(super) fn cursor_of(rest: RangeQuery) -> StreamId {
    match rest.direction {
        Direction::Forward => rest.start,
        Direction::Backward => rest.end,
    }
}

fn direction(text: &str) -> Result<Direction, String> {
    match text {
        "asc" => Ok(Direction::Forward),
        "desc" => Ok(Direction::Backward),
        _ => Err(format!("{} is no order; allowed: asc, desc", quoted(text))),
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=MAX_COUNT) => Ok(count),
        _ => Err(format!("{} is no count; allowed: 1 to {MAX_COUNT}", quoted(text))),
    }
}

/// A bare millisecond means its first ID as a start and its last as an end, as in Redis; `seq` is which.
fn bound(text: &str, seq: u64) -> Result<StreamId, String> {
    match text {
        "-" => Ok(StreamId::MIN),
        // An unescaped + in a query string arrives as a space.
        "+" | " " => Ok(StreamId::MAX),
        _ => {
            let id: StreamId =
                text.parse().map_err(|_| format!("{} is no ID; {ALLOWED_BOUND}", quoted(text)))?;
            Ok(if text.contains('-') { id } else { StreamId::new(id.ms, seq) })
        }
    }
}

fn cursor(text: &str) -> Result<StreamId, String> {
    let id = text.contains('-').then(|| text.parse().ok()).flatten();
    id.ok_or_else(|| format!("{} is no cursor; allowed: the `next` of an earlier page", quoted(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &[(&str, &str)]) -> Result<PageQuery, Problem> {
        let pairs: Vec<_> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        PageQuery::parse(&pairs)
    }

    fn range(query: &[(&str, &str)]) -> (StreamId, StreamId) {
        let range = parse(query).unwrap().range;
        (range.start, range.end)
    }

    #[test]
    fn nothing_asks_for_the_oldest_fifty() {
        let query = parse(&[]).unwrap();
        assert_eq!(query, PageQuery { range: RangeQuery::default(), count: 50 });
    }

    #[test]
    fn bounds_are_read_as_redis_reads_them() {
        let everything = (StreamId::MIN, StreamId::MAX);
        assert_eq!(range(&[("start", "-"), ("end", "+")]), everything);
        assert_eq!(range(&[("end", " ")]), everything, "an unescaped +");
        let (start, end) = range(&[("start", "5"), ("end", "5")]);
        assert_eq!((start, end), (StreamId::new(5, 0), StreamId::new(5, u64::MAX)));
        let (start, end) = range(&[("start", "5-3"), ("end", "6-0")]);
        assert_eq!((start, end), (StreamId::new(5, 3), StreamId::new(6, 0)));
        assert_eq!(range(&[("start", "+")]).0, StreamId::MAX);
    }

    #[test]
    fn a_cursor_narrows_the_end_that_is_read_from() {
        assert_eq!(range(&[("cursor", "7-1"), ("end", "9")]).0, StreamId::new(7, 1));
        assert_eq!(range(&[("cursor", "7-1"), ("start", "8-0")]).0, StreamId::new(8, 0));
        let (start, end) = range(&[("cursor", "7-1"), ("order", "desc"), ("start", "2-0")]);
        assert_eq!((start, end), (StreamId::new(2, 0), StreamId::new(7, 1)));
    }

    #[test]
    fn every_mistake_is_named() {
        let problem = parse(&[
            ("start", "x"),
            ("end", ""),
            ("count", "0"),
            ("order", "up"),
            ("cursor", "5"),
            ("limit", "3"),
            ("count", "5"),
        ])
        .unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.kind()), (400, "/problems/invalid-query"));
        let json = problem.to_json();
        let names: Vec<_> =
            json["errors"].as_array().unwrap().iter().map(|it| it["parameter"].as_str().unwrap()).collect();
        assert_eq!(names, ["limit", "count", "order", "start", "end", "count", "cursor"]);
        let detail = json["detail"].as_str().unwrap();
        assert!(
            detail.contains("limit: is not known; allowed: start, end, count, order, cursor"),
            "{detail}"
        );
        assert!(detail.contains(r#"start: "x" is no ID; allowed: -, +, an ID"#), "{detail}");
    }

    #[test]
    fn counts_are_bounded() {
        assert_eq!(parse(&[("count", "1000")]).unwrap().count, 1_000);
        for count in ["1001", "-1", "ten", "99999999999999999999"] {
            assert!(parse(&[("count", count)]).is_err(), "{count}");
        }
    }
}
