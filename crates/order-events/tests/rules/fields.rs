//! The rules for each field of a producer's event.

use order_events::{
    BodyError, EventProblem, EventType, EventTypes, OrderEvent, ParseContext, metadata, parse_event,
};

const NOW_MS: u64 = 1_716_998_413_541;
const REQUIRED: [(&str, &str); 4] =
    [("type", r#""order.paid""#), ("order_id", r#""o-1""#), ("customer", r#""alice""#), ("amount", "49.5")];

/// A valid event in which `field` has the JSON value `json`.
fn with(field: &str, json: &str) -> Result<OrderEvent, Vec<EventProblem>> {
    let mut members: Vec<String> = REQUIRED
        .iter()
        .filter(|(name, _)| *name != field)
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    members.push(format!("\"{field}\":{json}"));
    parse(&members.join(","))
}

/// The event with these members.
fn parse(members: &str) -> Result<OrderEvent, Vec<EventProblem>> {
    let types = EventTypes::default();
    match parse_event(format!("{{{members}}}"), &ParseContext { types: &types, now_ms: NOW_MS }) {
        Ok(event) => Ok(event),
        Err(BodyError::Invalid(problems)) => Err(problems),
        Err(other) => panic!("{other}"),
    }
}

/// The one problem of a valid event in which `field` has the JSON value `json`.
fn message(field: &str, json: &str) -> String {
    let problems = with(field, json).expect_err(json);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].index, problems[0].field.as_str()), (0, field));
    problems[0].message.clone()
}

fn required() -> String {
    REQUIRED.map(|(name, value)| format!("\"{name}\":{value}")).join(",")
}

#[test]
fn the_four_types_are_allowed_by_default() {
    for (name, event_type) in EventType::LABELS.iter().zip(EventType::KNOWN) {
        assert_eq!(with("type", &format!("\"{name}\"")).unwrap().event_type, event_type);
    }
    let allowed = "is not an allowed type; allowed: order.placed, order.paid, order.shipped, order.cancelled";
    for name in ["order.lost", "", "other", "Order.Paid", "order.paid "] {
        assert_eq!(message("type", &format!("\"{name}\"")), format!("{name:?} {allowed}"));
    }
    assert_eq!(message("type", "null"), "is null; allowed: a string");
    assert_eq!(message("type", "{}"), "is an object; allowed: a string");
}

#[test]
fn configured_types_are_allowed_instead() {
    let types = EventTypes::new(["order.refunded".to_owned()]).unwrap();
    let context = ParseContext { types: &types, now_ms: NOW_MS };
    let json = format!("{{{}}}", required());
    let refunded = parse_event(json.replace("order.paid", "order.refunded"), &context).unwrap();
    assert_eq!(refunded.event_type, EventType::Other("order.refunded".to_owned()));
    assert!(parse_event(json, &context).unwrap_err().to_string().ends_with("allowed: order.refunded"));
}

