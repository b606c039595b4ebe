//! What a producer is told of its events: 201, 207, or a problem.

use axum::{
    Json,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use service_kit::{Problem, openapi::ProblemDetails};
use stream_core::{StreamId, StreamKey};
use utoipa::ToSchema;

use super::{problems, schemas::EventId};
use crate::{
    admission::Admission,
    group_commit::{Cause, Failure, Outcome, Stored, Written},
};

/// Says that nothing was written: everything had been before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A single event is stored.
#[derive(Serialize, ToSchema)]
pub(super) struct Created<'a> {
    #[schema(value_type = EventId)]
    id: StreamId,
    /// The key of the stream that holds it.
    stream: &'a str,
}

/// Every event of a batch is stored.
#[derive(Serialize, ToSchema)]
pub(super) struct Accepted {
    /// How many there are.
    accepted: usize,
    /// In the order sent.
    #[schema(value_type = Vec<EventId>)]
    ids: Vec<StreamId>,
}

/// Some events of a batch are stored.
#[derive(Serialize, ToSchema)]
pub(super) struct Partly {
    /// How many are.
    accepted: usize,
    /// How many are not, or perhaps not.
    failed: usize,
    /// One for each event, in the order sent.
    results: Vec<EventResult>,
}

/// What became of one event of a batch: its ID, or its problem.
#[derive(Serialize, ToSchema)]
pub(super) struct EventResult {
    /// Its place in the batch, from 0 on.
    index: usize,
    /// `yes`, `no` (safe to send again) or `unknown` (Redis did not answer: sending it again may store it twice).
    #[schema(value_type = StoredWord)]
    stored: Stored,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<EventId>, nullable = false)]
    id: Option<StreamId>,
    /// Whether it was there before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ProblemDetails>, nullable = false)]
    problem: Option<Value>,
}

/// The schema of [`Stored`].
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "a description")]
pub(super) enum StoredWord {
    Yes,
    No,
    Unknown,
}

/// The answer to a single event.
pub(super) fn of_one(
    outcomes: &[Outcome],
    stream: &StreamKey,
    admission: &Admission,
) -> Result<Response, Problem> {
    match outcomes {
        [Ok(Written { id, .. })] => {
            let location = [(header::LOCATION, format!("/v1/events/{id}"))];
            let created = Json(Created { id: *id, stream: stream.as_str() });
            Ok((StatusCode::CREATED, replayed(outcomes), location, created).into_response())
        }
        _ => of_batch(outcomes, admission),
    }
}

