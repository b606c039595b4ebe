//! What a subscriber of the tail asks for: `type`, `order_id`, and where to go on.

use axum::http::HeaderMap;
use service_kit::{
    Problem,
    query::{Parameters, quoted},
};
use stream_core::StreamId;
use utoipa::IntoParams;

use super::filter_query;
use crate::filter::EventFilter;

const HEADER: &str = "Last-Event-ID";
const PARAMETER: &str = "last_event_id";

/// Which events are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TailQuery {
    pub(super) filter: EventFilter,
    /// The last event that the client has; `None`: from now on.
    pub(super) after: Option<StreamId>,
}

/// The parameters, as the document describes them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "a description: the parameters are read by name, so that one answer names every mistake"
)]
pub(super) struct TailParams {
    /// Only events of this type; may be there up to 20 times.
    #[param(rename = "type", min_length = 1, max_length = 128, max_items = 20, example = json!(["order.paid"]))]
    event_type: Option<Vec<String>>,
    /// Only events of this order.
    #[param(min_length = 1, max_length = 128, example = "o-1001")]
    order_id: Option<String>,
    /// The last event that the client has, where it cannot send the header. The header goes before it; empty is as good as none.
    #[param(pattern = "^([0-9]{1,19}-[0-9]{1,19})?$", example = "1716998413541-0")]
    last_event_id: Option<String>,
}

impl TailQuery {
    /// Reads query string and headers; an error names every mistake.
    pub(super) fn parse(pairs: &[(String, String)], headers: &HeaderMap) -> Result<Self, Problem> {
        let allowed = ["type", "order_id", PARAMETER];
        let mut parameters = Parameters::with_repeated(pairs.iter().cloned(), &allowed, &["type"]);
        let filter = filter_query::read(&mut parameters);
        let of_query = parameters.read(PARAMETER, last_event_id).flatten();
        let of_header = headers.get(HEADER).map(|value| {
            last_event_id(&String::from_utf8_lossy(value.as_bytes())).unwrap_or_else(|message| {
                parameters.fail(HEADER, message);
                None
            })
        });
        parameters.finish()?;
        // A polyfill's query is that of the first connection; a browser's header is newer.
        Ok(Self { filter, after: of_header.flatten().or(of_query) })
    }
}

fn last_event_id(text: &str) -> Result<Option<StreamId>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = text.contains('-').then(|| text.parse().ok()).flatten();
    let allowed = "the id of an event (<milliseconds>-<sequence>), or 0-0";
    id.map(Some).ok_or_else(|| format!("{} is no event's ID; allowed: {allowed}", quoted(text)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(query: &[(&str, &str)], header: Option<&str>) -> Result<TailQuery, Problem> {
        let pairs: Vec<_> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let headers = header.map(|value| (HEADER.parse().unwrap(), value.parse().unwrap()));
        TailQuery::parse(&pairs, &headers.into_iter().collect())
    }

    #[test]
    fn the_header_goes_before_the_parameter() {
        let after = |query: &[(&str, &str)], header| parse(query, header).unwrap().after;
        assert_eq!(after(&[], None), None);
        assert_eq!(after(&[("last_event_id", "")], Some("")), None);
        assert_eq!(after(&[("last_event_id", "5-1")], None), Some(StreamId::new(5, 1)));
        assert_eq!(after(&[("last_event_id", "5-1")], Some("")), Some(StreamId::new(5, 1)));
        assert_eq!(after(&[("last_event_id", "5-1")], Some("7-0")), Some(StreamId::new(7, 0)));
    }

    #[test]
    fn every_mistake_is_named() {
        let problem = parse(&[("type", ""), ("typ", "x"), ("last_event_id", "5")], Some("x")).unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.kind()), (400, "/problems/invalid-query"));
        let errors = problem.to_json()["errors"].clone();
        let names: Vec<_> =
            errors.as_array().unwrap().iter().map(|it| it["parameter"].as_str().unwrap()).collect();
        assert_eq!(names, ["typ", "type", "last_event_id", "Last-Event-ID"]);
    }

    #[test]
    fn types_add_up() {
        let query = parse(&[("type", "a"), ("order_id", "o"), ("type", "b")], None).unwrap();
        assert_eq!(
            (query.filter.types, query.filter.order_id.as_deref()),
            (vec!["a".into(), "b".into()], Some("o"))
        );
        let many: Vec<_> = std::iter::repeat_n(("type", "a"), 21).collect();
        assert!(parse(&many, None).is_err() && parse(&many[1..], None).is_ok());
        assert!(parse(&[("order_id", "a"), ("order_id", "b")], None).is_err());
        assert!(parse(&[("order_id", &"x".repeat(129))], None).is_err());
    }

    proptest! {
        #[test]
        fn every_id_is_read_or_refused(ms: u64, seq: u64, other in "\\PC{0,60}", header in "[ -~]{0,60}") {
            let id = StreamId::new(ms, seq);
            prop_assert_eq!(parse(&[("last_event_id", &id.to_string())], None).unwrap().after, Some(id));
            for query in [parse(&[("last_event_id", &other)], None), parse(&[], Some(&header))].into_iter().flatten() {
                let text = query.after.map(|id| id.to_string()).unwrap_or_default();
                prop_assert!(text.is_empty() || text.parse::<StreamId>().is_ok());
            }
        }
    }
}
