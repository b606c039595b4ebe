//! What holds for any input: round trips lose nothing, and nothing panics.

use std::collections::BTreeMap;

use order_events::{
    Amount, EventType, EventTypes, EventView, OrderEvent, ParseContext, format_cents, parse_body,
    parse_event, sample::SampleEvents,
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value};

const NOW_MS: u64 = 1_716_998_413_541;

fn types() -> EventTypes {
    let names = EventType::LABELS.map(str::to_owned);
    EventTypes::new(names).expect("the labels are usable as types")
}

fn identifier() -> impl Strategy<Value = String> {
    "\\PC{1,128}".prop_filter("not blank", |text| !text.trim().is_empty())
}

fn amount() -> impl Strategy<Value = Amount> {
    (0..=Amount::MAX.cents()).prop_map(|cents| Amount::from_cents(cents).expect("within the range"))
}

fn event_type() -> impl Strategy<Value = EventType> {
    prop::sample::select(EventType::LABELS.to_vec()).prop_map(EventType::from)
}

/// Further fields: any text as value, any name that is not taken or reserved.
fn further(prefix: &'static str) -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::btree_map(".{0,12}", any::<String>(), 0..20).prop_map(move |map: BTreeMap<_, _>| {
        // The prefix keeps the names off the reserved and the required ones.
        map.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect()
    })
}

prop_compose! {
    fn event()(
        event_type in event_type(), order_id in identifier(), customer in identifier(), amount in amount(),
        ts_ms in 0..=NOW_MS, extra in further("x"), metadata in further("_"),
    ) -> OrderEvent {
        OrderEvent {
            event_type, order_id, customer, amount, ts_ms, ts_ms_is_receipt: false, extra, metadata,
        }
    }
}

/// The event as a producer would send it, which has no metadata.
fn to_json(event: &OrderEvent) -> String {
    let members: Map<String, Value> =
        event.to_fields().map(|(name, value)| (name.to_owned(), Value::String(value.into_owned()))).collect();
    Value::Object(members).to_string()
}

fn through_fields(event: &OrderEvent) -> OrderEvent {
    let fields: Vec<_> = event.to_fields().collect();
    let bytes = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    OrderEvent::from_fields(0, bytes).expect("what was encoded can be decoded")
}

proptest! {
    #[test]
    fn an_event_survives_the_flat_map(event in event()) {
        prop_assert_eq!(&through_fields(&event), &event);
    }

    #[test]
    fn an_event_survives_json_and_the_flat_map(event in event()) {
        let mut event = OrderEvent { metadata: Vec::new(), ..event };
        let types = types();
        let parsed = parse_event(to_json(&event), &ParseContext { types: &types, now_ms: NOW_MS })
            .expect("a valid event");
        event.extra.sort(); // A JSON object built by serde_json is sorted by name.
        prop_assert_eq!(&parsed, &event);
        prop_assert_eq!(&through_fields(&parsed), &event);
    }

    #[test]
    fn an_amount_survives_its_text(amount in amount()) {
        prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        prop_assert_eq!(amount.to_string(), format_cents(amount.cents()));
    }

    #[test]
    fn amounts_and_only_amounts_match_the_grammar(literal in "-?[0-9]{0,12}(\\.[0-9]{0,4})?([eE][0-9])?") {
        let (whole, fraction) = literal.split_once('.').unwrap_or((&literal, "0"));
        let digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
        let well_formed = digits(whole) && digits(fraction) && fraction.len() <= 2;
        let cents = || -> Option<i64> { format!("{whole}{fraction:0<2}").parse().ok() };
        let expected = well_formed.then(cents).flatten().filter(|cents| *cents <= Amount::MAX.cents());
        prop_assert_eq!(literal.parse::<Amount>().ok().map(Amount::cents), expected);
    }

    #[test]
    fn any_cents_are_written_exactly(cents in any::<i64>()) {
        let text = format_cents(cents);
        prop_assert_eq!(text.replace('.', "").parse::<i64>(), Ok(cents));
        prop_assert_eq!(text.find('.'), Some(text.len() - 3));
    }

    #[test]
    fn no_bytes_make_the_json_parser_panic(bytes in vec(any::<u8>(), 0..200)) {
        let types = types();
        let context = ParseContext { types: &types, now_ms: NOW_MS };
        let _ = parse_body(&bytes, &context);
        let _ = parse_event(&bytes, &context);
    }

    #[test]
    fn nothing_that_looks_like_json_makes_the_parser_panic(
        text in "[\\[{]{0,2}(\"(type|amount|ts_ms|_id|\\\\ud800|.{0,3})\":? ?([0-9.eE-]{1,6}|\".{0,4}\"|null|\\{|\\[)?,?){0,5}[\\]}]{0,2}"
    ) {
        let types = types();
        let _ = parse_body(&text, &ParseContext { types: &types, now_ms: u64::MAX });
    }

    #[test]
    fn no_fields_make_the_decoder_panic(
        entry_ms in any::<u64>(),
        fields in vec((field_name(), vec(any::<u8>(), 0..30)), 0..30),
    ) {
        let pairs = || fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
        let event = OrderEvent::from_fields(entry_ms, pairs());
        let view = EventView::from_fields(entry_ms, pairs());
        prop_assert_eq!(event.is_ok(), view.is_ok());
        if let Err(error) = event {
            prop_assert!(error.to_string().chars().count() < 600);
        }
    }

    #[test]
    fn any_source_makes_valid_samples(numbers in vec(any::<u64>(), 4), ts_ms in 0..=NOW_MS) {
        let mut numbers = numbers.into_iter().cycle();
        let sample = SampleEvents::new(|| numbers.next().expect("a cycle")).next_event(ts_ms);
        let types = EventTypes::default();
        let context = ParseContext { types: &types, now_ms: NOW_MS };
        prop_assert_eq!(parse_event(to_json(&sample), &context), Ok(sample));
    }
}

fn field_name() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec!["type", "order_id", "customer", "amount", "ts_ms", "_id"]);
    prop_oneof![known.prop_map(|name| name.as_bytes().to_vec()), vec(any::<u8>(), 0..8)]
}
