//! What holds for any envelope: it comes back as it was, says the same in every mode, and nothing panics.

use order_events::{
    EventTypes, OrderEvent, ParseContext,
    cloudevents::{CloudEvent, parse_batch, parse_binary, parse_event},
};
use proptest::{collection::btree_map, option, prelude::*, sample::select};
use serde_json::{Map, Value, json};

const NOW_MS: u64 = 1_716_998_413_541;

fn text() -> impl Strategy<Value = String> {
    "\\PC{1,40}".prop_filter("printable and not blank", |text| {
        !text.trim().is_empty() && !text.chars().any(char::is_control)
    })
}

prop_compose! {
    /// An envelope that breaks no rule.
    fn envelope()(
        id in text(), source in "[a-z0-9/:?#@!$&'()*+,;=._~-]{1,30}(%[0-9A-F]{2}){0,2}", subject in text(),
        event_type in select(vec!["order.placed", "order.paid", "order.shipped", "order.cancelled"]),
        ts_ms in option::of(0..=NOW_MS), order in option::of(text()), customer in text(), cents in 0..=1_000_000_u64,
        extensions in btree_map("x[a-z0-9]{0,19}", "[ -~æ注]{0,20}", 0..5),
        extra in btree_map("x.{0,12}", any::<String>(), 0..5),
    ) -> Value {
        let mut data: Map<String, Value> = extra.into_iter().map(|(name, value)| (name, value.into())).collect();
        data.insert("customer".to_owned(), customer.into());
        data.insert("amount".to_owned(), format!("{}.{:02}", cents / 100, cents % 100).into());
        if let Some(order) = order {
            data.insert("order_id".to_owned(), order.into());
        }
        let mut envelope: Map<String, Value> =
            extensions.into_iter().map(|(name, value)| (name, value.into())).collect();
        if let Some(ts_ms) = ts_ms {
            let time = jiff::Timestamp::from_millisecond(ts_ms as i64).expect("within the calendar");
            envelope.insert("time".to_owned(), time.to_string().into());
        }
        let head = [("specversion", "1.0"), ("id", &id), ("source", &source), ("type", event_type), ("subject", &subject)];
        for (name, value) in head {
            envelope.insert(name.to_owned(), value.into());
        }
        envelope.insert("data".to_owned(), data.into());
        envelope.into()
    }
}

fn types() -> EventTypes {
    EventTypes::default()
}

fn sent_out(event: &OrderEvent) -> Value {
    let fields: Vec<_> = event.to_fields().collect();
    let pairs = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    serde_json::to_value(CloudEvent::of_entry("5-1", 5, "/s", pairs).expect("an order event")).expect("JSON")
}

proptest! {
    #[test]
    fn every_mode_says_the_same_and_it_comes_back(mut sent in envelope()) {
        let types = types();
        let context = ParseContext { types: &types, now_ms: NOW_MS };
        let event = parse_event(sent.to_string(), &context).expect("a valid envelope");
        let batch = parse_batch(json!([&sent]).to_string(), &context).expect("a valid batch");
        prop_assert_eq!(&batch[..], std::slice::from_ref(&event));
        let members = sent.as_object().expect("an object");
        let attributes = members.iter().filter(|(name, _)| *name != "data");
        let attributes = attributes.map(|(name, value)| (name.as_str(), value.as_str().expect("text")));
        let binary = parse_binary(attributes, members["data"].to_string(), &context).expect("a valid event");
        prop_assert_eq!(&binary, &event);

        let back = sent_out(&event);
        for (name, value) in members.iter().filter(|(name, _)| *name != "data" && *name != "time") {
            prop_assert_eq!(&back[name], value, "{}", name);
        }
        prop_assert_eq!(&parse_event(back.to_string(), &context).expect("what was sent out").metadata, &event.metadata);
        let order = back["data"]["order_id"].clone();
        sent["data"]["order_id"] = order;
        prop_assert_eq!(&back["data"], &sent["data"]);
    }

    #[test]
    fn what_is_accepted_keeps_the_rules(
        members in btree_map(
            select(vec!["specversion", "id", "source", "type", "subject", "time", "data_base64", "datacontenttype", "Ext", "ext"]),
            prop_oneof![
                select(vec!["1.0", "order.paid", "2024-05-29T16:00:13Z", "application/json", ""]).prop_map(Value::from),
                ".{0,6}".prop_map(Value::from), any::<i64>().prop_map(Value::from), Just(Value::Null), Just(json!([])),
            ],
            0..10,
        ),
        amount in select(vec![json!("1.00"), json!("1.001"), json!(-1), Value::Null]),
    ) {
        let types = types();
        let mut envelope: Map<String, Value> = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        envelope.insert("data".to_owned(), json!({"order_id": "o", "customer": "c", "amount": amount}));
        let envelope = Value::from(envelope);
        if let Ok(event) = parse_event(envelope.to_string(), &ParseContext { types: &types, now_ms: NOW_MS }) {
            prop_assert_eq!(&envelope["specversion"], "1.0");
            prop_assert_eq!(&envelope["type"], event.event_type.as_str());
            prop_assert_eq!(envelope["id"].as_str(), event.metadata("_id"));
            prop_assert_eq!(envelope["source"].as_str(), event.metadata("_source"));
            prop_assert!(envelope["source"].as_str().is_some_and(|source| !source.is_empty() && !source.contains(' ')));
            prop_assert!(envelope["data_base64"].is_null() && envelope["Ext"].is_null());
            prop_assert_eq!(&envelope["data"]["amount"], "1.00");
            let fields: Vec<_> = event.to_fields().collect();
            let pairs = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            prop_assert_eq!(OrderEvent::from_fields(0, pairs), Ok(event.clone()), "workers can read it");
        }
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "[\\[{]{0,2}(\"(id|time|data|data_base64|\\\\ud800|.{0,3})\":? ?([0-9.eE-]{1,6}|\".{0,8}\"|null|\\{|\\[|\\}|\\])?,?){0,6}[\\]}]{0,3}"
                .prop_map(String::into_bytes),
        ],
        name in ".{0,8}", value in ".{0,30}",
    ) {
        let types = types();
        let context = ParseContext { types: &types, now_ms: u64::MAX };
        _ = parse_event(&bytes, &context);
        _ = parse_batch(&bytes, &context);
        _ = parse_binary([(name.as_str(), value.as_str()), ("time", &value), ("source", &value)], &bytes, &context);
    }

    #[test]
    fn no_entry_makes_the_encoder_panic_or_break_the_format(
        fields in proptest::collection::vec(
            (select(vec!["_id", "_source", "_ce_a", "_ce_subject", "_ce_type", "_traceparent", "_ce_A", "x"]), any::<String>()), 0..8),
    ) {
        let valid = [("type", "order.paid"), ("order_id", "o"), ("customer", "c"), ("amount", "1.00")];
        let pairs = valid.into_iter().chain(fields.iter().map(|(name, value)| (*name, value.as_str())));
        let pairs = pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        if let Ok(event) = CloudEvent::of_entry("5-1", 5, "/s", pairs) {
            let text = serde_json::to_string(&event).expect("JSON");
            let types = types();
            let read = parse_event(text, &ParseContext { types: &types, now_ms: NOW_MS });
            prop_assert!(read.is_ok(), "{:?}", read);
        }
    }
}