#[test]
fn identifiers_are_printable_strings() {
    for field in ["order_id", "customer"] {
        for good in ["x", "Ærø \\u00e6", &"注".repeat(128)] {
            assert!(with(field, &format!("\"{good}\"")).is_ok(), "{good}");
        }
        let allowed = "allowed: 1 to 128 printable characters";
        assert_eq!(message(field, r#""""#), format!("is empty; {allowed}"));
        assert_eq!(message(field, r#""  ""#), format!("is blank; {allowed}, not only spaces"));
        assert_eq!(
            message(field, r#""a\nb""#),
            format!("has the control character U+000A at position 2; {allowed}")
        );
        assert_eq!(
            message(field, &format!("\"{}\"", "é".repeat(129))),
            format!("has 129 characters; {allowed}")
        );
        assert_eq!(message(field, "12"), "is a number; allowed: a string");
        assert_eq!(message(field, "true"), "is a boolean; allowed: a string");
        assert_eq!(message(field, "[]"), "is an array; allowed: a string");
        assert_eq!(message(field, r#""\ud800""#), "is not Unicode text (half of a surrogate pair)");
    }
}

#[test]
fn amounts_are_exact_strings_or_numbers() {
    for (json, printed) in [
        ("0", "0.00"),
        ("49.5", "49.50"),
        ("\"49\"", "49.00"),
        ("0.1", "0.10"),
        ("10000000000", "10000000000.00"),
        ("\"9999999999.99\"", "9999999999.99"),
    ] {
        assert_eq!(with("amount", json).unwrap().amount.to_string(), printed);
    }
    let allowed = "allowed: 0 to 10000000000 with at most two decimals";
    for json in ["12.345", "\"12.345\""] {
        assert_eq!(message("amount", json), format!("\"12.345\" has more than two decimals; {allowed}"));
    }
    assert_eq!(message("amount", "-0"), format!("\"-0\" is negative; {allowed}"));
    assert_eq!(message("amount", "10000000000.01"), format!("\"10000000000.01\" is too large; {allowed}"));
    assert_eq!(message("amount", "1E2"), format!("\"1E2\" has an exponent; {allowed}, in plain digits"));
    assert_eq!(message("amount", "\" 1\""), format!("\" 1\" is not a plain decimal number; {allowed}"));
    let kinds = "allowed: a string or a number from 0 to 10000000000 with at most two decimals";
    assert_eq!(message("amount", "true"), format!("is a boolean; {kinds}"));
    assert_eq!(message("amount", "null"), format!("is null; {kinds}"));
}

#[test]
fn event_times_are_optional_and_at_most_a_day_ahead() {
    let undated = parse(&required()).unwrap();
    assert_eq!((undated.ts_ms, undated.ts_ms_is_receipt), (NOW_MS, true));
    assert!(!with("ts_ms", &NOW_MS.to_string()).unwrap().ts_ms_is_receipt);
    let limit = NOW_MS + 86_400_000;
    for (json, ts_ms) in [("0", 0), ("\"0\"", 0), ("1716998413000", 1_716_998_413_000)] {
        assert_eq!(with("ts_ms", json).unwrap().ts_ms, ts_ms);
    }
    assert_eq!(with("ts_ms", &limit.to_string()).unwrap().ts_ms, limit);
    assert_eq!(
        message("ts_ms", &(limit + 1).to_string()),
        format!("{} is more than 24 h ahead of now ({NOW_MS}); allowed: at most {limit}", limit + 1)
    );
    let allowed = "allowed: Unix milliseconds from 0 to 253402207200999";
    assert_eq!(message("ts_ms", "-1"), format!("\"-1\" is negative; {allowed}"));
    for literal in ["1.0", "1e3"] {
        assert_eq!(message("ts_ms", literal), format!("\"{literal}\" is not a whole number; {allowed}"));
    }
    assert!(
        message("ts_ms", "1716998413541000").contains("is after the year 9999 (are these milliseconds?)")
    );
    assert_eq!(
        message("ts_ms", "null"),
        "is null; allowed: Unix milliseconds, as a whole number or a string of digits"
    );
}

#[test]
fn further_scalars_keep_their_text_and_order() {
    let event = parse(&format!(
        r#""z":"","b":true,{},"f":false,"n":1.50,"big":123456789012345678901234567890,"e":-1e-400,"s":"a\"\u0000""#,
        required()
    ))
    .unwrap();
    let expected = [
        ("z", ""),
        ("b", "true"),
        ("f", "false"),
        ("n", "1.50"),
        ("big", "123456789012345678901234567890"),
        ("e", "-1e-400"),
        ("s", "a\"\0"),
    ];
    assert_eq!(event.extra, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(event.metadata.is_empty());
}

#[test]
fn null_and_nested_values_are_refused() {
    for (json, kind) in [("null", "null"), ("{\"a\":1}", "an object"), ("[1]", "an array")] {
        assert_eq!(message("note", json), format!("is {kind}; allowed: a string, a number or a boolean"));
    }
    assert_eq!(message("note", r#""\udc00x""#), "is not Unicode text (half of a surrogate pair)");
}

#[test]
fn reserved_and_empty_names_are_refused() {
    for name in ["_", "_id", "_traceparent"] {
        assert_eq!(message(name, "1"), "is reserved: names that start with `_` belong to the pipeline");
    }
    assert_eq!(message("", "1"), "the field name is empty; allowed: at least one character");
    let problems = with(r"\ud800", "1").unwrap_err();
    assert_eq!(problems[0].message, "the name is not Unicode text (half of a surrogate pair)");
}

#[test]
fn repeated_fields_are_reported_once_each() {
    let duplicate = "is there more than once; allowed: each field once";
    let problems = parse(&format!(r#"{},"a":1,"a":1,"a":2,"\u0061mount":1"#, required())).unwrap_err();
    let seen: Vec<(&str, &str)> = problems.iter().map(|p| (p.field.as_str(), p.message.as_str())).collect();
    assert_eq!(seen, [("a", duplicate), ("amount", duplicate)]);
}

#[test]
fn an_event_has_at_most_64_fields() {
    let fields = |further: usize| {
        let further: Vec<String> = (0..further).map(|n| format!(",\"f{n}\":{n}")).collect();
        parse(&format!("{}{}", required(), further.concat()))
    };
    assert_eq!(fields(60).unwrap().extra.len(), 60);
    let problems = fields(61).unwrap_err();
    assert_eq!((problems.len(), problems[0].field.as_str()), (1, ""));
    assert_eq!(problems[0].message, "has 65 fields; allowed: at most 64");
    let many: Vec<String> = (0..70).map(|n| format!("\"f{n}\":null")).collect();
    let problems = parse(&many.join(",")).unwrap_err();
    assert_eq!(problems.len(), 65, "one for the event, one for each of the first 64 fields");
}

#[test]
fn long_values_and_names_are_shortened() {
    let long = "x".repeat(100_000);
    for field in ["type", "amount", "ts_ms"] {
        let message = message(field, &format!("\"{long}\""));
        assert!(message.starts_with(&format!("\"{}…\" is not", "x".repeat(40))), "{message}");
        assert!(message.len() < 250, "{message}");
    }
    let problems = with(&long, "null").unwrap_err();
    assert_eq!(problems[0].field, format!("{}…", "x".repeat(40)));
}

#[test]
fn an_id_is_the_producers_and_becomes_metadata() {
    let event = with("id", r#""e-1""#).unwrap();
    assert_eq!((event.metadata(metadata::ID), event.extra.len()), (Some("e-1"), 0));
    assert_eq!(event.to_fields().last().unwrap(), ("_id", "e-1".into()));
    assert_eq!(parse(&required()).unwrap().metadata(metadata::ID), None);
    assert!(message("id", r#""""#).starts_with("is empty"));
    assert!(message("id", &format!("{:?}", "x".repeat(129))).starts_with("has 129 characters"));
    assert_eq!(message("id", "7"), "is a number; allowed: a string");
}