/// Says that every event was there before, if so.
fn replayed(outcomes: &[Outcome]) -> Option<[(HeaderName, &'static str); 1]> {
    let all = outcomes.iter().all(|outcome| matches!(outcome, Ok(Written { replayed: true, .. })));
    all.then_some([(REPLAYED, "true")])
}

/// The answer to a batch: 201 if every event is stored as was asked, 207 if some are stored, and if none is known to be, the
/// problem of the first, with the results of each where they differ. If all are stored but not confirmed, 504 with
/// their IDs.
pub(super) fn of_batch(outcomes: &[Outcome], admission: &Admission) -> Result<Response, Problem> {
    let failures: Vec<Failure> = outcomes.iter().filter_map(|outcome| outcome.err()).collect();
    let ids = || outcomes.iter().filter_map(id_of).collect();
    let accepted = outcomes.iter().filter(|outcome| id_of(outcome).is_some()).count();
    let Some(first) = failures.first() else {
        let body = Json(Accepted { accepted, ids: ids() });
        return Ok((StatusCode::CREATED, replayed(outcomes), body).into_response());
    };
    if failures.len() == outcomes.len() && accepted == outcomes.len() {
        let problem = problems::not_stored(Failure { entry: None, ..*first }, admission);
        let ids: Vec<StreamId> = ids();
        return Err(match ids[..] {
            [id] => problem.with("id", id.to_string()),
            _ => problem.with("ids", json!(ids)),
        });
    }
    if accepted > 0 {
        let failed = outcomes.len() - accepted;
        let partly = Partly { accepted, failed, results: results(outcomes, admission) };
        return Ok((StatusCode::MULTI_STATUS, Json(partly)).into_response());
    }
    let stored = problems::overall(failures.iter().copied());
    let same = |failure: &Failure| (failure.stored, failure.cause == Cause::Conflict);
    let differ = failures.iter().any(|failure| same(failure) != same(first));
    // The entry that it is about is one event's affair.
    let entry = first.entry.filter(|_| failures.len() == 1);
    let problem = problems::not_stored(Failure { stored, entry, ..*first }, admission);
    Err(if differ { problem.with("results", json!(results(outcomes, admission))) } else { problem })
}

fn results(outcomes: &[Outcome], admission: &Admission) -> Vec<EventResult> {
    let result = |(index, outcome): (usize, &Outcome)| match *outcome {
        Ok(Written { id, replayed }) => {
            EventResult { index, stored: Stored::Yes, id: Some(id), replayed, problem: None }
        }
        Err(failure) => EventResult {
            index,
            stored: failure.stored,
            id: id_of(outcome),
            replayed: false,
            problem: Some(problems::not_stored(failure, admission).to_json()),
        },
    };
    outcomes.iter().enumerate().map(result).collect()
}

/// The event's own entry, if it is known to be stored.
fn id_of(outcome: &Outcome) -> Option<StreamId> {
    match outcome {
        Ok(written) => Some(written.id),
        Err(Failure { stored: Stored::Yes, entry, .. }) => *entry,
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use order_events::EventTypes;
    use prometheus::Registry;
    use stream_core::ErrorKind;

    use super::*;
    use crate::{group_commit::Cause, metrics::Metrics};

    const NO: Failure = Failure::not_stored(Cause::Redis(ErrorKind::OutOfMemory));
    const UNKNOWN: Failure = Failure::unknown(Cause::Redis(ErrorKind::Timeout));

    fn id(seq: u64) -> Written {
        Written { id: StreamId::new(5, seq), replayed: false }
    }

    fn replay(seq: u64) -> Written {
        Written { replayed: true, ..id(seq) }
    }

    fn stream() -> StreamKey {
        StreamKey::new("events:orders").unwrap()
    }

    fn admission() -> Admission {
        let metrics = Metrics::register(&Registry::new(), &EventTypes::default()).unwrap();
        Admission::unlimited(metrics)
    }

    async fn answer(result: Result<Response, Problem>) -> (u16, Value) {
        let response = result.unwrap_or_else(IntoResponse::into_response);
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 64 * 1024).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn one_stored_event_has_its_location() {
        let response = of_one(&[Ok(id(1))], &stream(), &admission()).unwrap();
        assert_eq!(response.headers()[header::LOCATION], "/v1/events/5-1");
        let (status, body) = answer(Ok(response)).await;
        assert_eq!((status, body), (201, json!({"id": "5-1", "stream": "events:orders"})));
    }

    #[tokio::test]
    async fn one_event_that_failed_is_a_problem() {
        let (status, body) = answer(of_one(&[Err(UNKNOWN)], &stream(), &admission())).await;
        assert_eq!((status, &body["stored"]), (503, &json!("unknown")));
        assert_eq!(body["type"], "/problems/redis-unavailable");
        assert_eq!(body.get("results"), None);
    }

    #[tokio::test]
    async fn a_batch_part_way_is_207_with_each_index() {
        let (status, body) =
            answer(of_batch(&[Ok(id(1)), Err(NO), Ok(id(2)), Err(UNKNOWN)], &admission())).await;
        assert_eq!(status, 207);
        assert_eq!((&body["accepted"], &body["failed"]), (&json!(2), &json!(2)));
        let results = body["results"].as_array().unwrap();
        assert_eq!(results[0], json!({"index": 0, "stored": "yes", "id": "5-1"}));
        assert_eq!((&results[1]["index"], &results[1]["stored"]), (&json!(1), &json!("no")));
        assert_eq!(results[1]["problem"]["type"], "/problems/redis-refused");
        assert_eq!(results[1]["problem"]["stored"], "no");
        assert_eq!((&results[2]["id"], &results[3]["stored"]), (&json!("5-2"), &json!("unknown")));
    }

    #[tokio::test]
    async fn a_batch_of_which_nothing_is_known_to_be_stored_is_no_success() {
        let (status, body) = answer(of_batch(&[Err(NO), Err(NO)], &admission())).await;
        assert_eq!((status, &body["stored"], body.get("results")), (503, &json!("no"), None));

        let (status, body) = answer(of_batch(&[Err(UNKNOWN), Err(NO)], &admission())).await;
        assert_eq!((status, &body["stored"]), (503, &json!("unknown")));
        assert_eq!(body["results"][1]["stored"], "no", "the client may send this one again");
    }

    #[tokio::test]
    async fn only_what_was_there_as_a_whole_is_a_replay() {
        let all = of_batch(&[Ok(replay(1)), Ok(replay(2))], &admission()).unwrap();
        assert_eq!(all.headers()[REPLAYED], "true");
        assert_eq!(answer(Ok(all)).await, (201, json!({"accepted": 2, "ids": ["5-1", "5-2"]})));
        let some = of_batch(&[Ok(replay(1)), Ok(id(2))], &admission()).unwrap();
        assert_eq!((some.status().as_u16(), some.headers().get(REPLAYED)), (201, None));
        let one = of_one(&[Ok(replay(1))], &stream(), &admission()).unwrap();
        assert_eq!(
            (&one.headers()[REPLAYED], &one.headers()[header::LOCATION]),
            (&"true".parse().unwrap(), &"/v1/events/5-1".parse().unwrap())
        );

        let (status, body) = answer(of_batch(&[Ok(replay(1)), Err(NO)], &admission())).await;
        assert_eq!((status, &body["results"][0]["replayed"]), (207, &json!(true)));
    }

    #[tokio::test]
    async fn a_conflict_tells_whose_key_it_is() {
        let conflict = Failure::conflict(StreamId::new(5, 1));
        let (status, body) = answer(of_one(&[Err(conflict)], &stream(), &admission())).await;
        assert_eq!((status, &body["id"], &body["stored"]), (409, &json!("5-1"), &json!("no")));
        let (status, body) = answer(of_batch(&[Err(conflict), Err(conflict)], &admission())).await;
        assert_eq!((status, body.get("results"), body.get("id")), (409, None, None));
        let (status, body) = answer(of_batch(&[Err(conflict), Ok(id(2))], &admission())).await;
        assert_eq!((status, &body["results"][0]["problem"]["status"]), (207, &json!(409)));
        assert_eq!(body["results"][0].get("id"), None);
        let (status, body) = answer(of_batch(&[Err(conflict), Err(NO)], &admission())).await;
        assert_eq!((status, &body["results"][1]["problem"]["status"]), (409, &json!(503)));
    }

    #[tokio::test]
    async fn what_is_stored_and_not_confirmed_is_504_with_its_ids() {
        let late = |seq| Err(Failure::not_confirmed(id(seq)));
        let (status, body) = answer(of_one(&[late(1)], &stream(), &admission())).await;
        assert_eq!((status, &body["stored"], &body["id"]), (504, &json!("yes"), &json!("5-1")));
        let (status, body) = answer(of_batch(&[late(1), late(2)], &admission())).await;
        assert_eq!((status, &body["stored"], &body["ids"]), (504, &json!("yes"), &json!(["5-1", "5-2"])));
        let (status, body) = answer(of_batch(&[late(1), Err(NO)], &admission())).await;
        assert_eq!((status, &body["accepted"], &body["failed"]), (207, &json!(1), &json!(1)));
        assert_eq!(
            (&body["results"][0]["id"], &body["results"][0]["stored"]),
            (&json!("5-1"), &json!("yes"))
        );
        assert_eq!(body["results"][0]["problem"]["status"], 504);
    }
}
