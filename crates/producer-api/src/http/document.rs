//! The OpenAPI document: what every operation answers, with examples that the code itself makes.

use std::{collections::BTreeMap, time::Duration};

use order_events::{BodyError, EventTypes, ParseContext, parse_body};
use serde_json::{Value, json};
use service_kit::{
    Problem,
    auth::{Refusal, Scope},
    openapi::{Answers, ProblemDetails},
    query::Parameters,
};
use stream_core::{CannotConfirm, ErrorKind, StreamId};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{Object, ObjectBuilder, OpenApi, Ref, RefOr, Response, Schema, Type},
};

use super::{list_events::PageJson, media_type, problems, receipt, schemas};
use crate::{
    admission::{Cap, Holder, Report},
    group_commit::{Cause, Failure, Written},
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Orderflow producer-api",
        description = "Takes order events, appends them to a Redis stream, and reads the stream back.\n\n\
            Errors are `application/problem+json` (RFC 9457) with a stable `type`; a path or a method that there is not is \
            `/problems/not-found` (404) or `/problems/method-not-allowed` (405, with `Allow`). Every request is answered within \
            `producer.request_deadline`, whether Redis answers or not.\n\n\
            Where API keys are configured, send one as `Authorization: Bearer KEY` or `X-API-Key: KEY`: `GET` needs the scope \
            `read`, all else `produce`. Answers to a key with a rate limit have `RateLimit` and `RateLimit-Policy`. Bodies may also be \
            `application/x-ndjson` or CloudEvents, and compressed with gzip or zstd.",
    ),
    servers((url = "/")),
    tags(
        (name = "writing", description = "Appending events"),
        (name = "reading", description = "Reading what was appended"),
    ),
    components(schemas(
        ProblemDetails, schemas::Event, schemas::EventOrBatch, schemas::EventId, schemas::StoredEvent, schemas::IdempotencyKey,
        schemas::DurabilityPreference, PageJson,
        receipt::Created<'static>, receipt::Accepted, receipt::Partly, receipt::EventResult, receipt::StoredWord,
    )),
)]
pub(super) struct Document;

/// Adds what is configured: the types that may be sent.
pub(super) fn configured(mut document: OpenApi, types: &EventTypes) -> OpenApi {
    let schemas = document.components.as_mut().map(|components| &mut components.schemas);
    let event = schemas.and_then(|schemas| schemas.get_mut(schemas::Event::name().as_ref()));
    if let Some(RefOr::T(Schema::Object(Object { properties, .. }))) = event {
        let names: Vec<Value> = types.iter().map(|name| name.as_str().into()).collect();
        let name = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("One of the types that the service is configured with (`stream.event_types`)"))
            .enum_values(Some(names));
        properties.insert("type".to_owned(), name.into());
    }
    document
}

/// The bytes that examples say a body may have at most.
const LIMIT: usize = 1024 * 1024;

fn id(seq: u64) -> StreamId {
    StreamId::new(1_716_998_413_541, seq)
}

fn stored_event() -> Value {
    let fields = json!({
        "type": "order.paid", "order_id": "o-1001", "customer": "c-7", "amount": "49.50", "ts_ms": "1716998413540",
    });
    json!({ "id": id(0), "fields": fields })
}

/// `POST /v1/events`.
pub(super) struct PublishAnswers;

