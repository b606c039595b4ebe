//! CloudEvents by example: what is taken, where it goes, and how a refusal reads.

use order_events::{
    BodyError, EventTypes, OrderEvent, ParseContext,
    cloudevents::{CloudEvent, UNREADABLE_TYPE, parse_batch, parse_binary, parse_event},
    metadata,
};
use serde_json::{Value, json};

const NOW_MS: u64 = 1_716_998_413_541;

fn envelope() -> Value {
    json!({
        "specversion": "1.0", "id": "e-1", "source": "/shop", "type": "order.paid", "subject": "o-1",
        "time": "2024-05-29T16:00:13.541Z", "data": {"customer": "alice", "amount": 49.5},
    })
}

fn parse(json: &Value) -> Result<OrderEvent, BodyError> {
    let types = EventTypes::default();
    parse_event(json.to_string(), &ParseContext { types: &types, now_ms: NOW_MS })
}

/// The problems as `field: message`.
#[track_caller]
fn problems(result: Result<OrderEvent, BodyError>) -> Vec<String> {
    match result.expect_err("a refusal") {
        BodyError::Invalid(problems) => {
            problems.iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The envelope with one member set, or taken out if it is null.
fn with(member: &str, value: Value) -> Value {
    let mut envelope = envelope();
    envelope[member] = value;
    envelope
}

fn fields(event: &OrderEvent) -> Vec<(String, String)> {
    event.to_fields().map(|(name, value)| (name.to_owned(), value.into_owned())).collect()
}

/// The event as the entry `5-1` and back in an envelope.
fn sent_out(event: &OrderEvent) -> Value {
    let fields = fields(event);
    let pairs = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let event = CloudEvent::of_entry("5-1", 5, "/streams/s", pairs).expect("an order event");
    serde_json::to_value(&event).expect("an order event")
}

#[test]
fn an_envelope_becomes_a_flat_entry() {
    let mut sent = envelope();
    sent["data"]["express"] = json!(true);
    sent["partitionkey"] = json!("p");
    sent["sequence"] = json!(-7);
    sent["sampled"] = json!(false);
    sent["dataschema"] = json!("https://schemas.example/order#v1");
    sent["datacontenttype"] = json!("application/json; charset=utf-8");
    sent["traceparent"] = json!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    sent["tracestate"] = Value::Null;
    sent["entryid"] = json!("1-1");
    let event = parse(&sent).unwrap();
    let mut fields = fields(&event);
    fields[6..].sort();
    let expected = [
        ("type", "order.paid"),
        ("order_id", "o-1"),
        ("customer", "alice"),
        ("amount", "49.50"),
        ("ts_ms", "1716998413541"),
        ("express", "true"),
        ("_ce_dataschema", "https://schemas.example/order#v1"),
        ("_ce_partitionkey", "p"),
        ("_ce_sampled", "false"),
        ("_ce_sequence", "-7"),
        ("_id", "e-1"),
        ("_source", "/shop"),
        ("_traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn what_an_envelope_holds_comes_back() {
    let mut sent = envelope();
    sent["partitionkey"] = json!("p");
    sent["traceparent"] = json!("not one");
    sent["data"]["order_id"] = json!("o-2");
    let event = parse(&sent).unwrap();
    assert_eq!((event.order_id.as_str(), event.metadata("_ce_subject")), ("o-2", Some("o-1")));
    assert_eq!(event.metadata(metadata::TRACEPARENT), None, "it leads nowhere");
    sent["datacontenttype"] = json!("application/json");
    sent["entryid"] = json!("5-1");
    sent["data"]["amount"] = json!("49.50");
    assert_eq!(sent_out(&event), sent);
    assert_eq!(parse(&sent).unwrap(), event, "and can be sent again");
}

#[test]
fn an_entry_of_another_tool_has_an_envelope_too() {
    let pairs: [(&[u8], &[u8]); 8] = [
        (b"type", b"order.lost"),
        (b"order_id", b"o-1"),
        (b"customer", b"c"),
        (b"amount", b"1"),
        (b"_id", b""),
        (b"_source", b"not a uri"),
        (b"_ce_id", b"x"),
        (b"_ce_a\n", b"x"),
    ];
    let event = CloudEvent::of_entry("5-1", 5, "/streams/s", pairs).unwrap();
    let expected = json!({
        "specversion": "1.0", "id": "5-1", "source": "/streams/s", "type": "order.lost", "subject": "o-1",
        "time": "1970-01-01T00:00:00.005Z", "datacontenttype": "application/json", "entryid": "5-1",
        "data": {"order_id": "o-1", "customer": "c", "amount": "1.00"},
    });
    assert_eq!(serde_json::to_value(&event).unwrap(), expected);
    assert!(CloudEvent::of_entry("5-1", 5, "/streams/s", [(&b"a"[..], &b"b"[..])]).is_err());
    let unreadable = CloudEvent::unreadable("5-1", u64::MAX, "/streams/s", json!({"a": "b"}));
    let expected = json!({
        "specversion": "1.0", "id": "5-1", "source": "/streams/s", "type": UNREADABLE_TYPE,
        "datacontenttype": "application/json", "entryid": "5-1", "data": {"a": "b"},
    });
    assert_eq!(serde_json::to_value(&unreadable).unwrap(), expected);
}

#[test]
fn required_attributes_are_required() {
    for name in ["specversion", "id", "source", "type", "data"] {
        let mut envelope = envelope();
        envelope.as_object_mut().unwrap().remove(name);
        let found = problems(parse(&envelope));
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("{name}: is missing; allowed: ")),
            "{found:?}"
        );
    }
    for name in ["specversion", "id", "source", "type"] {
        let found = problems(parse(&with(name, Value::Null)));
        assert!(found[0].starts_with(&format!("{name}: is missing")), "null is none: {found:?}");
    }
    assert_eq!(problems(parse(&json!({}))).len(), 5);
}

#[test]
fn every_rule_of_an_attribute_has_its_message() {
    for (member, value, message) in [
        ("specversion", json!("0.3"), r#"specversion: is "0.3"; allowed: "1.0""#),
        ("specversion", json!(1.0), "specversion: is a number; allowed: a string"),
        ("id", json!(""), "id: is empty; allowed: 1 to 128 printable characters"),
        ("id", json!("a\u{7}"), "id: has the control character U+0007"),
        ("id", json!("x".repeat(129)), "id: has 129 characters"),
        ("source", json!(""), "source: is empty; allowed: a URI reference"),
        ("source", json!("my shop"), r#"source: "my shop" is no URI reference"#),
        ("type", json!("order.lost"), r#"type: "order.lost" is not an allowed type; allowed: order.placed"#),
        ("subject", json!("x".repeat(129)), "subject: has 129 characters"),
        ("time", json!("yesterday"), r#"time: "yesterday" is no time; allowed: RFC 3339"#),
        ("time", json!(1_716_998_413_541_u64), "time: is a number; allowed: a string"),
        ("time", json!("2099-01-01T00:00:00Z"), "time: 4070908800000 is more than 24 h ahead"),
        ("datacontenttype", json!("application/xml"), r#"datacontenttype: is "application/xml"; allowed:"#),
        ("dataschema", json!("no uri"), "dataschema: \"no uri\" is no URI reference"),
        ("data", json!("text"), "data: is a string; allowed: an object"),
        ("data", json!([1]), "data: is an array; allowed: an object"),
        ("data_base64", json!("YQ=="), "data_base64: is binary data; allowed: data, a JSON object"),
        (
            "partition_key",
            json!("a"),
            "partition_key: is no name of an attribute; allowed: 1 to 20 of a to z",
        ),
        ("Key", json!("a"), "Key: is no name of an attribute"),
        ("_id", json!("a"), "_id: is no name of an attribute"),
        ("key", json!(1.5), "key: is a number; allowed: a string, a boolean or a whole number of 32 bits"),
        ("key", json!(2_147_483_648_u64), "key: is a number"),
        ("key", json!({}), "key: is an object"),
        ("key", json!("a\nb"), "key: has the control character U+000A"),
        ("key", json!("x".repeat(20_000)), ": has 20"),
    ] {
        let found = problems(parse(&with(member, value)));
        assert!(found.len() == 1 && found[0].contains(message), "{message}: {found:?}");
    }
}

#[test]
fn data_keeps_the_rules_of_plain_json() {
    for (member, value, message) in [
        ("amount", json!("1.234"), "data.amount: \"1.234\" has more than two decimals"),
        ("_id", json!("x"), "data._id: is reserved"),
        ("tags", json!([]), "data.tags: is an array"),
        ("order_id", json!(7), "data.order_id: is a number; allowed: a string"),
        ("type", json!("order.placed"), "data.type: is not the type of the envelope"),
        ("type", json!("order.lost"), "data.type: \"order.lost\" is not an allowed type"),
        ("ts_ms", json!(5), "data.ts_ms: is 5, and the time of the envelope 1716998413541"),
        ("note", json!("x".repeat(1 << 20)), "data: has 1048"),
    ] {
        let mut envelope = envelope();
        envelope["data"][member] = value;
        let found = problems(parse(&envelope));
        assert!(found.len() == 1 && found[0].contains(message), "{message}: {found:?}");
    }
    let mut agreeing = envelope();
    agreeing["data"]["type"] = json!("order.paid");
    agreeing["data"]["ts_ms"] = json!(NOW_MS);
    agreeing["data"]["id"] = json!(7);
    assert_eq!(parse(&agreeing).unwrap().extra, [("id".to_owned(), "7".to_owned())]);
    let mut no_time = with("time", Value::Null);
    assert_eq!(parse(&no_time).unwrap().ts_ms, NOW_MS);
    no_time["data"]["ts_ms"] = json!(5);
    assert_eq!(parse(&no_time).unwrap().ts_ms, 5);

    let found = problems(parse(&with("subject", json!(""))));
    assert!(found[0].starts_with("subject: is empty"), "{found:?}");
    let no_order = with("subject", Value::Null);
    let found = problems(parse(&no_order));
    assert!(found[0].starts_with("data.order_id: is missing"), "{found:?}");
}

#[test]
fn what_is_there_twice_is_refused() {
    let text = envelope().to_string();
    for again in [r#""id":"e-2""#, r#""data":{}"#, r#""id":null"#] {
        let doubled = text.replacen('{', &format!("{{{again},"), 1);
        let types = EventTypes::default();
        let found = problems(parse_event(doubled, &ParseContext { types: &types, now_ms: NOW_MS }));
        assert!(found.iter().any(|problem| problem.contains("is there more than once")), "{found:?}");
    }
}

#[test]
fn a_body_of_another_shape_says_so() {
    let types = EventTypes::default();
    let context = ParseContext { types: &types, now_ms: NOW_MS };
    assert!(matches!(parse_event("[]", &context), Err(BodyError::WrongShape { .. })));
    assert!(matches!(parse_event("{", &context), Err(BodyError::Malformed { .. })));
    assert!(matches!(parse_batch("{}", &context), Err(BodyError::WrongShape { .. })));
    assert_eq!(parse_batch("[]", &context), Err(BodyError::EmptyBatch));
    let batch = json!([envelope(), envelope()]).to_string();
    assert_eq!(parse_batch(batch, &context).unwrap().len(), 2);
    let batch = json!([envelope(), 7, with("id", json!(7))]).to_string();
    let Err(BodyError::Invalid(problems)) = parse_batch(batch, &context) else { panic!() };
    let places: Vec<_> = problems.iter().map(|it| (it.index, it.field.as_str())).collect();
    assert_eq!(places, [(1, ""), (2, "id")]);
}

#[test]
fn attributes_and_data_can_come_apart() {
    let types = EventTypes::default();
    let context = ParseContext { types: &types, now_ms: NOW_MS };
    let attributes = [
        ("specversion", "1.0"),
        ("id", "e-1"),
        ("source", "/shop"),
        ("type", "order.paid"),
        ("subject", "o-1"),
        ("time", "2024-05-29T16:00:13.541Z"),
    ];
    let event = parse_binary(attributes, r#"{"customer":"alice","amount":49.5}"#, &context);
    assert_eq!(event, parse(&envelope()), "the same event in another mode");
    let malformed = parse_binary(attributes, "{", &context);
    assert!(matches!(malformed, Err(BodyError::Malformed { .. })), "{malformed:?}");
    let found = problems(parse_binary(attributes, "7", &context));
    assert_eq!(found, ["data: is a number; allowed: an object"]);
    let found = problems(parse_binary([("id", "a"), ("data", "x")], "{}", &context));
    assert!(found.iter().any(|problem| problem.starts_with("data: is no attribute")), "{found:?}");
    assert!(found.iter().any(|problem| problem.starts_with("specversion: is missing")), "{found:?}");
}
