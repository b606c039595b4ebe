//! Holds one JSON object to every rule for producers, and collects all that is wrong with it.

use std::borrow::Cow;

use super::{
    ParseContext,
    raw::RawObject,
    scalar::{Scalar, read_text},
};
use crate::{
    amount::Amount,
    event::OrderEvent,
    event_type::EventType,
    limits::{MAX_ENTRY_BYTES, MAX_FIELDS},
    metadata::{ATTRIBUTE_PREFIX, ID},
    problem::EventProblem,
    text::{check_text, shorten},
    timestamp::{check_not_ahead, parse_ts_ms},
};

/// What the envelope of an event has said before its data is looked at.
#[derive(Default)]
pub(crate) struct Envelope {
    /// `None` if it is wrong or missing, which is one of the problems.
    pub(crate) event_type: Option<EventType>,
    /// The order of data that names none.
    pub(crate) subject: Option<String>,
    /// The event time, if it is told.
    pub(crate) ts_ms: Option<u64>,
    /// What the entry keeps of it.
    pub(crate) metadata: Vec<(String, String)>,
    /// What is wrong with it.
    pub(crate) problems: Vec<EventProblem>,
}

/// The event that `object` describes, or every problem it has.
pub(super) fn validate(
    index: usize,
    object: &RawObject<'_>,
    context: &ParseContext<'_>,
) -> Result<OrderEvent, Vec<EventProblem>> {
    let mut draft = Draft { index, ..Draft::default() };
    draft.read_members(object, context);
    draft.finish(context)
}

/// The event whose data is `object`, or every problem of it and of its envelope.
pub(crate) fn validate_data(
    index: usize,
    mut envelope: Envelope,
    object: &RawObject<'_>,
    context: &ParseContext<'_>,
) -> Result<OrderEvent, Vec<EventProblem>> {
    let problems = std::mem::take(&mut envelope.problems);
    let mut draft = Draft { index, path: "data", problems, ..Draft::default() };
    draft.read_members(object, context);
    draft.take_envelope(envelope);
    draft.finish(context)
}

/// What is known of an event so far.
#[derive(Default)]
struct Draft<'a> {
    index: usize,
    /// Where in the envelope the members are; empty if there is no envelope.
    path: &'static str,
    /// Name of each member so far, repeated ones included.
    names: Vec<Cow<'a, str>>,
    /// Members beyond the limit were not read, so nothing can be said to be missing.
    truncated: bool,
    event_type: Option<EventType>,
    order_id: Option<String>,
    customer: Option<String>,
    amount: Option<Amount>,
    ts_ms: Option<u64>,
    id: Option<String>,
    extra: Vec<(String, String)>,
    metadata: Vec<(String, String)>,
    problems: Vec<EventProblem>,
    /// The envelope names an order, for data that names none.
    has_subject: bool,
}

impl<'a> Draft<'a> {
    fn read_members(&mut self, object: &RawObject<'a>, context: &ParseContext<'_>) {
        if object.total > MAX_FIELDS {
            self.truncated = true;
            let total = object.total;
            self.problem("", format!("has {total} fields; allowed: at most {MAX_FIELDS}"));
        }
        for (name, value) in &object.members {
            let Some(name) = read_text(name.get()) else {
                self.problem(name.get(), "the name is not Unicode text (half of a surrogate pair)");
                continue;
            };
            match self.names.iter().filter(|seen| **seen == name).count() {
                0 => self.read_member(&name, Scalar::read(value.get()), context),
                1 => self.problem(&name, "is there more than once; allowed: each field once"),
                _ => {} // Reported already.
            }
            self.names.push(name);
        }
    }

    /// Takes over what the envelope says. What both say must agree, except for the order, which the envelope calls
    /// its subject: there the data goes before.
    fn take_envelope(&mut self, mut envelope: Envelope) {
        if let (Some(told), Some(event_type)) = (&self.event_type, &envelope.event_type)
            && told != event_type
        {
            self.problem("type", "is not the type of the envelope; allowed: the same, or none");
        }
        self.event_type = envelope.event_type;
        if let (Some(ts_ms), Some(time)) = (self.ts_ms, envelope.ts_ms)
            && ts_ms != time
        {
            let message =
                format!("is {ts_ms}, and the time of the envelope {time}; allowed: the same, or none");
            self.problem("ts_ms", message);
        }
        self.ts_ms = self.ts_ms.or(envelope.ts_ms);
        if let Some(subject) = envelope.subject {
            self.has_subject = true;
            if self.names.iter().any(|name| name == "order_id") {
                if self.order_id.as_ref().is_some_and(|order| *order != subject) {
                    envelope.metadata.push((format!("{ATTRIBUTE_PREFIX}subject"), subject));
                }
            } else if let Err(error) = check_text(&subject) {
                self.problem_at("subject".to_owned(), format!("{error}, where the data has no order_id"));
            } else {
                self.order_id = Some(subject);
            }
        }
        self.metadata = envelope.metadata;
    }

