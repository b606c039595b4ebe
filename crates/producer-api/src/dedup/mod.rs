//! What makes an event the same as one before: its key, and a fingerprint of what was sent under it.

mod fingerprint;

use order_events::{OrderEvent, metadata};
use service_kit::config::Producer;
use sha2::{Digest as _, Sha256};
use stream_core::{Dedup, DedupMark, DedupMemory, StreamKey};

use self::fingerprint::{batch_fingerprint, fingerprint};

/// Where an event's key comes from. Each kind is remembered by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// The request's `Idempotency-Key`.
    Header,
    /// The producer's own ID of the event.
    Event,
}

impl KeyKind {
    pub(crate) const ALL: [Self; 2] = [Self::Header, Self::Event];

    /// The kind as a metric label and in Redis.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Event => "event",
        }
    }
}

/// An event to append, and by what it is recognized if it comes again.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    pub(crate) event: OrderEvent,
    /// `None`: it is appended however often it comes.
    pub(crate) key: Option<Key>,
}

/// By what an event is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) kind: KeyKind,
    entry: DedupMark,
    /// The request's key as a whole, if this is one event of a batch.
    request: Option<DedupMark>,
}

/// Whose keys these are: keys of different callers never meet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Caller<'a>(pub(crate) Option<&'a str>);

/// A single event with its key: the `Idempotency-Key`, or else its own ID.
pub(crate) fn single(event: OrderEvent, header: Option<&str>, caller: Caller<'_>) -> NewEvent {
    let key = match header {
        Some(header) => {
            let entry = DedupMark { key: header_digest(caller, header), fingerprint: fingerprint(&event) };
            Some(Key { kind: KeyKind::Header, entry, request: None })
        }
        None => own_key(&event, caller),
    };
    NewEvent { event, key }
}

/// The events of a batch: event i has the key `<Idempotency-Key>#i`, or else its own ID. The fingerprint of the whole
/// batch belongs to the `Idempotency-Key` itself: under it no other batch is taken, not even one that goes on longer.
pub(crate) fn batch(events: Vec<OrderEvent>, header: Option<&str>, caller: Caller<'_>) -> Vec<NewEvent> {
    let Some(header) = header else {
        let own = |event: OrderEvent| NewEvent { key: own_key(&event, caller), event };
        return events.into_iter().map(own).collect();
    };
    let fingerprints: Vec<_> = events.iter().map(fingerprint).collect();
    let request =
        DedupMark { key: header_digest(caller, header), fingerprint: batch_fingerprint(&fingerprints) };
    let with_key = |(index, (event, fingerprint)): (usize, (OrderEvent, [u8; 16]))| {
        let entry = DedupMark { key: header_digest(caller, &format!("{header}#{index}")), fingerprint };
        NewEvent { event, key: Some(Key { kind: KeyKind::Header, entry, request: Some(request) }) }
    };
    events.into_iter().zip(fingerprints).enumerate().map(with_key).collect()
}

/// The producer's ID, which is unique within its source (CloudEvents 1.0, `source`).
fn own_key(event: &OrderEvent, caller: Caller<'_>) -> Option<Key> {
    let id = event.metadata(metadata::ID)?;
    let source = event.metadata(metadata::SOURCE).unwrap_or_default();
    let entry = DedupMark { key: digest(caller, &[source, id]), fingerprint: fingerprint(event) };
    Some(Key { kind: KeyKind::Event, entry, request: None })
}

fn header_digest(caller: Caller<'_>, key: &str) -> [u8; 32] {
    digest(caller, &[key])
}

fn digest(caller: Caller<'_>, parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    // No caller is another one than a caller without a name.
    hash.update([u8::from(caller.0.is_some())]);
    for part in [caller.0.unwrap_or_default()].iter().chain(parts) {
        update(&mut hash, part.as_bytes());
    }
    hash.finalize().into()
}

/// Adds a part so that no two different sequences of parts give the same bytes.
fn update(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_le_bytes());
    hash.update(part);
}