impl IntoResponses for PublishAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let refused = Failure::not_stored(Cause::Redis(ErrorKind::OutOfMemory));
        let problem = not_stored(refused).to_json();
        let partly = json!({ "accepted": 1, "failed": 1, "results": [
            { "index": 0, "stored": "yes", "id": id(0) }, { "index": 1, "stored": "no", "problem": problem },
        ]});
        let created = RefOr::T(Schema::OneOf(
            utoipa::openapi::OneOfBuilder::new()
                .item(Ref::from_schema_name(receipt::Created::name()))
                .item(Ref::from_schema_name(receipt::Accepted::name()))
                .build(),
        ));
        let one = json!({ "id": id(0), "stream": "events:orders" });
        let batch = json!({ "accepted": 2, "ids": [id(0), id(1)] });
        Answers::new()
            .content(
                201,
                "application/json",
                "Every event is stored. The IDs of a batch are in the order sent.",
                created,
                [("one", one), ("batch", batch)],
            )
            .header(201, "Location", "Where a single event can be read", "/v1/events/1716998413541-0")
            .header(
                201,
                "Idempotency-Replayed",
                "`true`: every event was there before, nothing was written",
                "true",
            )
            .header(
                201,
                "Preference-Applied",
                "The durability that was asked for and is reached",
                "durability=replica",
            )
            .header(
                207,
                "Preference-Applied",
                "As above, of the events that have no problem",
                "durability=replica",
            )
            .json::<receipt::Partly>(
                207,
                "Some events of a batch are stored: each with its ID or its problem",
                [("partly", partly)],
            )
            .problems(invalid_bodies())
            .problems(locked(Scope::Produce))
            .problems([
                problems::body_unreadable("the body ended early"),
                problems::body_timeout(),
                problems::body_too_large(LIMIT),
                problems::unsupported_media_type("Content-Type is \"text/plain\"; allowed: application/json"),
                problems::invalid_header("Prefer", "asks for an unknown durability", "durability=fsync"),
            ])
            .problems(
                [
                    Failure::not_stored(Cause::AtCap(Cap::Entries)),
                    Failure::not_stored(Cause::AtCap(Cap::Memory)),
                    Failure::unknown(Cause::Redis(ErrorKind::Timeout)),
                    refused,
                    Failure::unknown(Cause::Deadline),
                    Failure::not_stored(Cause::QueueFull),
                    Failure::not_stored(Cause::ShuttingDown),
                    Failure::unknown(Cause::WriterLost),
                    Failure::conflict(id(0)),
                    Failure::not_stored(Cause::CannotConfirm(CannotConfirm::NoAppendOnlyFile)),
                    Failure::not_confirmed(Written { id: id(0), replayed: false }),
                ]
                .map(not_stored),
            )
            .build()
    }
}

/// What bodies that are refused as a whole are answered, by the parser's own errors.
fn invalid_bodies() -> Vec<Problem> {
    let types = EventTypes::default();
    let context = ParseContext { types: &types, now_ms: 1_716_998_413_541 };
    let bad = br#"[{"type":"order.paid","order_id":"o-1","customer":"c-7","amount":"1e3"},{"type":"order.lost","order_id":"","_id":"x"}]"#;
    let bodies: [&[u8]; 4] = [br#"{"type":"order.paid","#, bad, b"[]", b"\"order.paid\""];
    let refused = bodies.into_iter().filter_map(|body| parse_body(body, &context).err());
    let too_many = BodyError::BatchTooLarge { events: 1_001 };
    refused.chain([too_many]).map(|error| problems::invalid_body(&error)).collect()
}

fn not_stored(failure: Failure) -> Problem {
    problems::not_stored_at(failure, |cap| match cap {
        Cap::Entries => {
            let holder = Holder { name: "analytics".to_owned(), rebuilds: None, alone: true };
            Report { used: 50_000_000, limit: 50_000_000, holder: Some(holder) }
        }
        Cap::Memory => Report { used: 3_221_225_472, limit: 3_221_225_472, holder: None },
    })
}

/// What is answered where API keys are configured.
fn locked(scope: Scope) -> [Problem; 6] {
    let ended = jiff::Timestamp::UNIX_EPOCH;
    [
        Refusal::Missing,
        Refusal::Unknown,
        Refusal::Expired(ended),
        Refusal::MissingScope(scope),
        Refusal::Ambiguous,
        Refusal::Slowed(Duration::from_secs(1)),
    ]
    .map(|refusal| refusal.problem())
}

/// What reading meets when Redis does not answer.
fn not_read() -> [Problem; 3] {
    [problems::redis(ErrorKind::Connection), problems::redis(ErrorKind::Auth), problems::deadline()]
}

/// A query with a mistake, as every query's mistakes are answered.
fn invalid_query(parameter: &str, message: &str) -> Option<Problem> {
    let mut parameters = Parameters::new([], &[]);
    parameters.fail(parameter, message);
    parameters.finish().err()
}

/// `GET /v1/events`.
pub(super) struct ListAnswers;

impl IntoResponses for ListAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let page = json!({ "events": [stored_event()], "next": id(1), "scanned": 1 });
        let last = json!({ "events": [], "next": null, "scanned": 0 });
        Answers::new()
            .json::<PageJson>(
                200,
                "A page, possibly empty; there is more as long as `next` is not null",
                [("page", page), ("end", last)],
            )
            .problems(invalid_query("count", "\"0\" is no count; allowed: 1 to 1000"))
            .problems([problems::not_acceptable(&[media_type::JSON, media_type::CLOUDEVENTS_BATCH])])
            .problems(locked(Scope::Read))
            .problems(not_read())
            .build()
    }
}

