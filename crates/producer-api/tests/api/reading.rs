//! Reading back: pages, cursors, single entries, and entries that other tools wrote.

use serde_json::{Value, json};

use crate::client::{Api, batch, orders};

fn page_orders(page: &Value) -> Vec<String> {
    let events = page["events"].as_array().expect("events");
    events.iter().map(|event| event["fields"]["order_id"].as_str().expect("text").to_owned()).collect()
}

/// Follows `next` to the end, given back as `parameter`.
async fn walk(api: &Api, query: &str, parameter: &str) -> (Vec<String>, usize) {
    let (mut seen, mut pages, mut next) = (Vec::new(), 0, String::new());
    loop {
        let answer = api.get(&format!("/v1/events?{query}{next}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        seen.extend(page_orders(&answer.body));
        pages += 1;
        match answer.body["next"].as_str() {
            Some(cursor) => next = format!("&{parameter}={cursor}"),
            None => return (seen, pages),
        }
    }
}

#[tokio::test]
async fn pages_cover_the_stream_once_in_both_directions() {
    let api = Api::start().await;
    let ids = api.post(&batch("o", 25)).await.ids();
    let expected = orders("o", 25);
    let reversed: Vec<_> = expected.iter().rev().cloned().collect();
    assert_eq!(walk(&api, "count=10", "cursor").await, (expected.clone(), 3));
    assert_eq!(walk(&api, "count=10", "start").await, (expected.clone(), 3));
    assert_eq!(walk(&api, "count=10&order=desc", "cursor").await, (reversed.clone(), 3));
    assert_eq!(walk(&api, "count=10&order=desc", "end").await, (reversed, 3));
    assert_eq!(walk(&api, "start=-&end=+&count=1000&order=asc", "cursor").await, (expected.clone(), 1));

    let range = format!("start={}&end={}&count=2", ids[3], ids[8]);
    assert_eq!(walk(&api, &range, "cursor").await.0, expected[3..=8]);
    let page = api.get("/v1/events?count=1&order=desc").await.body;
    assert_eq!(page["events"][0]["id"], ids[24]);
}

#[tokio::test]
async fn a_bare_millisecond_covers_all_of_it() {
    let api = Api::start().await;
    for id in ["4-9", "5-0", "5-7", "6-0"] {
        let _: String = api.redis(&format!("XADD {} {id} order_id {id}", api.stream)).await;
    }
    let page = api.get("/v1/events?start=5&end=5").await.body;
    assert_eq!((page_orders(&page), &page["next"]), (vec!["5-0".to_owned(), "5-7".to_owned()], &Value::Null));
    assert_eq!(page_orders(&api.get("/v1/events?start=5-1&end=%2B").await.body), ["5-7", "6-0"]);
    assert_eq!(page_orders(&api.get("/v1/events?start=7").await.body), Vec::<String>::new());
}

#[tokio::test]
async fn an_empty_stream_is_an_empty_page() {
    let api = Api::start().await;
    let answer = api.get("/v1/events").await;
    assert_eq!((answer.status, answer.body), (200, json!({"events": [], "next": null, "scanned": 0})));
}

#[tokio::test]
async fn one_entry_by_its_id() {
    let api = Api::start().await;
    let _: String = api.redis(&format!("XADD {} 5-3 any thing", api.stream)).await;
    let answer = api.get("/v1/events/5-3").await;
    assert_eq!((answer.status, answer.body), (200, json!({"id": "5-3", "fields": {"any": "thing"}})));
    api.get("/v1/events/5-4").await.is_problem(404, "/problems/event-not-found");
    for id in ["5", "abc", "5-x", "-", "%FF"] {
        let answer = api.get(&format!("/v1/events/{id}")).await;
        answer.is_problem(400, "/problems/invalid-id");
    }
    let detail = api.get("/v1/events/abc").await.body["detail"].to_string();
    assert!(detail.contains("expected <milliseconds>-<sequence>"), "{detail}");
}

#[tokio::test]
async fn entries_of_any_content_are_shown() {
    let api = Api::start().await;
    let mut connection = api.connection().await;
    let fields: [&[u8]; 8] = [b"a", b"1", b"bin", b"x\xffy", b"a", b"2", b"", b""];
    let mut xadd = redis::cmd("XADD");
    xadd.arg(&api.stream).arg("5-1").arg(&fields);
    let _: String = xadd.query_async(&mut connection).await.unwrap();
    let expected = json!({
        "id": "5-1", "lossy": true, "fields": {"a": ["1", "2"], "bin": "x\u{fffd}y", "": ""},
    });
    assert_eq!(api.get("/v1/events/5-1").await.body, expected);
    assert_eq!(api.get("/v1/events").await.body["events"], json!([expected]));
}

#[tokio::test]
async fn a_page_of_large_entries_ends_early() {
    let api = Api::start().await;
    let mut connection = api.connection().await;
    let megabyte = vec![b'x'; 1024 * 1024];
    for n in 1..=12 {
        let mut xadd = redis::cmd("XADD");
        xadd.arg(&api.stream).arg(format!("{n}-0")).arg("order_id").arg(n).arg("note").arg(&megabyte);
        let _: String = xadd.query_async(&mut connection).await.unwrap();
    }
    let page = api.get("/v1/events?count=1000").await.body;
    assert_eq!((page_orders(&page).len(), &page["next"]), (10, &json!("10-1")));
    assert_eq!(walk(&api, "count=1000", "cursor").await.0.len(), 12);
}

#[tokio::test]
async fn a_wrong_query_names_every_mistake() {
    let api = Api::start().await;
    let answer = api.get("/v1/events?start=x&count=1001&order=up&limit=3").await;
    answer.is_problem(400, "/problems/invalid-query");
    let named: Vec<_> = answer.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["parameter"].as_str().unwrap())
        .collect();
    assert_eq!(named, ["limit", "order", "start", "count"]);
}

#[tokio::test]
async fn small_entries_before_large_ones_do_not_make_the_page_large() {
    let api = Api::start().await;
    let script = "for _ = 1, 210 do redis.call('XADD', KEYS[1], '*', 'n', '') end \
                  local large = string.rep('x', 102400) \
                  for _ = 1, 150 do redis.call('XADD', KEYS[1], '*', 'n', large) end";
    let mut append = redis::cmd("EVAL");
    append.arg(script).arg(1).arg(&api.stream);
    let () = append.query_async(&mut api.connection().await).await.unwrap();
    let page = api.get("/v1/events?count=1000").await.body;
    let events = page["events"].as_array().unwrap().len();
    // 4 MiB, and what one read of 64 may bring beyond.
    assert!((210..=210 + 41 + 64).contains(&events), "{events}");
    assert!(page["next"].is_string());
}

/// One `order.paid` in a hundred, of alternating orders.
async fn sparse(api: &Api, entries: usize) {
    let script = "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], i .. '-0', 'type', \
                  i % 100 == 0 and 'order.paid' or 'order.placed', 'order_id', 'o-' .. i % 7) end";
    let mut append = redis::cmd("EVAL");
    append.arg(script).arg(1).arg(&api.stream).arg(entries);
    let () = append.query_async(&mut api.connection().await).await.expect("a reply");
}

fn page_ids(page: &Value) -> Vec<&str> {
    page["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| event["id"].as_str().expect("an ID"))
        .collect()
}

#[tokio::test]
async fn filters_give_what_fits_and_pages_cover_it_once() {
    let api = Api::start().await;
    sparse(&api, 1_000).await;
    let page = api.get("/v1/events?type=order.paid&count=4").await.body;
    assert_eq!(page_ids(&page), ["100-0", "200-0", "300-0", "400-0"]);
    assert_eq!((&page["next"], &page["scanned"]), (&json!("400-1"), &json!(400)));
    for query in ["type=order.paid&count=3", "type=order.paid&type=order.none&count=3&order=desc"] {
        let (mut seen, mut next) = (Vec::new(), String::new());
        loop {
            let page = api.get(&format!("/v1/events?{query}{next}")).await.body;
            seen.extend(page_ids(&page).into_iter().map(str::to_owned));
            match page["next"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 10, "{query}: {seen:?}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 10, "{query}");
    }
    let both = api.get("/v1/events?type=order.paid&order_id=o-5&start=101").await.body;
    assert_eq!(page_ids(&both), ["600-0"], "of the seven orders, the hundreds that are 5");
    let none = api.get("/v1/events?order_id=nobody").await.body;
    assert_eq!(none, json!({"events": [], "next": null, "scanned": 1_000}));
    // A cursor is a position: it goes on with any other parameters.
    let other = api.get("/v1/events?order_id=o-1&cursor=400-1&count=1").await.body;
    assert_eq!(page_ids(&other), ["407-0"]);
}

#[tokio::test]
async fn what_a_page_looks_at_is_bounded_and_it_says_where_to_go_on() {
    // On a busy machine half of the usual deadline may be over before the other bounds are met.
    let patient =
        [("producer.request_deadline", "50s"), ("worker.drain_timeout", "55s"), ("shutdown.grace", "60s")];
    let api = Api::with(testkit::RedisServer::start().await, &patient);
    sparse(&api, 25_000).await;
    let page = api.get("/v1/events?order_id=nobody").await.body;
    assert_eq!(page, json!({"events": [], "next": "10000-1", "scanned": 10_000}));
    let page = api.get("/v1/events?order_id=nobody&order=desc&cursor=9000-0").await.body;
    assert_eq!(page, json!({"events": [], "next": null, "scanned": 9_000}));

    let script = "local large = string.rep('x', 1048576) \
                  for i = 1, 60 do redis.call('XADD', KEYS[1], 30000 + i .. '-0', 'n', large) end";
    let mut append = redis::cmd("EVAL");
    append.arg(script).arg(1).arg(&api.stream);
    let () = append.query_async(&mut api.connection().await).await.unwrap();
    let page = api.get("/v1/events?order_id=nobody&start=30000").await.body;
    assert_eq!(page, json!({"events": [], "next": "30050-1", "scanned": 50}), "10 and 40 of a megabyte each");
}
