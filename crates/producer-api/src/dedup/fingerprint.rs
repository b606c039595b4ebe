//! Fingerprints: whether two bodies say the same.
//!
//! Two events are the same if they would be stored as the same fields: the order of JSON members, white space, and
//! `49.5` for `"49.50"` make no difference. The time of receipt is not part of an event, nor is the trace that it
//! belongs to: both differ whenever it is sent again.

use order_events::{OrderEvent, metadata};
use sha2::{Digest as _, Sha256};

use super::update;

/// Where the trace is: the fields of ours, and the attributes of a CloudEvent that became none.
const OF_TRACES: [&str; 4] =
    [metadata::TRACEPARENT, metadata::TRACESTATE, "_ce_traceparent", "_ce_tracestate"];

/// 16 bytes of SHA-256 over what the producer said.
pub(super) fn fingerprint(event: &OrderEvent) -> [u8; 16] {
    let mut hash = Sha256::new();
    let amount = event.amount.to_string();
    for value in [event.event_type.as_str(), &event.order_id, &event.customer, &amount] {
        update(&mut hash, value.as_bytes());
    }
    let ts_ms = if event.ts_ms_is_receipt { String::new() } else { event.ts_ms.to_string() };
    update(&mut hash, ts_ms.as_bytes());
    let said = event.metadata.iter().filter(|(name, _)| !OF_TRACES.contains(&name.as_str()));
    let mut further: Vec<_> = event.extra.iter().chain(said).collect();
    further.sort_unstable();
    for (name, value) in further {
        update(&mut hash, name.as_bytes());
        update(&mut hash, value.as_bytes());
    }
    truncated(hash)
}

/// The fingerprint of a batch: of its events, in order.
pub(super) fn batch_fingerprint(events: &[[u8; 16]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    // So that a batch of one is not the event alone.
    hash.update(b"batch");
    for event in events {
        hash.update(event);
    }
    truncated(hash)
}

fn truncated(hash: Sha256) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    short
}

#[cfg(test)]
mod tests {
    use order_events::{EventTypes, ParseContext, parse_event};

    use super::*;

    fn of(json: &str, now_ms: u64) -> [u8; 16] {
        fingerprint(&parse_event(json, &ParseContext { types: &EventTypes::default(), now_ms }).unwrap())
    }

    const EVENT: &str =
        r#"{"type":"order.paid","order_id":"o","customer":"c","amount":"49.50","b":"1","a":"x"}"#;

    #[test]
    fn the_same_event_written_otherwise_and_later_is_the_same() {
        let other =
            r#"{ "a":"\u0078", "b":1, "amount": 49.5, "customer":"c","order_id":"o","type":"order.paid" }"#;
        assert_eq!(of(EVENT, 1), of(other, 2));
    }

    #[test]
    fn the_trace_is_not_part_of_it() {
        let event = parse_event(EVENT, &ParseContext { types: &EventTypes::default(), now_ms: 1 }).unwrap();
        let mut traced = event.clone();
        traced.set_metadata(metadata::TRACEPARENT, "00-1-2-01");
        traced.set_metadata(metadata::TRACESTATE, "shop=7");
        traced.set_metadata("_ce_tracestate", "shop=7");
        assert_eq!(fingerprint(&event), fingerprint(&traced));
        // What else an envelope says is.
        traced.set_metadata("_ce_dataschema", "/orders/2");
        assert_ne!(fingerprint(&event), fingerprint(&traced));
    }

    #[test]
    fn every_difference_counts() {
        let others = [
            EVENT.replace("order.paid", "order.placed"),
            EVENT.replace(r#""o""#, r#""p""#),
            EVENT.replace(r#""c""#, r#""d""#),
            EVENT.replace("49.50", "49.51"),
            EVENT.replace(r#""x""#, r#""y""#),
            EVENT.replace(r#""a":"x""#, r#""ax":"""#),
            EVENT.replace('}', r#","ts_ms":1}"#),
            EVENT.replace('}', r#","id":"e""#) + "}",
            EVENT.replace('}', r#","c":"1"}"#),
        ];
        let mut seen = vec![of(EVENT, 1)];
        for other in others {
            let fingerprint = of(&other, 1);
            assert!(!seen.contains(&fingerprint), "{other}");
            seen.push(fingerprint);
        }
    }
}
