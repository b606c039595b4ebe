//! Bodies as a whole: single events, batches, wrong shapes, malformed JSON.

use order_events::{
    Body, BodyError, EventProblem, EventTypes, MAX_ENTRY_BYTES, OrderEvent, ParseContext, parse_body,
    parse_event,
};

const NOW_MS: u64 = 1_716_998_413_541;
const GOOD: &str = r#"{"type":"order.paid","order_id":"o-1","customer":"alice","amount":"49.50"}"#;

fn body(json: impl AsRef<[u8]>) -> Result<Body, BodyError> {
    parse_body(json, &ParseContext { types: &EventTypes::default(), now_ms: NOW_MS })
}

fn event(json: impl AsRef<[u8]>) -> Result<OrderEvent, BodyError> {
    parse_event(json, &ParseContext { types: &EventTypes::default(), now_ms: NOW_MS })
}

fn batch_of(count: usize) -> String {
    format!("[{}]", vec![GOOD; count].join(","))
}

fn problem(index: usize, field: &str, message: &str) -> EventProblem {
    EventProblem { index, field: field.to_owned(), message: message.to_owned() }
}

#[test]
fn an_object_is_one_event() {
    let expected = event(GOOD).unwrap();
    assert_eq!(body(format!(" \n{GOOD}\t")).unwrap(), Body::One(expected));
}

#[test]
fn an_array_is_a_batch_in_its_order() {
    let json = format!("[{GOOD},{}]", GOOD.replace("o-1", "o-2"));
    let Body::Batch(events) = body(json).unwrap() else { panic!("a batch was sent") };
    let orders: Vec<&str> = events.iter().map(|event| event.order_id.as_str()).collect();
    assert_eq!(orders, ["o-1", "o-2"]);
}

#[test]
fn a_batch_has_one_to_a_thousand_events() {
    assert!(matches!(body(batch_of(1)), Ok(Body::Batch(events)) if events.len() == 1));
    assert!(matches!(body(batch_of(1_000)), Ok(Body::Batch(events)) if events.len() == 1_000));
    let error = body("[ ]").unwrap_err();
    assert_eq!(
        (&error, error.to_string().as_str()),
        (&BodyError::EmptyBatch, "the batch is empty; allowed: 1 to 1000 events",)
    );
    let error = body(batch_of(1_002)).unwrap_err();
    assert_eq!(
        (&error, error.to_string().as_str()),
        (&BodyError::BatchTooLarge { events: 1_002 }, "the batch has 1002 events; allowed: 1 to 1000",)
    );
}

#[test]
fn every_bad_index_and_field_is_reported() {
    let json = format!(
        r#"[{GOOD}, 7, {{"type":"order.lost","order_id":"","customer":"a","amount":"-1"}}, {GOOD}, null, {{}}]"#
    );
    let allowed_types = "allowed: order.placed, order.paid, order.shipped, order.cancelled";
    assert_eq!(
        body(json),
        Err(BodyError::Invalid(vec![
            problem(1, "", "is a number; allowed: an object"),
            problem(2, "type", &format!("\"order.lost\" is not an allowed type; {allowed_types}")),
            problem(2, "order_id", "is empty; allowed: 1 to 128 printable characters"),
            problem(2, "amount", "\"-1\" is negative; allowed: 0 to 10000000000 with at most two decimals"),
            problem(4, "", "is null; allowed: an object"),
            problem(5, "type", &format!("is missing; {allowed_types}")),
            problem(5, "order_id", "is missing; allowed: 1 to 128 printable characters"),
            problem(5, "customer", "is missing; allowed: 1 to 128 printable characters"),
            problem(5, "amount", "is missing; allowed: 0 to 10000000000 with at most two decimals"),
        ]))
    );
}

#[test]
fn invalid_events_have_a_short_summary() {
    assert_eq!(
        body(r#"[{"type":1,"order_id":"o","customer":"a","amount":1}]"#).unwrap_err().to_string(),
        "event 0: type: is a number; allowed: a string"
    );
    assert_eq!(
        body("[1,2,3]").unwrap_err().to_string(),
        "event 0: is a number; allowed: an object (and 2 more)"
    );
}

#[test]
fn other_kinds_of_json_are_the_wrong_shape() {
    for (json, found) in [
        ("7", "a number"),
        ("\"x\"", "a string"),
        ("true", "a boolean"),
        (" null ", "null"),
        ("-1e9", "a number"),
    ] {
        let error = body(json).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the body is {found}; allowed: an event (object) or a batch of events (array)")
        );
    }
    assert_eq!(
        event(batch_of(1)).unwrap_err().to_string(),
        "the body is an array; allowed: an event (object)",
        "batches are not wanted here"
    );
}

#[test]
fn malformed_json_has_its_place() {
    let cases = [
        ("", 1, 0),
        ("nope", 1, 2),
        ("{\"type\":\n  oops}", 2, 3),
        ("[{},]", 1, 5),
        ("[{\"amount\": 01}]", 1, 14),
        ("{\"a\":\"\\x\"}", 1, 8),
        ("{} {}", 1, 4),
        ("[1", 1, 2),
        ("{'a':1}", 1, 2),
        ("{\"a\":NaN}", 1, 6),
    ];
    for (json, line, column) in cases {
        let error = body(json).unwrap_err();
        let place = format!("line {line} column {column}");
        assert!(
            matches!(&error, BodyError::Malformed { line: l, column: c, .. } if (*l, *c) == (line, column)),
            "{json:?} at {place}: {error:?}"
        );
        assert!(
            error.to_string().starts_with("malformed JSON: ") && error.to_string().ends_with(&place),
            "{error}"
        );
    }
}

#[test]
fn bytes_that_are_not_utf8_are_malformed() {
    assert_eq!(
        body(b"{\n\"a\":\"\xff\"}").unwrap_err().to_string(),
        "malformed JSON: not UTF-8 at line 2 column 6"
    );
}

#[test]
fn a_malformed_element_makes_the_whole_batch_malformed() {
    let error = body(format!("[{GOOD},{{\"type\" \"x\"}}]")).unwrap_err();
    assert!(matches!(error, BodyError::Malformed { .. }), "{error}");
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    let deep = format!("{}{}", "[".repeat(400_000), "]".repeat(400_000));
    let error = event(format!(r#"{{"x":{deep}}}"#)).unwrap_err();
    assert!(matches!(error, BodyError::Invalid(_)), "{error}");
    assert_eq!(body(deep).unwrap_err().to_string(), "event 0: is an array; allowed: an object");
}

#[test]
fn an_entry_has_at_most_one_mebibyte() {
    let with_note = |bytes: usize| GOOD.replacen('{', &format!("{{\"note\":\"{}\",", "x".repeat(bytes)), 1);
    let small = event(with_note(0)).unwrap().encoded_len();
    let largest = MAX_ENTRY_BYTES - small;
    assert_eq!(event(with_note(largest)).unwrap().encoded_len(), MAX_ENTRY_BYTES);
    assert_eq!(
        event(with_note(largest + 1)).unwrap_err().to_string(),
        "event 0: has 1048577 bytes of names and values; allowed: at most 1048576"
    );
}
