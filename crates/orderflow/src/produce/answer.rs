//! What an answer of producer-api means for each event of the request.

use reqwest::StatusCode;
use serde_json::Value;

use super::check::told;
use crate::api_key;

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is in the stream, under this ID.
    Stored(String),
    /// It breaks the rules; nothing of it was stored.
    Rejected(Vec<String>),
    /// It was not stored and may be sent again.
    NotStored(String),
    /// It may have been stored or not.
    Unknown(String),
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// An outcome for each event, in the order sent.
    Each(Vec<Outcome>),
    /// The request as a whole was refused, and will be again.
    Refused(String),
}

/// Reads an answer to a batch of `count` events.
pub(super) fn read(status: StatusCode, body: &Value, count: usize) -> Answer {
    let whole = reason(status, body);
    match (status, body["results"].as_array()) {
        (StatusCode::CREATED, _) => stored(body, count),
        (StatusCode::MULTI_STATUS, None) => unintelligible(count),
        (StatusCode::MULTI_STATUS | StatusCode::SERVICE_UNAVAILABLE, Some(results)) => parted(results, count),
        (StatusCode::TOO_MANY_REQUESTS, _) => Answer::Each(vec![Outcome::NotStored(whole); count]),
        (StatusCode::UNPROCESSABLE_ENTITY, _) => rejected(body, count),
        (status, _) if status.is_client_error() || status.is_redirection() => Answer::Refused(whole),
        _ => Answer::Each(vec![by_stored(body, whole); count]),
    }
}

fn stored(body: &Value, count: usize) -> Answer {
    let ids: Option<Vec<_>> = body["ids"].as_array().map(|ids| {
        ids.iter().filter_map(|id| id.as_str().map(|id| Outcome::Stored(id.to_owned()))).collect()
    });
    match ids {
        Some(ids) if ids.len() == count => Answer::Each(ids),
        _ => unintelligible(count),
    }
}

/// For each index its ID or its problem. What is not mentioned is unknown.
fn parted(results: &[Value], count: usize) -> Answer {
    let mut outcomes = vec![Outcome::Unknown("the answer does not mention it".to_owned()); count];
    for result in results {
        let index = result["index"].as_u64().map_or(usize::MAX, |index| index as usize);
        let Some(outcome) = outcomes.get_mut(index) else { continue };
        *outcome = match result["id"].as_str() {
            Some(id) => Outcome::Stored(id.to_owned()),
            None => by_stored(result, describe(&result["problem"])),
        };
    }
    Answer::Each(outcomes)
}

/// Problems of single events; the others of the batch were not stored either.
fn rejected(body: &Value, count: usize) -> Answer {
    let rows = body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut problems = vec![Vec::new(); count];
    for row in rows {
        let index = row["index"].as_u64().map_or(usize::MAX, |index| index as usize);
        if let Some(problems) = problems.get_mut(index) {
            let (field, message) = (row["field"].as_str(), row["message"].as_str());
            problems.push(told(field.unwrap_or_default(), message.unwrap_or("is not allowed")));
        }
    }
    if problems.iter().all(Vec::is_empty) {
        return Answer::Refused(reason(StatusCode::UNPROCESSABLE_ENTITY, body));
    }
    let outcome = |problems: Vec<String>| {
        if problems.is_empty() {
            Outcome::NotStored("another event of its batch was rejected".to_owned())
        } else {
            Outcome::Rejected(problems)
        }
    };
    Answer::Each(problems.into_iter().map(outcome).collect())
}

/// Only an explicit `stored: no` makes it safe to send an event again.
fn by_stored(problem: &Value, reason: String) -> Outcome {
    match problem["stored"].as_str() {
        Some("no") => Outcome::NotStored(reason),
        _ => Outcome::Unknown(reason),
    }
}

fn unintelligible(count: usize) -> Answer {
    Answer::Each(vec![Outcome::Unknown("the answer cannot be understood".to_owned()); count])
}

fn reason(status: StatusCode, body: &Value) -> String {
    let described = describe(body);
    let described = if described.is_empty() { status.to_string() } else { format!("{status}: {described}") };
    described + api_key::hint(status)
}

/// Title and detail of a problem.
fn describe(problem: &Value) -> String {
    let parts = ["title", "detail"].map(|member| problem[member].as_str().unwrap_or_default());
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn each(status: u16, body: &Value, count: usize) -> Vec<Outcome> {
        match read(StatusCode::from_u16(status).unwrap(), body, count) {
            Answer::Each(outcomes) => outcomes,
            Answer::Refused(reason) => panic!("refused: {reason}"),
        }
    }

    fn stored(id: &str) -> Outcome {
        Outcome::Stored(id.to_owned())
    }

    #[test]
    fn a_success_has_an_id_for_each_event() {
        assert_eq!(
            each(201, &json!({"accepted": 2, "ids": ["1-0", "1-1"]}), 2),
            [stored("1-0"), stored("1-1")]
        );
        assert!(matches!(each(201, &json!({"accepted": 1, "ids": ["1-0"]}), 2)[0], Outcome::Unknown(_)));
        assert!(matches!(each(201, &Value::Null, 1)[0], Outcome::Unknown(_)));
    }

    #[test]
    fn only_an_explicit_no_may_be_sent_again() {
        let no = json!({"title": "Redis is away", "detail": "connection refused", "stored": "no"});
        let reason = "503 Service Unavailable: Redis is away: connection refused".to_owned();
        assert_eq!(each(503, &no, 1), [Outcome::NotStored(reason)]);
        for body in [json!({"stored": "unknown"}), json!({}), Value::Null] {
            assert!(matches!(each(503, &body, 1)[0], Outcome::Unknown(_)), "{body}");
            assert!(matches!(each(500, &body, 1)[0], Outcome::Unknown(_)), "{body}");
        }
        assert!(matches!(each(429, &json!({}), 1)[0], Outcome::NotStored(_)));
    }

    #[test]
    fn a_parted_answer_is_read_event_by_event() {
        let body = json!({"results": [
            {"index": 1, "problem": {"title": "Redis refused", "stored": "no"}, "stored": "no"},
            {"index": 0, "id": "1-0", "stored": "yes"},
            {"index": 2, "problem": {"title": "Timed out"}, "stored": "unknown"},
        ]});
        assert_eq!(each(503, &body, 4), each(207, &body, 4));
        let outcomes = each(207, &body, 4);
        assert_eq!(outcomes[..2], [stored("1-0"), Outcome::NotStored("Redis refused".to_owned())]);
        assert_eq!(outcomes[2], Outcome::Unknown("Timed out".to_owned()));
        assert!(matches!(outcomes[3], Outcome::Unknown(_)), "not mentioned");
    }

    #[test]
    fn a_rejection_names_the_events() {
        let body = json!({"title": "Invalid events", "errors": [
            {"index": 1, "field": "amount", "message": "is negative"},
            {"index": 1, "field": "", "message": "is too large"},
        ]});
        let outcomes = each(422, &body, 2);
        assert!(matches!(outcomes[0], Outcome::NotStored(_)));
        let problems = vec!["amount: is negative".to_owned(), "is too large".to_owned()];
        assert_eq!(outcomes[1], Outcome::Rejected(problems));
        let whole = read(StatusCode::UNPROCESSABLE_ENTITY, &json!({"detail": "no"}), 2);
        assert_eq!(whole, Answer::Refused("422 Unprocessable Entity: no".to_owned()));
        assert_eq!(read(StatusCode::NOT_FOUND, &Value::Null, 1), Answer::Refused("404 Not Found".to_owned()));
    }
}
