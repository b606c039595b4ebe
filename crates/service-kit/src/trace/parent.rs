//! [`TraceParent`] and [`Remote`]: the W3C trace context that a request or an entry carries.

use std::{fmt, str::FromStr};

use axum::http::{HeaderMap, HeaderName};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Request header and, after a `_`, field of an entry (W3C Trace Context, 3.2).
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Request header and, after a `_`, field of an entry (W3C Trace Context, 3.3).
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The field of an entry that says which span wrote it.
pub(super) const TRACEPARENT_FIELD: &str = "_traceparent";
/// The field of an entry that holds what tracing systems beyond ours have added.
pub(super) const TRACESTATE_FIELD: &str = "_tracestate";

/// Characters of a `tracestate` that are carried on: as many as the specification asks for. A longer one is dropped.
const STATE_MAX: usize = 512;
/// `00-<32 hex>-<16 hex>-<2 hex>`.
const LENGTH: usize = 55;
/// The flags that have a meaning: sampled, and (in level 2) that the trace ID is random.
const KNOWN_FLAGS: u8 = 0b11;

/// Which span something was done for, wherever that ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceParent {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) flags: u8,
}

impl TraceParent {
    /// Reads a `traceparent`. `None` for whatever the specification calls invalid: it is then as if there were none.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (fields, rest) = text.split_at_checked(LENGTH)?;
        let version = hex(&fields[..2])? as u8;
        let complete = match version {
            0 => rest.is_empty(),
            // Of a later version, what is known is read.
            1..0xff => rest.first().is_none_or(|next| *next == b'-'),
            0xff => false,
        };
        let dashes = [2, 35, 52].iter().all(|at| fields[*at] == b'-');
        if !complete || !dashes {
            return None;
        }
        let trace = TraceId::from(hex(&fields[3..35])?);
        let span = SpanId::from(hex(&fields[36..52])? as u64);
        let flags = hex(&fields[53..])? as u8 & KNOWN_FLAGS;
        let valid = trace != TraceId::INVALID && span != SpanId::INVALID;
        valid.then_some(Self { trace, span, flags })
    }

    /// Whether whoever sent it records its spans.
    pub(super) const fn is_sampled(self) -> bool {
        self.flags & 1 != 0
    }

    /// What goes on where this process has decided against recording: in the same trace, unsampled. Whoever changes
    /// the flag has to give a span ID of its own (W3C Trace Context, 3.4).
    pub(super) fn unsampled(self) -> Self {
        if !self.is_sampled() {
            return self;
        }
        let span = SpanId::from(fastrand::u64(1..));
        Self { span, flags: self.flags & !1, ..self }
    }
}

impl From<&SpanContext> for TraceParent {
    fn from(context: &SpanContext) -> Self {
        let flags = context.trace_flags().to_u8() & KNOWN_FLAGS;
        Self { trace: context.trace_id(), span: context.span_id(), flags }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// The number that lower-case hexadecimal digits stand for; upper-case ones are not allowed.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// A trace that began elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(super) parent: TraceParent,
    /// As it was sent: looked into only by those whom it is for.
    pub(super) state: Option<String>,
}

impl Remote {
    /// Its trace ID as it is logged.
    pub(crate) const fn trace_id(&self) -> TraceId {
        self.parent.trace
    }

    /// What a request carries. More than one `traceparent` is as good as none.
    pub(super) fn of_request(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let parent = TraceParent::parse(parents.next()?.as_bytes())?;
        if parents.next().is_some() {
            return None;
        }
        let mut state = String::new();
        for part in headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok()) {
            if state.len() + part.len() >= STATE_MAX {
                return Some(Self { parent, state: None });
            }
            if !state.is_empty() {
                state.push(',');
            }
            state.push_str(part);
        }
        Some(Self { parent, state: (!state.is_empty()).then_some(state) })
    }

    /// What an entry carries.
    pub(super) fn of_entry(fields: &stream_core::Fields) -> Option<Self> {
        let parent = TraceParent::parse(fields.get(TRACEPARENT_FIELD)?)?;
        let state = fields.get(TRACESTATE_FIELD).filter(|state| state.len() <= STATE_MAX);
        let state = state.and_then(|state| std::str::from_utf8(state).ok()).map(str::to_owned);
        Some(Self { parent, state })
    }

    /// The same as a parent for spans.
    pub(super) fn context(&self) -> SpanContext {
        let TraceParent { trace, span, flags } = self.parent;
        let state = self.state.as_deref().and_then(|state| TraceState::from_str(state).ok());
        SpanContext::new(trace, span, TraceFlags::new(flags), true, state.unwrap_or_default())
    }

    /// Where a span of this process is recorded.
    pub(super) fn of_span(context: &SpanContext) -> Self {
        let state = context.trace_state().header();
        Self { parent: context.into(), state: (!state.is_empty()).then_some(state) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parsed(text: &str) -> Option<String> {
        TraceParent::parse(text.as_bytes()).map(|parent| parent.to_string())
    }

    #[test]
    fn what_is_valid_is_read_and_written_alike() {
        assert_eq!(parsed(VALID).as_deref(), Some(VALID));
        let unsampled = VALID.replace("-01", "-00");
        assert_eq!(parsed(&unsampled), Some(unsampled));
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        for text in [VALID.replacen("00", "cc", 1), VALID.replacen("00", "01", 1) + "-what-the-future-adds"] {
            assert_eq!(parsed(&text).as_deref(), Some(VALID), "{text}");
        }
        assert_eq!(
            parsed(&VALID.replace("-01", "-ff")),
            Some(VALID.replace("-01", "-03")),
            "unknown flags are not passed on"
        );
    }

    #[test]
    fn whatever_the_specification_calls_invalid_is_ignored() {
        let invalid = [
            String::new(),
            VALID.replacen("00", "ff", 1),
            VALID.to_owned() + "-01",
            VALID.replacen("00", "01", 1) + "00",
            VALID.to_uppercase(),
            VALID.replace('-', "_"),
            VALID[..54].to_owned(),
            VALID.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            VALID.replace("b7ad6b7169203331", &"0".repeat(16)),
            VALID.replace("b7ad", "b7ag"),
            "é".repeat(30),
        ];
        for text in invalid {
            assert_eq!(parsed(&text), None, "{text}");
        }
    }

    #[test]
    fn two_parents_are_none_and_states_are_joined() {
        let headers = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            headers
        };
        let remote = Remote::of_request(&headers(&[
            ("traceparent", VALID),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ]));
        assert_eq!(remote.unwrap().state.as_deref(), Some("a=1,b=2"));
        assert_eq!(Remote::of_request(&headers(&[("traceparent", VALID), ("traceparent", VALID)])), None);
        assert_eq!(Remote::of_request(&headers(&[("tracestate", "a=1")])), None);
        let long = "a=".to_owned() + &"1".repeat(600);
        let remote = Remote::of_request(&headers(&[("traceparent", VALID), ("tracestate", &long)])).unwrap();
        assert_eq!(remote.state, None, "too long to carry, and of no use cut off");
    }

    #[test]
    fn who_changes_the_flag_gives_an_id_of_its_own() {
        let parent = TraceParent::parse(VALID.as_bytes()).unwrap();
        let dropped = parent.unsampled();
        assert_eq!((dropped.trace, dropped.is_sampled()), (parent.trace, false));
        assert_ne!(dropped.span, parent.span);
        assert_eq!(dropped.unsampled(), dropped, "nothing was changed");
    }
}
