//! A client of server-sent events, as the standard has it (WHATWG HTML, §9.2), written against the standard alone.

use std::collections::VecDeque;

use serde_json::Value;
use tokio::time::timeout;

use crate::process::HANG;

/// An event as `EventSource` hands it to a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// `message` unless it has another name.
    pub(crate) name: String,
    pub(crate) data: String,
    /// The last event ID at the time.
    pub(crate) id: String,
}

/// A stream of events that is being read.
pub(crate) struct Events {
    response: reqwest::Response,
    parser: Parser,
}

/// What the bytes up to now have said.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    /// The last byte was a CR: an LF after it ends no line.
    after_cr: bool,
    name: String,
    data: String,
    next_id: String,
    id: String,
    retry_ms: Option<u64>,
    comments: usize,
    ready: VecDeque<Event>,
}

impl Events {
    pub(crate) fn new(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, parser: Parser::default() }
    }

    /// The next event, or `None` at the stream's orderly end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.parser.ready.pop_front() {
                return Some(event);
            }
            self.read().await.then_some(())?;
        }
    }

    /// The next event of the stream, which must be there and have the default name.
    pub(crate) async fn message(&mut self) -> Event {
        let event = self.next().await.expect("an event");
        assert_eq!(event.name, "message", "{event:?}");
        event
    }

    /// The IDs of the next messages.
    pub(crate) async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.push(self.message().await.id);
        }
        ids
    }

    /// Waits until the stream has told its position, which it does first.
    pub(crate) async fn opened(mut self) -> Self {
        while self.parser.retry_ms.is_none() {
            assert!(self.read().await, "the stream has ended");
        }
        assert_eq!(self.parser.retry_ms, Some(2_000));
        self
    }

    /// The last event ID, as it would be sent with the next connection.
    pub(crate) fn last_event_id(&self) -> &str {
        &self.parser.id
    }

    /// Waits for that many further comments.
    pub(crate) async fn comments(&mut self, count: usize) {
        let wanted = self.parser.comments + count;
        while self.parser.comments < wanted {
            assert!(self.read().await, "the stream has ended");
        }
    }

    /// Reads some more; `false` at the end.
    async fn read(&mut self) -> bool {
        let chunk = timeout(HANG, self.response.chunk()).await.expect("something within the time");
        let chunk = chunk.expect("an orderly end");
        chunk.iter().flatten().for_each(|&byte| self.parser.take(byte));
        chunk.is_some()
    }
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
}

impl Parser {
    fn take(&mut self, byte: u8) {
        let ends_crlf = std::mem::replace(&mut self.after_cr, byte == b'\r') && byte == b'\n';
        match byte {
            _ if ends_crlf => {}
            b'\r' | b'\n' => {
                let line = std::mem::take(&mut self.line);
                self.end_line(&String::from_utf8(line).expect("UTF-8"));
            }
            byte => self.line.push(byte),
        }
    }

    fn end_line(&mut self, line: &str) {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.comments += 1,
            "event" => value.clone_into(&mut self.name),
            "data" => self.data.extend([value, "\n"]),
            "id" if !value.contains('\0') => value.clone_into(&mut self.next_id),
            "retry" => self.retry_ms = value.parse().ok().or(self.retry_ms),
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        self.id.clone_from(&self.next_id);
        let (name, mut data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        // No data: no event, but the ID counts.
        if data.pop().is_some() {
            let name = if name.is_empty() { "message".to_owned() } else { name };
            self.ready.push_back(Event { name, data, id: self.id.clone() });
        }
    }
}
