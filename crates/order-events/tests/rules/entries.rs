//! Entries of the stream, ours and other tools': what is read, what is poison, and why.

use order_events::{DecodeError, EventType, EventView, MAX_ENTRY_BYTES, MAX_METADATA_BYTES, OrderEvent};

type Fields<'a> = Vec<(&'a [u8], &'a [u8])>;

const REQUIRED: [(&str, &str); 4] =
    [("type", "order.paid"), ("order_id", "o-1"), ("customer", "alice"), ("amount", "49.50")];
const ENTRY_MS: u64 = 1_716_998_413_541;

/// A valid entry with `name` set to `value`.
fn with<'a>(name: &'a [u8], value: &'a [u8]) -> Fields<'a> {
    let mut fields: Fields<'a> = required().into_iter().filter(|(other, _)| *other != name).collect();
    fields.push((name, value));
    fields
}

fn required() -> Fields<'static> {
    REQUIRED.map(|(name, value)| (name.as_bytes(), value.as_bytes())).to_vec()
}

fn decode(fields: &Fields<'_>) -> Result<OrderEvent, DecodeError> {
    let event = OrderEvent::from_fields(ENTRY_MS, fields.iter().copied());
    let view = EventView::from_fields(ENTRY_MS, fields.iter().copied());
    assert_eq!(view.as_ref().err(), event.as_ref().err(), "both forms have the same rules");
    event
}

fn message(fields: &Fields<'_>) -> String {
    decode(fields).expect_err("the entry is poison").to_string()
}

#[test]
fn a_bare_entry_of_another_tool_is_as_good_as_ours() {
    let event = decode(&required()).unwrap();
    assert_eq!(event.event_type, EventType::Paid);
    assert_eq!((event.order_id.as_str(), event.customer.as_str()), ("o-1", "alice"));
    assert_eq!((event.amount.cents(), event.ts_ms), (4_950, ENTRY_MS));
    assert!(event.extra.is_empty() && event.metadata.is_empty());
    for (literal, cents) in [("49.5", 4_950), ("49", 4_900)] {
        assert_eq!(decode(&with(b"amount", literal.as_bytes())).unwrap().amount.cents(), cents);
    }
}

#[test]
fn the_view_borrows_what_every_event_has() {
    let fields = with(b"ts_ms", b"12");
    let view = EventView::from_fields(ENTRY_MS, fields).unwrap();
    assert_eq!((view.event_type.as_str(), view.order_id, view.customer), ("order.paid", "o-1", "alice"));
    assert_eq!((view.amount.cents(), view.ts_ms), (4_950, 12));
}

#[test]
fn further_fields_and_metadata_keep_their_order_whatever_the_order_of_the_rest() {
    let mut fields: Fields<'_> = vec![(b"_id", b"e-1"), (b"note", b""), (b"", b"empty name")];
    fields.extend(required());
    fields.extend([(&b"_source"[..], &b"shop"[..]), (b"a", b"1")]);
    let event = decode(&fields).unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(event.extra, [pair("note", ""), pair("", "empty name"), pair("a", "1")]);
    assert_eq!(event.metadata, [pair("_id", "e-1"), pair("_source", "shop")]);
    let names: Vec<&str> = event.to_fields().map(|(name, _)| name).collect();
    assert_eq!(names, ["type", "order_id", "customer", "amount", "ts_ms", "note", "", "a", "_id", "_source"]);
}

#[test]
fn an_unknown_type_is_no_poison() {
    let event = decode(&with(b"type", b"order.refunded")).unwrap();
    assert_eq!(event.event_type, EventType::Other("order.refunded".to_owned()));
    assert_eq!(message(&with(b"type", b"")), "type: is empty; allowed: 1 to 128 printable characters");
}

#[test]
fn event_times_in_the_future_are_no_poison_but_nonsense_is() {
    assert_eq!(decode(&with(b"ts_ms", b"253402207200999")).unwrap().ts_ms, 253_402_207_200_999);
    let allowed = "allowed: Unix milliseconds from 0 to 253402207200999";
    assert_eq!(
        message(&with(b"ts_ms", b"yesterday")),
        format!("ts_ms: \"yesterday\" is not a whole number; {allowed}")
    );
    assert_eq!(message(&with(b"ts_ms", b"-5")), format!("ts_ms: \"-5\" is negative; {allowed}"));
    let error = OrderEvent::from_fields(u64::MAX, required()).unwrap_err();
    assert!(error.to_string().contains("is after the year 9999"), "an ID that is no time: {error}");
}

