//! `POST /v1/events`: one event or a batch, from JSON to the stream.

use axum::{
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use order_events::{Body, BodyError, EventProblem, ParseContext, parse_body};
use service_kit::Problem;

use super::{
    body::read_json,
    idempotency_key::idempotency_key,
    prefer::{self, applied},
    problems, receipt,
};
use crate::{
    app::App,
    clock::unix_ms,
    dedup::{self, Caller},
    metrics::Metrics,
};

/// Validates everything, then writes everything, and says of each event what became of it.
pub(super) async fn publish(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let deadline = app.deadline();
    let key = idempotency_key(request.headers())?;
    let preferred = prefer::durability(request.headers())?;
    let body = read_json(request, app.body_limit_bytes(), deadline).await?;
    let context = ParseContext { types: app.types(), now_ms: unix_ms() };
    let parsed = parse_body(&body, &context).map_err(|error| {
        count_rejected(app.metrics(), &error);
        problems::invalid_body(&error)
    })?;
    let bytes = body.len();
    // The events own what they need; a request that waits should not hold its body as well.
    drop(body);

    let caller = Caller::default();
    let (events, single) = match parsed {
        Body::One(event) => (vec![dedup::single(event, key.as_deref(), caller)], true),
        Body::Batch(events) => (dedup::batch(events, key.as_deref(), caller), false),
    };
    let queue = app.queue(preferred.unwrap_or_else(|| app.durability()));
    let ticket = queue.submit(events, bytes, deadline);
    let ticket = ticket.map_err(|failure| problems::not_stored(failure, app.admission()))?;
    let outcomes = ticket.outcomes(deadline).await;
    let response = if single {
        receipt::of_one(&outcomes, app.stream().key(), app.admission())?
    } else {
        receipt::of_batch(&outcomes, app.admission())?
    };
    let is_confirmed = outcomes.iter().flatten().next().is_some();
    let applied = preferred.filter(|_| is_confirmed).map(|durability| [applied(durability)]);
    Ok((applied, response).into_response())
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