    fn read_member(&mut self, name: &str, value: Scalar<'_>, context: &ParseContext<'_>) {
        let result = match name {
            "" => Err("the field name is empty; allowed: at least one character".to_owned()),
            "type" => event_type(value, context).map(|it| self.event_type = Some(it)),
            "order_id" => identifier(value).map(|it| self.order_id = Some(it)),
            "customer" => identifier(value).map(|it| self.customer = Some(it)),
            "amount" => amount(&value).map(|it| self.amount = Some(it)),
            // Beside an envelope, which has an ID of its own, it is a field like any other.
            "id" if self.path.is_empty() => identifier(value).map(|it| self.id = Some(it)),
            "ts_ms" => ts_ms(&value, context).map(|it| self.ts_ms = Some(it)),
            _ if name.starts_with('_') => {
                Err("is reserved: names that start with `_` belong to the pipeline".to_owned())
            }
            _ => further(value).map(|it| self.extra.push((name.to_owned(), it))),
        };
        if let Err(message) = result {
            self.problem(name, message);
        }
    }

    fn problem(&mut self, field: &str, message: impl Into<String>) {
        let field = shorten(field);
        let place = match (self.path, field.as_str()) {
            ("", _) => field,
            (path, "") => path.to_owned(),
            (path, _) => format!("{path}.{field}"),
        };
        self.problem_at(place, message.into());
    }

    fn problem_at(&mut self, field: String, message: String) {
        self.problems.push(EventProblem { index: self.index, field, message });
    }

    fn finish(mut self, context: &ParseContext<'_>) -> Result<OrderEvent, Vec<EventProblem>> {
        if !self.truncated {
            self.report_missing(context);
        }
        let (Some(event_type), Some(order_id), Some(customer), Some(amount), []) = (
            self.event_type.take(),
            self.order_id.take(),
            self.customer.take(),
            self.amount,
            &self.problems[..],
        ) else {
            return Err(self.problems);
        };
        let ts_ms = self.ts_ms.unwrap_or(context.now_ms);
        let extra = std::mem::take(&mut self.extra);
        let mut metadata = std::mem::take(&mut self.metadata);
        metadata.extend(self.id.take().map(|id| (ID.to_owned(), id)));
        let event = OrderEvent {
            event_type,
            order_id,
            customer,
            amount,
            ts_ms,
            ts_ms_is_receipt: self.ts_ms.is_none(),
            extra,
            metadata,
        };
        let bytes = event.encoded_len();
        if bytes > MAX_ENTRY_BYTES {
            self.problem(
                "",
                format!("has {bytes} bytes of names and values; allowed: at most {MAX_ENTRY_BYTES}"),
            );
            return Err(self.problems);
        }
        Ok(event)
    }

    fn report_missing(&mut self, context: &ParseContext<'_>) {
        let types = context.types;
        let required = [
            ("type", format!("is missing; allowed: {types}")),
            ("order_id", "is missing; allowed: 1 to 128 printable characters".to_owned()),
            ("customer", "is missing; allowed: 1 to 128 printable characters".to_owned()),
            ("amount", "is missing; allowed: 0 to 10000000000 with at most two decimals".to_owned()),
        ];
        for (field, message) in required {
            // The envelope has a type, or the lack of it is one of its problems.
            let elsewhere = match field {
                "type" => !self.path.is_empty(),
                "order_id" => self.has_subject,
                _ => false,
            };
            if !elsewhere && !self.names.iter().any(|name| name == field) {
                self.problem(field, message);
            }
        }
    }
}

fn event_type(value: Scalar<'_>, context: &ParseContext<'_>) -> Result<EventType, String> {
    let types = context.types;
    let name = text(value)?;
    if !types.contains(&name) {
        return Err(format!("{:?} is not an allowed type; allowed: {types}", shorten(&name)));
    }
    Ok(EventType::from(name.into_owned()))
}

fn identifier(value: Scalar<'_>) -> Result<String, String> {
    let text = text(value)?;
    check_text(&text).map_err(|error| error.to_string())?;
    Ok(text.into_owned())
}

fn amount(value: &Scalar<'_>) -> Result<Amount, String> {
    let allowed = "a string or a number from 0 to 10000000000 with at most two decimals";
    text_or_number(value, allowed)?.parse().map_err(|error: crate::AmountError| error.to_string())
}

fn ts_ms(value: &Scalar<'_>, context: &ParseContext<'_>) -> Result<u64, String> {
    let digits = text_or_number(value, "Unix milliseconds, as a whole number or a string of digits")?;
    parse_ts_ms(digits)
        .and_then(|ts_ms| check_not_ahead(ts_ms, context.now_ms))
        .map_err(|error| error.to_string())
}

fn further(value: Scalar<'_>) -> Result<String, String> {
    match value {
        Scalar::Text(text) => Ok(text.into_owned()),
        Scalar::Literal { text, .. } => Ok(text.to_owned()),
        other => Err(other.refusal("a string, a number or a boolean")),
    }
}

fn text(value: Scalar<'_>) -> Result<Cow<'_, str>, String> {
    match value {
        Scalar::Text(text) => Ok(text),
        other => Err(other.refusal(Scalar::TEXT)),
    }
}

fn text_or_number<'v>(value: &'v Scalar<'_>, allowed: &str) -> Result<&'v str, String> {
    match value {
        Scalar::Text(text) => Ok(text),
        Scalar::Literal { text, kind: Scalar::NUMBER } => Ok(text),
        other => Err(other.refusal(allowed)),
    }
}
