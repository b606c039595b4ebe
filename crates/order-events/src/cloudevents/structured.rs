//! Reads CloudEvents: an envelope of JSON, a batch of them, or attributes and data that came apart.

use super::attributes::Attributes;
use crate::{
    event::OrderEvent,
    json::{
        Envelope, ParseContext, RawObject, Scalar, batch_of, kind_of, parse, read_text, utf8, validate_data,
    },
    limits::MAX_FIELDS,
    problem::{BodyError, EventProblem},
};

/// Reads one event in the JSON format (`application/cloudevents+json`).
pub fn parse_event(json: impl AsRef<[u8]>, context: &ParseContext<'_>) -> Result<OrderEvent, BodyError> {
    let json = utf8(json.as_ref())?;
    let object = outline(json, Scalar::OBJECT, "a CloudEvent (object)")?;
    event(0, &object, context).map_err(BodyError::Invalid)
}

/// Reads a batch in the JSON format (`application/cloudevents-batch+json`): 1 to
/// [`MAX_BATCH_EVENTS`](crate::MAX_BATCH_EVENTS) events, by the rules of [`parse_body`](crate::parse_body).
pub fn parse_batch(json: impl AsRef<[u8]>, context: &ParseContext<'_>) -> Result<Vec<OrderEvent>, BodyError> {
    let json = utf8(json.as_ref())?;
    match kind_of(json) {
        Scalar::ARRAY => batch_of(json, |index, object| event(index, object, context)),
        _ => Err(crate::json::wrong_shape(json, "a batch of CloudEvents (array)")),
    }
}

/// Reads an event whose attributes came apart from its data (the binary mode). The names are without a prefix, the
/// values as text; `datacontenttype` is one of them.
pub fn parse_binary<'a>(
    attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    data: impl AsRef<[u8]>,
    context: &ParseContext<'_>,
) -> Result<OrderEvent, BodyError> {
    let mut read = Attributes::new(0, context);
    for (name, value) in attributes {
        match name {
            "data" | "data_base64" => {
                if read.is_new(name) {
                    read.problem(name, "is no attribute; the data is the body");
                }
            }
            _ => read.read(name, Scalar::Text(value.into())),
        }
    }
    let mut envelope = read.finish(true);
    let json = utf8(data.as_ref())?;
    match kind_of(json) {
        Scalar::OBJECT => {
            let object = parse(json)?;
            validate_data(0, envelope, &object, context).map_err(BodyError::Invalid)
        }
        kind => {
            parse::<serde::de::IgnoredAny>(json)?;
            envelope.problems.push(wrong_data(0, kind));
            Err(BodyError::Invalid(envelope.problems))
        }
    }
}

fn outline<'a>(json: &'a str, kind: &str, allowed: &'static str) -> Result<RawObject<'a>, BodyError> {
    if kind_of(json) == kind { parse(json) } else { Err(crate::json::wrong_shape(json, allowed)) }
}

/// The event that an envelope holds, or every problem of the envelope and of its data.
fn event(
    index: usize,
    object: &RawObject<'_>,
    context: &ParseContext<'_>,
) -> Result<OrderEvent, Vec<EventProblem>> {
    let mut attributes = Attributes::new(index, context);
    let complete = object.total <= MAX_FIELDS;
    if !complete {
        let total = object.total;
        attributes.problem("", format!("has {total} attributes; allowed: at most {MAX_FIELDS}"));
    }
    let mut data = None;
    for (name, value) in &object.members {
        let Some(name) = read_text(name.get()) else {
            attributes.problem(name.get(), "the name is not Unicode text (half of a surrogate pair)");
            continue;
        };
        match &*name {
            "data" if attributes.is_new("data") => data = Some(*value),
            "data" => {}
            "data_base64" => {
                if attributes.is_new("data_base64") {
                    attributes.problem("data_base64", "is binary data; allowed: data, a JSON object");
                }
            }
            name => attributes.read(name, Scalar::read(value.get())),
        }
    }
    let mut envelope = attributes.finish(complete);
    let Some(data) = data else {
        let binary = envelope.problems.iter().any(|problem| problem.field == "data_base64");
        if complete && !binary {
            let message = "is missing; allowed: a JSON object".to_owned();
            envelope.problems.push(EventProblem { index, field: "data".to_owned(), message });
        }
        return Err(envelope.problems);
    };
    match kind_of(data.get()) {
        Scalar::OBJECT => with_data(index, envelope, data.get(), context),
        kind => {
            envelope.problems.push(wrong_data(index, kind));
            Err(envelope.problems)
        }
    }
}

fn with_data(
    index: usize,
    mut envelope: Envelope,
    data: &str,
    context: &ParseContext<'_>,
) -> Result<OrderEvent, Vec<EventProblem>> {
    match serde_json::from_str(data) {
        Ok(object) => validate_data(index, envelope, &object, context),
        Err(error) => {
            let message = format!("cannot be read: {error}");
            envelope.problems.push(EventProblem { index, field: "data".to_owned(), message });
            Err(envelope.problems)
        }
    }
}

fn wrong_data(index: usize, kind: &str) -> EventProblem {
    EventProblem { index, field: "data".to_owned(), message: format!("is {kind}; allowed: an object") }
}
