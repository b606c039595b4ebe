//! `POST /v1/events`: one event or a batch, from whatever form to the stream.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use order_events::{Body, BodyError, EventProblem, ParseContext, cloudevents, parse_body};
use service_kit::{Problem, auth::Caller, config::Durability};

use super::{
    body,
    cloudevents::attributes,
    document::PublishAnswers,
    encoding::{self, Encoding},
    idempotency_key::idempotency_key,
    media_type::{self, Form},
    ndjson,
    prefer::{self, applied},
    problems, receipt,
    schemas::{DurabilityPreference, EventOrBatch, IdempotencyKey},
};
use crate::{app::App, clock::unix_ms, dedup, metrics::Metrics};

/// Append one event, or a batch
///
/// An object is one event, an array of 1 to 1,000 objects a batch. Everything is validated before anything is written: a bad event
/// means that nothing was, and the answer names every mistake. Then everything is written, and the answer says of each event what
/// became of it.
///
/// `stored` is `yes`, `no` (safe to send again) or `unknown` (Redis did not answer: sending it again may store it twice, unless it
/// has an `Idempotency-Key` or an `id`).
#[utoipa::path(
    post, path = "/v1/events", operation_id = "publishEvents", tag = "writing", responses(PublishAnswers),
    request_body(content = EventOrBatch, description = "At most `producer.body_limit_bytes`, after inflation if it is compressed (gzip, zstd)", examples(
        ("one" = (value = json!({"type": "order.paid", "order_id": "o-1001", "customer": "c-7", "amount": "49.50"}))),
        ("batch" = (value = json!([
            {"type": "order.placed", "order_id": "o-1002", "customer": "c-8", "amount": 12, "ts_ms": 1_716_998_413_540_u64},
            {"type": "order.paid", "order_id": "o-1002", "customer": "c-8", "amount": "12.00", "gift": true},
        ]))),
    )),
    params(
        ("Idempotency-Key" = Option<IdempotencyKey>, Header, description = "Sent again under the same key, an event (or a batch) is stored once within \
            `producer.idempotency_window`; another body under it is a 409. A quoted string or a bare token of 1 to 128 printable ASCII characters. \
            In NDJSON, line n has the key `<key>#n`."),
        ("Prefer" = Option<DurabilityPreference>, Header, description = "What is to have happened before the events count as stored (RFC 7240; other \
            preferences mean nothing here): `replica`: `producer.durability_replicas` replicas have them; `fsync`: Redis has synced them to its disk. \
            422 if Redis cannot tell, 504 with the IDs if it does not in time."),
    ),
)]
pub(super) async fn publish(State(app): State<App>, request: Request) -> Response {
    // What is refused for its form is told which forms there are.
    match take(app, request).await {
        Ok(response) => response,
        Err(problem) => {
            let allowed: Option<(HeaderName, &str)> = match problem.kind() {
                problems::UNSUPPORTED_MEDIA_TYPE => Some((header::ACCEPT, media_type::ACCEPTED)),
                problems::UNSUPPORTED_ENCODING => Some((header::ACCEPT_ENCODING, encoding::ACCEPTED)),
                _ => None,
            };
            let mut response = problem.into_response();
            if let Some((name, value)) = allowed {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            response
        }
    }
}

/// What a request asks for beside storing its events.
pub(super) struct Wishes {
    /// Its `Idempotency-Key`.
    pub(super) key: Option<String>,
    /// What is to have happened before its events count as stored.
    pub(super) durability: Option<Durability>,
}

impl Wishes {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self { key: idempotency_key(headers)?, durability: prefer::durability(headers)? })
    }
}

async fn take(app: App, request: Request) -> Result<Response, Problem> {
    let form = Form::of(request.headers())?;
    let encoding = Encoding::of(request.headers())?;
    let wishes = Wishes::of(request.headers())?;
    match form {
        Form::Ndjson => ndjson::import(app, request, encoding, wishes).await,
        _ => store(&app, request, form, encoding, &wishes).await,
    }
}

/// Validates everything, then writes everything, and says of each event what became of it.
async fn store(
    app: &App,
    request: Request,
    form: Form,
    encoding: Encoding,
    wishes: &Wishes,
) -> Result<Response, Problem> {
    let caller = Caller::of(request.extensions());
    let refused = |error: BodyError| {
        count_rejected(app.metrics(), &error);
        problems::invalid_body(&error)
    };
    let attributes = match form {
        Form::BinaryCloudEvent => attributes(request.headers()).map_err(refused)?,
        _ => Vec::new(),
    };
    let body = body::read(request, encoding, app.body_limit_bytes(), app.deadline()).await?;
    // From here on, so that a body that was slow to arrive leaves Redis its time: an answer that came too late would say
    // `unknown` of events that a moment more would have stored.
    let deadline = app.deadline();
    let context = ParseContext { types: app.types(), now_ms: unix_ms() };
    let parsed = parse(form, &attributes, &body, &context).map_err(refused)?;
    let bytes = body.len();
    // The events own what they need; a request that waits should not hold its body as well.
    drop(body);

    let (key, sender) = (wishes.key.as_deref(), dedup::Caller(caller.id()));
    let (events, single) = match parsed {
        Body::One(event) => (vec![dedup::single(event, key, sender)], true),
        Body::Batch(events) => (dedup::batch(events, key, sender), false),
    };
    caller.charge(events.len() as u32).map_err(problems::over_limit)?;
    let queue = app.queue(wishes.durability.unwrap_or_else(|| app.durability()));
    let ticket = queue.submit(events, bytes, deadline);
    let ticket = ticket.map_err(|failure| problems::not_stored(failure, app.admission()))?;
    let outcomes = ticket.outcomes(deadline).await;
    let response = if single {
        receipt::of_one(&outcomes, app.stream().key(), app.admission())?
    } else {
        receipt::of_batch(&outcomes, app.admission())?
    };
    let is_confirmed = outcomes.iter().flatten().next().is_some();
    let applied = wishes.durability.filter(|_| is_confirmed).map(|durability| [applied(durability)]);
    Ok((applied, response).into_response())
}

fn parse(
    form: Form,
    attributes: &[(String, String)],
    body: &[u8],
    context: &ParseContext<'_>,
) -> Result<Body, BodyError> {
    match form {
        Form::Json => parse_body(body, context),
        Form::CloudEvent => cloudevents::parse_event(body, context).map(Body::One),
        Form::CloudEventsBatch => cloudevents::parse_batch(body, context).map(Body::Batch),
        Form::BinaryCloudEvent => {
            let attributes = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            cloudevents::parse_binary(attributes, body, context).map(Body::One)
        }
        Form::Ndjson => unreachable!("it is not read as a whole"),
    }
}

/// Counts the events that broke a rule; their valid neighbours were not written either, but not rejected.
fn count_rejected(metrics: &Metrics, error: &BodyError) {
    metrics.rejected(match error {
        BodyError::Invalid(problems) => bad_events(problems),
        BodyError::BatchTooLarge { events } => *events,
        _ => 0,
    });
}

/// How many different events there are problems with. The problems of one event are adjacent.
fn bad_events(problems: &[EventProblem]) -> usize {
    problems.chunk_by(|one, next| one.index == next.index).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_with_several_problems_counts_once() {
        let problem = |index| EventProblem { index, field: "type".to_owned(), message: String::new() };
        assert_eq!(bad_events(&[]), 0);
        assert_eq!(bad_events(&[problem(0), problem(0), problem(3), problem(4), problem(4)]), 3);
    }
}