/// `GET /v1/events/{id}`.
pub(super) struct GetAnswers;

impl IntoResponses for GetAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        Answers::new()
            .json::<schemas::StoredEvent>(200, "The event", [("event", stored_event())])
            .problems([problems::invalid_id("1716998413541"), problems::event_not_found(id(0))])
            .problems([problems::not_acceptable(&[media_type::JSON, media_type::CLOUDEVENT])])
            .problems(locked(Scope::Read))
            .problems(not_read())
            .build()
    }
}

/// `GET /v1/events/tail`.
pub(super) struct TailAnswers;

impl IntoResponses for TailAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let (opening, event) = ("retry: 2000\nid: 1716998413540-0\n\n", stored_event());
        let stream = format!("{opening}id: {}\ndata: {event}\n\n: heartbeat\n\n", id(0));
        let gap = json!({ "reason": "trimmed", "after": id(0), "next": id(7) });
        let gap = format!("{opening}event: gap\ndata: {gap}\n\n");
        let overrun = format!("event: overrun\ndata: {}\n\n", json!({ "last_event_id": id(0) }));
        let text = ObjectBuilder::new().schema_type(Type::String).description(Some("Server-sent events"));
        Answers::new()
            .content(
                200,
                "text/event-stream",
                "Events, without end",
                text.build(),
                [("events", json!(stream)), ("gap", json!(gap)), ("overrun", json!(overrun))],
            )
            .problems(invalid_query(
                "Last-Event-ID",
                "\"5\" is no event's ID; allowed: the id of an event (<milliseconds>-<sequence>), or 0-0",
            ))
            .problems(locked(Scope::Read))
            .problems([problems::too_many_subscribers(), problems::deadline()])
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also what nobody has listed: a status without an example, a reference to a schema that is not there.
    #[test]
    fn every_answer_has_an_example_and_every_reference_a_schema() {
        let document = serde_json::to_value(crate::http::document(&EventTypes::default())).unwrap();
        let mut operations = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                operations += 1;
                for (status, answer) in operation["responses"].as_object().unwrap() {
                    let what = format!("{method} {path} {status}");
                    assert!(!answer["description"].as_str().unwrap().is_empty(), "{what}");
                    for content in answer["content"].as_object().expect(&what).values() {
                        assert!(content["examples"].as_object().is_some_and(|all| !all.is_empty()), "{what}");
                    }
                }
            }
        }
        assert_eq!(operations, 4);
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        let types = &document["components"]["schemas"]["Event"]["properties"]["type"]["enum"];
        assert_eq!(types.as_array().unwrap().len(), 4, "{types}");
    }

    #[test]
    fn every_status_that_can_be_answered_is_described() {
        let document = serde_json::to_value(crate::http::document(&EventTypes::default())).unwrap();
        let statuses = |path: &str, method: &str| -> Vec<String> {
            document["paths"][path][method]["responses"].as_object().unwrap().keys().cloned().collect()
        };
        let publish =
            ["201", "207", "400", "401", "403", "408", "409", "413", "415", "422", "429", "503", "504"];
        assert_eq!(statuses("/v1/events", "post"), publish);
        assert_eq!(statuses("/v1/events", "get"), ["200", "400", "401", "403", "406", "429", "503"]);
        let one = ["200", "400", "401", "403", "404", "406", "429", "503"];
        assert_eq!(statuses("/v1/events/{id}", "get"), one);
        assert_eq!(statuses("/v1/events/tail", "get"), ["200", "400", "401", "403", "429", "503"]);
    }
}
