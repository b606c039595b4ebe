//! [`Templates`]: what a message says by event type, as a subject, as text and as HTML.

mod context;
mod directory;
mod engine;
mod line;

use std::collections::{BTreeMap, HashMap};

use order_events::EventView;
use stream_core::{Fields, StreamId};

use self::{context::Context, engine::Engine, line::Line};
use crate::{message::Rendered, plain};

/// Subjects and texts of the types that every producer may send.
const DEFAULTS: [(&str, &str, &str); 4] = [
    (
        "order.placed",
        "Order {order_id} has been placed",
        "Thank you, {customer}: your order {order_id} over {amount} has been placed.",
    ),
    (
        "order.paid",
        "Order {order_id} has been paid",
        "{customer}, we have received {amount} for your order {order_id}.",
    ),
    ("order.shipped", "Order {order_id} is on its way", "{customer}, your order {order_id} is on its way."),
    (
        "order.cancelled",
        "Order {order_id} has been cancelled",
        "{customer}, your order {order_id} over {amount} has been cancelled.",
    ),
];
/// The subject of a type that has none of its own.
const SUBJECT: &str = "{type}: order {order_id}";
/// The HTML that goes with every text of one line.
const HTML_NAME: &str = "built-in.html";
const HTML: &str = include_str!("../../templates/built-in.html");
/// The longest subject, in characters: some 78 fit on a line of a header (RFC 5322, 2.1.1).
const SUBJECT_MAX: usize = 200;

/// A template that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// A text of the settings.
    #[error("notifications.templates: the text for {event_type:?} {problem}; allowed are {}", line::FIELDS)]
    Line {
        /// The type that it is for.
        event_type: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of the directory.
    #[error("notifications.templates_dir: {file}{}: {problem}", line.map_or_else(String::new, |line| format!(":{line}")))]
    File {
        /// Its path.
        file: String,
        /// The line of it, from 1, where that is known.
        line: Option<usize>,
        /// What is wrong with it.
        problem: String,
    },
}

/// A message cannot be rendered, this time or ever.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the message cannot be rendered: {0}")]
pub(crate) struct RenderError(String);

/// A template in one of its two forms.
#[derive(Debug, Clone)]
enum Source {
    /// One line with `{field}`: rendered without the engine.
    Line(Line),
    /// A template of the engine, by its name.
    Template(String),
}

/// The templates of one type of events.
#[derive(Debug, Clone)]
struct Set {
    subject: Source,
    text: Source,
    html: Option<Source>,
}

/// The templates, read and tried out once.
#[derive(Debug)]
pub(crate) struct Templates {
    sets: HashMap<String, Set>,
    engine: Engine,
}

impl Templates {
    /// The built-in templates, with the texts of the settings and then the files of a directory (unless its name is
    /// empty) in their place or beside them.
    pub(crate) fn new(texts: &BTreeMap<String, String>, directory: &str) -> Result<Self, TemplateError> {
        let mut engine = Engine::new();
        let built_in = engine.add(HTML_NAME, HTML);
        debug_assert!(built_in.is_ok(), "{built_in:?}");
        let mut sets = HashMap::new();
        let line_set = |subject: &str, text: &str| -> Result<Set, String> {
            Ok(Set {
                subject: Source::Line(Line::parse(subject)?),
                text: Source::Line(Line::parse(text)?),
                html: Some(Source::Template(HTML_NAME.to_owned())),
            })
        };
        for (event_type, subject, text) in DEFAULTS {
            let set = line_set(subject, text)
                .map_err(|problem| TemplateError::Line { event_type: event_type.to_owned(), problem })?;
            sets.insert(event_type.to_owned(), set);
        }
        for (event_type, text) in texts {
            let subject = DEFAULTS.iter().find(|(known, ..)| known == event_type);
            let set = line_set(subject.map_or(SUBJECT, |(_, subject, _)| subject), text)
                .map_err(|problem| TemplateError::Line { event_type: event_type.clone(), problem })?;
            sets.insert(event_type.clone(), set);
        }
        let mut templates = Self { sets, engine };
        if !directory.is_empty() {
            templates.read(directory)?;
        }
        Ok(templates)
    }

    /// The message about an event, or `None` if its type has no text. Subject and HTML only if `for_mail`.
    pub(crate) fn render(
        &self,
        id: StreamId,
        event: &EventView<'_>,
        fields: &Fields,
        for_mail: bool,
    ) -> Option<Result<Rendered, RenderError>> {
        let set = self.sets.get(event.event_type.as_str())?;
        Some(self.render_set(set, id, event, fields, for_mail).map_err(RenderError))
    }

    fn render_set(
        &self,
        set: &Set,
        id: StreamId,
        event: &EventView<'_>,
        fields: &Fields,
        for_mail: bool,
    ) -> Result<Rendered, String> {
        let render = |source: &Source, text: &str| match source {
            Source::Line(line) => Ok(line.render(event)),
            Source::Template(name) => self.engine.render(name, &Context::new(id, event, fields, text)),
        };
        let text = render(&set.text, "")?;
        if !for_mail {
            return Ok(Rendered { text, ..Rendered::default() });
        }
        let subject = plain::line(&render(&set.subject, &text)?, SUBJECT_MAX);
        let html = set.html.as_ref().map(|html| render(html, &text)).transpose()?;
        Ok(Rendered { text, subject, html })
    }
}

#[cfg(test)]
mod tests;