/// Where the keys of each kind are remembered.
#[derive(Debug, Clone)]
pub(crate) struct Memories {
    header: DedupMemory,
    event: DedupMemory,
}

impl Memories {
    pub(crate) fn new(stream: &StreamKey, settings: &Producer) -> Self {
        let memory =
            |kind: KeyKind, window, keys_max| DedupMemory::new(stream, kind.label(), window, keys_max);
        Self {
            header: memory(KeyKind::Header, settings.idempotency_window, settings.idempotency_keys_max),
            event: memory(KeyKind::Event, settings.event_id_window, settings.event_ids_max),
        }
    }

    /// How the stream recognizes an event with this key.
    pub(crate) fn dedup(&self, key: &Key) -> Dedup<'_> {
        let memory = match key.kind {
            KeyKind::Header => &self.header,
            KeyKind::Event => &self.event,
        };
        Dedup { memory, entry: key.entry, request: key.request }
    }
}

#[cfg(test)]
mod tests {
    use order_events::{EventTypes, ParseContext, parse_event};

    use super::*;

    const NOBODY: Caller<'_> = Caller(None);

    fn event(more: &str) -> OrderEvent {
        let json = format!(r#"{{"type":"order.paid","order_id":"o","customer":"c","amount":1{more}}}"#);
        parse_event(json, &ParseContext { types: &EventTypes::default(), now_ms: 1 }).unwrap()
    }

    fn entry(new: &NewEvent) -> DedupMark {
        new.key.unwrap().entry
    }

    #[test]
    fn an_event_without_any_key_is_not_recognized() {
        assert_eq!(single(event(""), None, NOBODY).key, None);
        assert_eq!(batch(vec![event("")], None, NOBODY)[0].key, None);
    }

    #[test]
    fn the_header_comes_before_the_events_own_id() {
        let with_id = || event(r#","id":"e-1""#);
        assert_eq!(single(with_id(), None, NOBODY).key.unwrap().kind, KeyKind::Event);
        assert_eq!(single(with_id(), Some("k"), NOBODY).key.unwrap().kind, KeyKind::Header);
        assert_eq!(batch(vec![with_id()], Some("k"), NOBODY)[0].key.unwrap().kind, KeyKind::Header);
    }

    #[test]
    fn keys_differ_by_key_caller_and_source() {
        let own = |source: Option<&str>, id: &str, caller| {
            let mut event = event("");
            event.metadata.push((metadata::ID.to_owned(), id.to_owned()));
            event.metadata.extend(source.map(|source| (metadata::SOURCE.to_owned(), source.to_owned())));
            entry(&single(event, None, caller)).key
        };
        let named = Caller(Some("shop"));
        let keys = [
            own(None, "1", NOBODY),
            own(None, "2", NOBODY),
            own(Some("a"), "1", NOBODY),
            own(Some("a1"), "", NOBODY),
            own(None, "1", named),
            own(None, "1", Caller(Some(""))),
        ];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(own(Some("a"), "1", named), own(Some("a"), "1", named));
    }

    #[test]
    fn an_event_of_a_batch_can_be_sent_again_alone() {
        let events = || vec![event(""), event(r#","note":"2""#)];
        let both = batch(events(), Some("k"), NOBODY);
        let second = single(event(r#","note":"2""#), Some("k#1"), NOBODY);
        assert_eq!(entry(&both[1]), entry(&second));
        assert_ne!(entry(&both[0]).key, entry(&both[1]).key);
    }

    #[test]
    fn a_batch_that_goes_on_longer_is_another_one() {
        let request = |count: usize| {
            let events = std::iter::repeat_with(|| event("")).take(count).collect();
            batch(events, Some("k"), NOBODY)[0].key.unwrap().request.unwrap()
        };
        assert_eq!(request(2), request(2));
        assert_eq!(request(1).key, request(2).key);
        assert_ne!(request(1).fingerprint, request(2).fingerprint);
        let alone = entry(&single(event(""), Some("k"), NOBODY));
        assert_eq!(alone.key, request(1).key);
        assert_ne!(alone.fingerprint, request(1).fingerprint);
    }
}
