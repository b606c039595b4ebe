//! The query of `GET /v1/events`: `start`, `end`, `count`, `order`, `cursor`, `type`, `order_id`.

use service_kit::{
    Problem,
    query::{Parameters, quoted},
};
use stream_core::{Direction, RangeQuery, StreamId};
use utoipa::IntoParams;

use super::filter_query;
use crate::filter::EventFilter;

const DEFAULT_COUNT: usize = 50;
/// Most events of one page.
pub(super) const MAX_COUNT: usize = 1_000;

const ALLOWED: [&str; 7] = ["start", "end", "count", "order", "cursor", "type", "order_id"];
const ALLOWED_BOUND: &str = "allowed: -, +, an ID (<milliseconds>-<sequence>) or <milliseconds>";

/// Which entries are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageQuery {
    pub(super) range: RangeQuery,
    pub(super) count: usize,
    pub(super) filter: EventFilter,
}

/// The parameters, as the document describes them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "a description: the parameters are read by name, so that one answer names every mistake"
)]
pub(super) struct PageParams {
    /// The oldest event wanted: an ID, milliseconds (its first event), or `-`.
    #[param(pattern = "^([-+]|[0-9]{1,19}(-[0-9]{1,19})?)$", default = "-", example = "1716998413541")]
    start: Option<String>,
    /// The newest event wanted: an ID, milliseconds (its last event), or `+`.
    #[param(pattern = "^([-+]|[0-9]{1,19}(-[0-9]{1,19})?)$", default = "+", example = "1716998413541-7")]
    end: Option<String>,
    /// Most events of a page.
    #[param(minimum = 1, maximum = 1_000, default = 50, example = 100)]
    count: Option<u16>,
    /// Oldest first, as by default, or newest first.
    #[param(inline, example = "desc")]
    order: Option<OrderWord>,
    /// The `next` of an earlier page. It is a position and narrows the range, whatever the other parameters are.
    #[param(pattern = "^[0-9]{1,19}-[0-9]{1,19}$", example = "1716998413541-1")]
    cursor: Option<String>,
    /// Only events of this type; may be there up to 20 times.
    #[param(rename = "type", min_length = 1, max_length = 128, max_items = 20, example = json!(["order.paid"]))]
    event_type: Option<Vec<String>>,
    /// Only events of this order.
    #[param(min_length = 1, max_length = 128, example = "o-1001")]
    order_id: Option<String>,
}

/// The words for an order.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "a description")]
enum OrderWord {
    Asc,
    Desc,
}

impl PageQuery {
    /// Reads the parameters of a query string; an error names every mistake.
    pub(super) fn parse(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut parameters = Parameters::with_repeated(pairs.iter().cloned(), &ALLOWED, &["type"]);
        let direction = parameters.read("order", direction).unwrap_or_default();
        let start = parameters.read("start", |text| bound(text, 0)).unwrap_or(StreamId::MIN);
        let end = parameters.read("end", |text| bound(text, u64::MAX)).unwrap_or(StreamId::MAX);
        let count = parameters.read("count", count).unwrap_or(DEFAULT_COUNT);
        let cursor = parameters.read("cursor", cursor);
        let filter = filter_query::read(&mut parameters);
        parameters.finish()?;
        let mut range = RangeQuery { start, end, direction };
        match (cursor, direction) {
            // A cursor only narrows: it cannot lead out of the range that it came from.
            (Some(cursor), Direction::Forward) => range.start = start.max(cursor),
            (Some(cursor), Direction::Backward) => range.end = end.min(cursor),
            (None, _) => {}
        }
        Ok(Self { range, count, filter })
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
    use proptest::{collection::vec, prelude::*, sample::select};

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
        let expected = PageQuery { range: RangeQuery::default(), count: 50, filter: EventFilter::default() };
        assert_eq!(query, expected);
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
            detail.contains("limit: is not known; allowed: start, end, count, order, cursor, type, order_id"),
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

    /// A query of known names, some unknown ones, and values of all kinds.
    fn queries() -> impl Strategy<Value = Vec<(String, String)>> {
        let names: Vec<String> =
            ALLOWED.iter().map(|&name| name.to_owned()).chain(["limit".to_owned()]).collect();
        let values = "[-+ ]|[0-9]{1,21}(-[0-9]{0,21})?|asc|desc|\\PC{0,200}";
        vec((select(names), values), 0..12)
    }

    proptest! {
        #[test]
        fn every_query_is_bounded_or_a_problem_of_bounded_size(pairs in queries()) {
            match PageQuery::parse(&pairs) {
                Ok(query) => {
                    prop_assert!((1..=MAX_COUNT).contains(&query.count));
                    prop_assert!(query.filter.types.len() <= filter_query::TYPES_MAX);
                }
                Err(problem) => prop_assert!(problem.to_json().to_string().len() < 20_000),
            }
        }

        #[test]
        fn a_cursor_goes_on_right_after_what_was_read(range: [(u64, u64); 2], read: (u64, u64), backward: bool) {
            let id = |(ms, seq)| StreamId::new(ms, seq);
            let [start, end] = range.map(id);
            let direction = if backward { Direction::Backward } else { Direction::Forward };
            let first = RangeQuery { start, end, direction };
            let Some(rest) = first.after(id(read)) else { return Ok(()) };
            let pairs = [
                ("start", start.to_string()),
                ("end", end.to_string()),
                ("order", if backward { "desc" } else { "asc" }.to_owned()),
                ("cursor", cursor_of(rest).to_string()),
            ];
            let again = PageQuery::parse(&pairs.map(|(name, value)| (name.to_owned(), value))).unwrap().range;
            let expected = match direction {
                Direction::Forward => RangeQuery { start: rest.start.max(start), ..first },
                Direction::Backward => RangeQuery { end: rest.end.min(end), ..first },
            };
            prop_assert_eq!(again, expected);
        }
    }
}
