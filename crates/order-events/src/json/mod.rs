//! Reads a producer's JSON body: one event, or a batch of them.

mod event;
mod raw;
mod scalar;

use serde::Deserialize;
use serde::de::IgnoredAny;

use self::{event::validate, raw::RawBatch};
pub(crate) use self::{
    event::{Envelope, validate_data},
    raw::RawObject,
    scalar::{Scalar, kind_of, read_text},
};
use crate::{
    event::OrderEvent,
    event_type::EventTypes,
    limits::MAX_BATCH_EVENTS,
    problem::{BodyError, EventProblem},
};

/// What an event is checked against besides the fixed rules.
#[derive(Clone, Copy, Debug)]
pub struct ParseContext<'a> {
    /// The types that may be sent.
    pub types: &'a EventTypes,
    /// The time of receipt, in Unix milliseconds: the event time of an event without `ts_ms`.
    pub now_ms: u64,
}

/// A body in which every event is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The body was an object.
    One(OrderEvent),
    /// The body was an array of 1 to [`MAX_BATCH_EVENTS`] objects; in their order.
    Batch(Vec<OrderEvent>),
}

/// Reads a body that is one event (an object) or a batch (an array of 1 to [`MAX_BATCH_EVENTS`] objects).
///
/// Everything is checked before anything is returned: [`BodyError::Invalid`] names every problem of every
/// event. The size of an event is checked once its fields are right.
pub fn parse_body(json: impl AsRef<[u8]>, context: &ParseContext<'_>) -> Result<Body, BodyError> {
    let json = utf8(json.as_ref())?;
    match kind_of(json) {
        Scalar::OBJECT => single(json, context).map(Body::One),
        Scalar::ARRAY => batch_of(json, |index, object| validate(index, object, context)).map(Body::Batch),
        _ => Err(wrong_shape(json, "an event (object) or a batch of events (array)")),
    }
}

/// Reads a body that is one event, where batches are not wanted.
pub fn parse_event(json: impl AsRef<[u8]>, context: &ParseContext<'_>) -> Result<OrderEvent, BodyError> {
    let json = utf8(json.as_ref())?;
    match kind_of(json) {
        Scalar::OBJECT => single(json, context),
        _ => Err(wrong_shape(json, "an event (object)")),
    }
}

fn single(json: &str, context: &ParseContext<'_>) -> Result<OrderEvent, BodyError> {
    let object = parse::<RawObject<'_>>(json)?;
    validate(0, &object, context).map_err(BodyError::Invalid)
}

/// Reads an array of 1 to [`MAX_BATCH_EVENTS`] objects, each by `read`.
pub(crate) fn batch_of(
    json: &str,
    read: impl Fn(usize, &RawObject<'_>) -> Result<OrderEvent, Vec<EventProblem>>,
) -> Result<Vec<OrderEvent>, BodyError> {
    let batch = parse::<RawBatch<'_>>(json)?;
    if batch.total == 0 {
        return Err(BodyError::EmptyBatch);
    }
    if batch.total > MAX_BATCH_EVENTS {
        return Err(BodyError::BatchTooLarge { events: batch.total });
    }
    let mut events = Vec::with_capacity(batch.total);
    let mut problems = Vec::new();
    for (index, element) in batch.elements.iter().enumerate() {
        match element_object(index, element.get()).and_then(|object| read(index, &object)) {
            Ok(event) => events.push(event),
            Err(more) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok(events) } else { Err(BodyError::Invalid(problems)) }
}

fn element_object(index: usize, json: &str) -> Result<RawObject<'_>, Vec<EventProblem>> {
    let whole = |message| vec![EventProblem { index, field: String::new(), message }];
    let kind = kind_of(json);
    if kind != Scalar::OBJECT {
        return Err(whole(format!("is {kind}; allowed: an object")));
    }
    serde_json::from_str(json).map_err(|error| whole(format!("cannot be read: {error}")))
}

/// Other kinds of JSON are refused as such, but only if they are JSON.
pub(crate) fn wrong_shape(json: &str, allowed: &'static str) -> BodyError {
    match parse::<IgnoredAny>(json) {
        Ok(_) => BodyError::WrongShape { found: kind_of(json), allowed },
        Err(malformed) => malformed,
    }
}

pub(crate) fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, BodyError> {
    serde_json::from_str(json).map_err(|error| BodyError::Malformed {
        line: error.line(),
        column: error.column(),
        message: error.to_string(),
    })
}

pub(crate) fn utf8(json: &[u8]) -> Result<&str, BodyError> {
    std::str::from_utf8(json).map_err(|error| {
        let before = &json[..error.valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        BodyError::Malformed { line, column, message: format!("not UTF-8 at line {line} column {column}") }
    })
}
