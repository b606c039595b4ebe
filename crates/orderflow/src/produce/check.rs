//! Checks events before they are sent, by the same rules as producer-api.

use anyhow::Context as _;
use order_events::{BodyError, EventTypes, ParseContext, parse_event};
use service_kit::Settings;

use super::source::{Line, Position};
use crate::durations;

/// An event that may be sent.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) position: Position,
    pub(super) json: String,
}

/// An event that may not, with everything that is wrong with it.
#[derive(Debug)]
pub(super) struct Invalid {
    pub(super) position: Position,
    pub(super) problems: Vec<String>,
}

/// The rules.
#[derive(Debug)]
pub(super) struct Checker {
    types: EventTypes,
}

impl Checker {
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let types = EventTypes::new(settings.stream.event_types.clone()).context("stream.event_types")?;
        Ok(Self { types })
    }

    /// Splits lines into those that may be sent and those that may not, both in their order.
    pub(super) fn check(&self, lines: Vec<Line>) -> (Vec<Event>, Vec<Invalid>) {
        let (mut valid, mut invalid) = (Vec::new(), Vec::new());
        for Line { position, json } in lines {
            match json.map_err(|problem| vec![problem]).and_then(|json| self.check_one(json)) {
                Ok(json) => valid.push(Event { position, json }),
                Err(problems) => invalid.push(Invalid { position, problems }),
            }
        }
        (valid, invalid)
    }

    fn check_one(&self, json: String) -> Result<String, Vec<String>> {
        let context = ParseContext { types: &self.types, now_ms: durations::now_ms() };
        match parse_event(&json, &context) {
            Ok(_) => Ok(json),
            Err(BodyError::Invalid(problems)) => {
                Err(problems.iter().map(|problem| told(&problem.field, &problem.message)).collect())
            }
            Err(BodyError::Malformed { column, message, .. }) => {
                // The parser counts lines within the event: it would name line 1 of a file's line 17.
                let message = message.split(" at line ").next().unwrap_or_default();
                Err(vec![format!("malformed JSON: {message} at column {column}")])
            }
            Err(error) => Err(vec![error.to_string()]),
        }
    }
}

/// A problem of a field, or of the event as a whole.
pub(super) fn told(field: &str, message: &str) -> String {
    if field.is_empty() { message.to_owned() } else { format!("{field}: {message}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_an_event_is_told() {
        let checker = Checker::new(&Settings::default()).unwrap();
        let lines = [
            r#"{"type":"order.paid","order_id":"o-1","customer":"alice","amount":49.5}"#,
            r#"{"type":"order.lost","order_id":"o-1","customer":"alice","amount":"1.234"}"#,
            r#"{"type":"#,
            "[]",
        ];
        let lines = lines
            .map(|json| Line { position: Position::Flags, json: Ok(json.to_owned()) })
            .into_iter()
            .chain([Line { position: Position::Flags, json: Err("is not UTF-8".to_owned()) }]);
        let (valid, invalid) = checker.check(lines.collect());
        assert_eq!(valid.len(), 1);
        let problems: Vec<_> = invalid.iter().map(|invalid| &invalid.problems[..]).collect();
        assert_eq!(problems[0].len(), 2);
        assert!(problems[0][0].starts_with("type: \"order.lost\" is not an allowed type"), "{problems:?}");
        assert!(problems[0][1].starts_with("amount: \"1.234\" has more than two"), "{problems:?}");
        assert!(problems[1][0].starts_with("malformed JSON: EOF"), "{problems:?}");
        assert!(!problems[1][0].contains("line 1"), "{problems:?}");
        assert!(problems[2][0].contains("is an array"), "{problems:?}");
        assert_eq!(problems[3], ["is not UTF-8"]);
    }
}