#[test]
fn missing_required_fields_are_poison() {
    for (missing, _) in REQUIRED {
        let fields = required().into_iter().filter(|(name, _)| *name != missing.as_bytes()).collect();
        assert_eq!(
            message(&fields),
            format!("{missing}: is missing; required are type, order_id, customer and amount")
        );
    }
    assert!(decode(&Vec::new()).is_err());
}

#[test]
fn malformed_required_fields_are_poison() {
    assert_eq!(
        message(&with(b"order_id", b"a\tb")),
        "order_id: has the control character U+0009 at position 2; allowed: 1 to 128 printable characters"
    );
    assert_eq!(
        message(&with(b"customer", b"  ")),
        "customer: is blank; allowed: 1 to 128 printable characters, not only spaces"
    );
    assert_eq!(
        message(&with(b"amount", b"12.345")),
        "amount: \"12.345\" has more than two decimals; allowed: 0 to 10000000000 with at most two decimals"
    );
}

#[test]
fn bytes_that_are_not_utf8_are_poison() {
    assert_eq!(message(&with(b"customer", b"al\xffice")), "customer: is not UTF-8 from byte 2 on");
    assert_eq!(message(&with(b"note", b"\xc3")), "note: is not UTF-8 from byte 0 on");
    assert_eq!(message(&with(b"no\xfete", b"x")), "the name of field 5 is not UTF-8: \"no\u{fffd}te\"");
}

#[test]
fn repeated_fields_are_poison() {
    for name in ["amount", "ts_ms", "note", "_id"] {
        let mut fields = with(name.as_bytes(), b"1");
        fields.push((name.as_bytes(), b"1"));
        assert_eq!(message(&fields), format!("{name}: is there more than once; allowed: each field once"));
    }
}

#[test]
fn many_fields_are_read_in_linear_time() {
    let names: Vec<String> = (0..150_000).map(|n| format!("{n:x}")).collect();
    let mut fields = required();
    fields.extend(names.iter().map(|name| (name.as_bytes(), &b""[..])));
    assert_eq!(decode(&fields).unwrap().extra.len(), names.len());
    fields.push((b"249ef", b""));
    assert_eq!(message(&fields), "249ef: is there more than once; allowed: each field once");
}

#[test]
fn large_entries_are_poison() {
    let others: usize = REQUIRED.iter().map(|(name, value)| name.len() + value.len()).sum();
    let largest = vec![b'x'; MAX_ENTRY_BYTES - others - "note".len()];
    assert!(decode(&with(b"note", &largest)).is_ok());
    let too_large = [&largest[..], b"x"].concat();
    assert_eq!(
        message(&with(b"note", &too_large)),
        "the entry has more than 1048576 bytes of fields, the most allowed"
    );
}

#[test]
fn metadata_never_makes_the_largest_event_poison_but_has_a_limit_of_its_own() {
    let others: usize = REQUIRED.iter().map(|(name, value)| name.len() + value.len()).sum();
    let largest = vec![b'x'; MAX_ENTRY_BYTES - others - "note".len()];
    let metadata = vec![b'm'; MAX_METADATA_BYTES - "_id".len()];
    let mut fields = with(b"note", &largest);
    fields.push((b"_id", &metadata));
    assert_eq!(decode(&fields).unwrap().encoded_len(), MAX_ENTRY_BYTES + "ts_ms1716998413541".len());
    let too_large = [&metadata[..], b"m"].concat();
    assert_eq!(
        message(&with(b"_id", &too_large)),
        "the entry has more than 65536 bytes of metadata (`_…` fields), the most allowed"
    );
}

#[test]
fn messages_never_repeat_the_payload() {
    let long = "secret".repeat(20_000);
    let bytes = long.as_bytes();
    let mut twice = with(bytes, b"1");
    twice.push((bytes, b"1"));
    let not_utf8 = [bytes, b"\xff"].concat();
    let poison = [
        with(b"amount", bytes),
        with(b"ts_ms", bytes),
        with(b"order_id", bytes),
        with(bytes, b"\xff"),
        with(&not_utf8, b"1"),
        twice,
    ];
    for fields in &poison {
        let message = message(fields);
        assert!(message.len() < 250, "{message}");
    }
}
