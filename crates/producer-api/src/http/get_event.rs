//! `GET /v1/events/{id}`: one entry, as it is or as a CloudEvent.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use service_kit::Problem;
use stream_core::StreamId;
use tokio::time::timeout_at;

use super::{
    accept::preferred, cloudevents, document::GetAnswers, entry_json::EntryJson, media_type, problems,
    schemas::EventId,
};
use crate::app::App;

/// One event by its ID
///
/// Every entry can be read, also one that another program wrote.
#[utoipa::path(
    get, path = "/v1/events/{id}", operation_id = "getEvent", tag = "reading", responses(GetAnswers),
    params(("id" = EventId, Path, description = "A full ID")),
)]
pub(super) async fn get_event(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let deadline = app.deadline();
    let form = preferred(&headers, &[media_type::JSON, media_type::CLOUDEVENT])?;
    let Path(text) = path.map_err(|rejection| problems::invalid_id(&rejection.body_text()))?;
    let id = parse(&text).ok_or_else(|| problems::invalid_id(&text))?;
    match timeout_at(deadline, app.stream().get(id)).await {
        Ok(Ok(Some(entry))) => {
            let head = [(header::CONTENT_TYPE, form), (header::VARY, "accept")];
            Ok(match form {
                media_type::CLOUDEVENT => {
                    (head, Json(cloudevents::of_entry(&entry, app.stream().key()))).into_response()
                }
                _ => (head, Json(EntryJson(&entry))).into_response(),
            })
        }
        Ok(Ok(None)) => Err(problems::event_not_found(id)),
        Ok(Err(error)) => {
            app.metrics().redis_error(error.kind());
            Err(problems::not_read(&error))
        }
        Err(_) => Err(problems::deadline()),
    }
}

/// A bare millisecond names no entry.
fn parse(text: &str) -> Option<StreamId> {
    text.contains('-').then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_ids_name_an_entry() {
        assert_eq!(parse("5-1"), Some(StreamId::new(5, 1)));
        for text in ["5", "", "-", "+", "5-", "5-1-2", "five-1", "(5-1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
