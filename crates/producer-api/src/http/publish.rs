//! `POST /v1/events`: one event or a batch, from JSON to the stream.

use axum::{
    extract::{Request, State},
    response::Response,
};
use order_events::{Body, BodyError, EventProblem, ParseContext, parse_body};
use service_kit::{Problem, auth::Caller};

use super::{body::read_json, problems, receipt};
use crate::{app::App, clock::unix_ms, metrics::Metrics};

/// Validates everything, then writes everything, and says of each event what became of it.
pub(super) async fn publish(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let caller = Caller::of(request.extensions());
    let body = read_json(request, app.body_limit_bytes(), app.deadline()).await?;
    // From here on, so that a body that was slow to arrive leaves Redis its time: an answer that came too late would say
    // `unknown` of events that a moment more would have stored.
    let deadline = app.deadline();
    let context = ParseContext { types: app.types(), now_ms: unix_ms() };
    let parsed = parse_body(&body, &context).map_err(|error| {
        count_rejected(app.metrics(), &error);
        problems::invalid_body(&error)
    })?;
    let bytes = body.len();
    // The events own what they need; a request that waits should not hold its body as well.
    drop(body);

    let (events, single) = match parsed {
        Body::One(event) => (vec![event], true),
        Body::Batch(events) => (events, false),
    };
    caller.charge(events.len() as u32).map_err(problems::over_limit)?;
    let ticket = app.queue().submit(events, bytes);
    let ticket = ticket.map_err(|failure| problems::not_stored(failure, app.admission()))?;
    let outcomes = ticket.outcomes(deadline).await;
    if single {
        receipt::of_one(&outcomes, app.stream().key(), app.admission())
    } else {
        receipt::of_batch(&outcomes, app.admission())
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
