//! What can be wrong with a producer's JSON.

use std::fmt;

use crate::limits::MAX_BATCH_EVENTS;

/// One thing wrong with one event of a body.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EventProblem {
    /// Which event of the batch, from 0; always 0 for a single event.
    pub index: usize,
    /// The field's name, shortened if it is long; empty if the event as a whole is wrong.
    pub field: String,
    /// What is wrong and what is allowed; repeats at most a few dozen characters of the value.
    pub message: String,
}

impl fmt::Display for EventProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, field, message } = self;
        if field.is_empty() {
            write!(f, "event {index}: {message}")
        } else {
            write!(f, "event {index}: {field}: {message}")
        }
    }
}

/// Why a body was refused. Nothing of a refused body may be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The body is not JSON at all; over HTTP this is 400, all others are 422.
    #[error("malformed JSON: {message}")]
    Malformed {
        /// The line of the fault, from 1.
        line: usize,
        /// The column of the fault in bytes, from 1; 0 if it is the end of the line before.
        column: usize,
        /// What the parser says, line and column included.
        message: String,
    },
    /// The body is JSON of the wrong kind.
    #[error("the body is {found}; allowed: {allowed}")]
    WrongShape {
        /// What it is, such as `a string`.
        found: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
    /// The body is an array without events.
    #[error("the batch is empty; allowed: 1 to {MAX_BATCH_EVENTS} events")]
    EmptyBatch,
    /// The body is an array of too many events.
    #[error("the batch has {events} events; allowed: 1 to {MAX_BATCH_EVENTS}")]
    BatchTooLarge {
        /// How many there are.
        events: usize,
    },
    /// Some events break the rules: each problem of each of them, in the order of the events.
    #[error("{}", summary(.0))]
    Invalid(Vec<EventProblem>),
}

fn summary(problems: &[EventProblem]) -> String {
    match problems {
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
        [] => "invalid events".to_owned(),
    }
}
