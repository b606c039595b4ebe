//! `Content-Type` of `POST /v1/events`: in which form the events come.

use axum::http::{HeaderMap, header};
use order_events::cloudevents::is_json_media_type;
use service_kit::Problem;

use super::problems;

/// One event, or an array of them.
pub(super) const JSON: &str = "application/json";
/// One event a line.
pub(super) const NDJSON: &str = "application/x-ndjson";
/// One CloudEvent.
pub(super) const CLOUDEVENT: &str = "application/cloudevents+json";
/// An array of CloudEvents.
pub(super) const CLOUDEVENTS_BATCH: &str = "application/cloudevents-batch+json";

/// What may be posted, for `Accept`.
pub(super) const ACCEPTED: &str = "application/json, application/x-ndjson, application/cloudevents+json, application/cloudevents-batch+json";

/// The form in which a request carries events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Ndjson,
    /// A CloudEvent in the structured mode.
    CloudEvent,
    CloudEventsBatch,
    /// A CloudEvent whose attributes are headers.
    BinaryCloudEvent,
}

impl Form {
    /// The form that the headers tell. As in the HTTP binding of CloudEvents, headers that start with `ce-` tell the
    /// binary mode unless the media type is that of another mode.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
            return Err(problems::unsupported_media_type(format!(
                "there is no Content-Type; allowed: {ACCEPTED}"
            )));
        };
        let content_type = String::from_utf8_lossy(content_type.as_bytes());
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let attributes = ["ce-specversion", "ce-id", "ce-source", "ce-type"];
        let binary = attributes.iter().any(|name| headers.contains_key(*name));
        match essence.as_str() {
            CLOUDEVENT => Ok(Self::CloudEvent),
            CLOUDEVENTS_BATCH => Ok(Self::CloudEventsBatch),
            other if binary && is_json_media_type(other) => Ok(Self::BinaryCloudEvent),
            other if binary => Err(problems::unsupported_media_type(format!(
                "Content-Type is {:?}; the data of a CloudEvent must be JSON",
                shown(other)
            ))),
            JSON => Ok(Self::Json),
            NDJSON => Ok(Self::Ndjson),
            other => Err(problems::unsupported_media_type(format!(
                "Content-Type is {:?}; allowed: {ACCEPTED}",
                shown(other)
            ))),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn told(headers: &[(&'static str, &'static str)]) -> Result<Form, u16> {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        Form::of(&headers.collect()).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn media_types_are_taken_with_parameters_and_in_any_case() {
        for (content_type, form) in [
            ("application/json", Form::Json),
            ("Application/JSON; charset=utf-8", Form::Json),
            ("application/x-ndjson", Form::Ndjson),
            ("application/cloudevents+json; charset=UTF-8", Form::CloudEvent),
            ("application/cloudevents-batch+json", Form::CloudEventsBatch),
        ] {
            assert_eq!(told(&[("content-type", content_type)]), Ok(form), "{content_type}");
        }
    }

    #[test]
    fn headers_of_cloudevents_tell_the_binary_mode() {
        let id = ("ce-id", "1");
        for content_type in ["application/json", "text/json", "application/vnd.shop+json"] {
            assert_eq!(told(&[("content-type", content_type), id]), Ok(Form::BinaryCloudEvent));
        }
        assert_eq!(
            told(&[("content-type", CLOUDEVENT), id]),
            Ok(Form::CloudEvent),
            "the envelope has it all"
        );
        for content_type in ["application/x-ndjson", "application/xml", "text/plain"] {
            assert_eq!(told(&[("content-type", content_type), id]), Err(415), "{content_type}");
        }
        assert_eq!(told(&[("content-type", JSON), ("ce-partitionkey", "1")]), Ok(Form::Json));
    }

    #[test]
    fn everything_else_is_415() {
        assert_eq!(told(&[]), Err(415));
        for content_type in
            ["", "text/plain", "text/json", "application/ndjson", "application/cloudevents+avro", "æ"]
        {
            assert_eq!(told(&[("content-type", content_type)]), Err(415), "{content_type}");
        }
    }
}
