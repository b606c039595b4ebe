//! The live tail: nothing missed, nothing twice, and nobody held up by anybody else.

use std::time::Instant;

use serde_json::json;
use testkit::{RedisServer, eventually};

use crate::{
    client::{Api, batch, event},
    process::HANG,
    sse::Events,
};

/// Connections to Redis that read the stream without a group.
async fn readers(api: &Api) -> usize {
    let clients: String = api.redis("CLIENT LIST").await;
    clients.lines().filter(|client| client.contains(" cmd=xread ")).count()
}

#[tokio::test]
async fn what_is_added_from_then_on_is_told_once_in_order() {
    let api = Api::start().await;
    let before = api.post(&event("before")).await.body["id"].as_str().unwrap().to_owned();
    let mut events = api.tail("", None).await.opened().await;
    assert_eq!(events.last_event_id(), before, "where to go on if nothing comes");
    let ids = api.post(&batch("o", 250)).await.ids();
    assert_eq!(events.ids(250).await, ids);
    let after = api.post(&event("after")).await.body["id"].as_str().unwrap().to_owned();
    let told = events.message().await;
    assert_eq!(told.json(), api.get(&format!("/v1/events/{after}")).await.body);
    assert_eq!(events.last_event_id(), after);
}

#[tokio::test]
async fn only_events_that_fit_are_told_and_the_position_moves_past_the_others() {
    let api = Api::with(RedisServer::start().await, &[("producer.tail_heartbeat", "200ms")]);
    let mut paid = api.tail("type=order.paid&type=order.shipped&order_id=o-1", None).await.opened().await;
    let mut none = api.tail("order_id=o-3", None).await.opened().await;
    let of = |kind: &str, order: &str| json!({"type": kind, "order_id": order, "customer": "c", "amount": 1});
    let events = [
        of("order.placed", "o-1"),
        of("order.paid", "o-2"),
        of("order.paid", "o-1"),
        of("order.shipped", "o-1"),
    ];
    let ids = api.post(&json!(events)).await.ids();
    assert_eq!(paid.ids(2).await, ids[2..]);
    while none.last_event_id() != ids[3] {
        none.comments(1).await;
    }
}

#[tokio::test]
async fn whoever_comes_back_goes_on_where_it_was() {
    let api = Api::start().await;
    let mut ids = Vec::new();
    for part in 0..4 {
        ids.extend(api.post(&batch(&format!("o{part}"), 500)).await.ids());
    }
    let mut by_header = api.tail("", Some(&ids[99])).await.opened().await;
    assert_eq!(by_header.last_event_id(), ids[99]);
    let mut by_query = api.tail(&format!("last_event_id={}", ids[1_990]), None).await;
    let mut from_the_beginning = api.tail("last_event_id=0-0", None).await;
    // What is added while they catch up comes over the feed, or with the last page.
    for part in 0..20 {
        ids.extend(api.post(&batch(&format!("p{part}"), 10)).await.ids());
    }
    assert_eq!(by_query.ids(ids.len() - 1_991).await, ids[1_991..]);
    assert_eq!(by_header.ids(ids.len() - 100).await, ids[100..]);
    assert_eq!(from_the_beginning.ids(ids.len()).await, ids);
    let last = api.post(&event("last")).await.body["id"].as_str().unwrap().to_owned();
    for events in [&mut by_header, &mut by_query, &mut from_the_beginning] {
        assert_eq!(
            events.ids(1).await,
            [last.as_str()],
            "each is at the end now, and was told nothing twice"
        );
    }
}

#[tokio::test]
async fn one_reader_serves_everybody_and_ends_with_the_last() {
    // A client that goes is noticed without anything being sent to it.
    let api = Api::with(RedisServer::start().await, &[("producer.tail_heartbeat", "10m")]);
    assert_eq!(readers(&api).await, 0);
    let mut all = Vec::new();
    for _ in 0..30 {
        all.push(api.tail("", None).await.opened().await);
    }
    api.metric_becomes("producer_tail_subscribers", 30.0).await;
    let ids = api.post(&batch("o", 100)).await.ids();
    for events in &mut all {
        assert_eq!(events.ids(100).await, ids);
    }
    assert_eq!(readers(&api).await, 1);
    all.truncate(3);
    api.metric_becomes("producer_tail_subscribers", 3.0).await;
    assert_eq!(readers(&api).await, 1);
    all.clear();
    api.metric_becomes("producer_tail_subscribers", 0.0).await;
    eventually(HANG, "nobody reads any more", async || {
        if readers(&api).await == 0 { Ok(()) } else { Err("somebody does") }
    })
    .await;
    let mut next = api.tail("", None).await.opened().await;
    let id = api.post(&event("next")).await.body["id"].clone();
    assert_eq!(next.message().await.json()["id"], id);
}

#[tokio::test]
async fn whoever_is_too_slow_is_told_and_dropped_and_the_others_get_everything() {
    let settings = [("producer.tail_buffer", "20"), ("producer.body_limit_bytes", "10000000")];
    let api = Api::with(RedisServer::start().await, &settings);
    let mut slow = api.tail("", None).await.opened().await;
    let mut quick = api.tail("", None).await.opened().await;
    // Far more than the sockets between the two hold.
    let mut ids = Vec::new();
    let note = "x".repeat(64 * 1024);
    for n in 0..300 {
        let mut large = event(&format!("o-{n}"));
        large["note"] = json!(note);
        ids.push(api.post(&large).await.body["id"].as_str().unwrap().to_owned());
        assert_eq!(quick.message().await.id, ids[n]);
    }
    let mut got = Vec::new();
    let overrun = loop {
        let event = slow.next().await.expect("to be told before the end");
        if event.name != "message" {
            break event;
        }
        got.push(event.id);
    };
    assert!(!got.is_empty() && got.len() < 300, "{}", got.len());
    assert_eq!((overrun.name.as_str(), &got[..]), ("overrun", &ids[..got.len()]));
    assert_eq!(overrun.json()["last_event_id"], got[got.len() - 1]);
    assert_eq!(slow.next().await, None, "it is dropped");
    api.metric_becomes("producer_tail_dropped_total{reason=\"slow\"}", 1.0).await;
    api.metric_becomes("producer_tail_subscribers", 1.0).await;

    let mut again = api.tail("", Some(slow.last_event_id())).await;
    assert_eq!(again.ids(300 - got.len()).await, ids[got.len()..], "nothing is lost to it");
}

#[tokio::test]
async fn what_was_removed_before_it_was_told_is_a_gap() {
    let api = Api::start().await;
    let ids = api.post(&batch("o", 10)).await.ids();
    let () = api.redis(&format!("XDEL {} {}", api.stream, ids[5])).await;
    let mut unharmed = api.tail("", Some(&ids[5])).await;
    assert_eq!(unharmed.ids(4).await, ids[6..], "an entry that was deleted is no gap");

    let () = api.redis(&format!("XTRIM {} MINID = {}", api.stream, ids[7])).await;
    let mut trimmed = api.tail("", Some(&ids[2])).await;
    let gap = trimmed.next().await.unwrap();
    assert_eq!(gap.name, "gap");
    assert_eq!(gap.json(), json!({"reason": "trimmed", "after": ids[2], "next": ids[7]}));
    assert_eq!(trimmed.ids(3).await, ids[7..]);

    let mut unknown = api.tail("last_event_id=9000000000000-0", None).await;
    let gap = unknown.next().await.unwrap();
    assert_eq!(gap.json(), json!({"reason": "unknown-id", "after": "9000000000000-0", "next": null}));
    assert_eq!(unknown.last_event_id(), ids[9], "the stream goes on at its end");

    let () = api.redis(&format!("XTRIM {} MAXLEN = 0", api.stream)).await;
    let mut nothing_missed = api.tail("", Some(&ids[9])).await.opened().await;
    let mut all_gone = api.tail("", Some(&ids[8])).await;
    let gap = all_gone.next().await.unwrap();
    assert_eq!(gap.json(), json!({"reason": "trimmed", "after": ids[8], "next": null}));
    let next = api.post(&event("next")).await.body["id"].as_str().unwrap().to_owned();
    for events in [&mut trimmed, &mut unknown, &mut nothing_missed, &mut all_gone] {
        assert_eq!(events.ids(1).await, [next.as_str()]);
    }
}

#[tokio::test]
async fn redis_may_go_and_come_back() {
    let redis = RedisServer::builder().append_only(true).start().await;
    let mut api = Api::with(redis, &[("producer.tail_heartbeat", "300ms")]);
    let first = api.post(&event("first")).await.body["id"].as_str().unwrap().to_owned();
    let mut events = api.tail("", None).await.opened().await;
    api.redis.kill();
    events.comments(3).await;
    // Whoever comes now is taken as well.
    let mut late = api.tail("", Some(&first)).await.opened().await;
    let mut new = api.tail("", None).await.opened().await;
    new.comments(1).await;
    api.redis.restart().await;
    let id = eventually(HANG, "events are taken again", async || {
        let answer = api.post(&event("second")).await;
        if answer.status == 201 {
            Ok(answer.body["id"].as_str().unwrap().to_owned())
        } else {
            Err(answer.status)
        }
    })
    .await;
    for events in [&mut events, &mut late] {
        assert_eq!(events.ids(1).await, [id.as_str()]);
    }
    // Its beginning is when Redis answered again, which may have been after that event.
    let mut last = String::new();
    while last != new.last_event_id() || last.is_empty() {
        last = api.post(&event("third")).await.body["id"].as_str().unwrap().to_owned();
        new.comments(1).await;
    }
}

#[tokio::test]
async fn a_restarted_service_goes_on_for_whoever_comes_back() {
    let mut api = Api::start().await;
    let mut events = api.tail("", None).await.opened().await;
    let mut ids = api.post(&batch("o", 3)).await.ids();
    assert_eq!(events.ids(2).await, ids[..2]);
    let begun = Instant::now();
    api.process.terminate();
    let rest = events.next().await;
    assert!(rest.is_none_or(|event| event.id == ids[2]), "an orderly end");
    while events.next().await.is_some() {}
    assert_eq!(api.process.exited().await.code(), Some(0));
    assert!(begun.elapsed() < HANG / 2, "a listener does not hold up the end: {:?}", begun.elapsed());
    let last = events.last_event_id().to_owned();

    api.restart();
    ids.extend(api.post(&batch("p", 3)).await.ids());
    let at = ids.iter().position(|id| *id == last).unwrap();
    let mut events = api.tail("", Some(&last)).await;
    assert_eq!(events.ids(5 - at).await, ids[at + 1..]);
}

#[tokio::test]
async fn the_number_of_subscribers_is_bounded() {
    let api = Api::with(RedisServer::start().await, &[("producer.tail_subscribers_max", "2")]);
    let first = api.tail("", None).await.opened().await;
    let _second = api.tail("", None).await.opened().await;
    let refused = api.get("/v1/events/tail").await;
    refused.is_problem(503, "/problems/too-many-subscribers");
    drop(first);
    eventually(HANG, "a place is free", async || {
        let response = api.open_tail("", None).await;
        if response.status() == 200 { Ok(Events::new(response)) } else { Err(response.status()) }
    })
    .await;
}

#[tokio::test]
async fn no_value_breaks_the_stream() {
    let api = Api::start().await;
    let mut events = api.tail("", None).await.opened().await;
    let hostile = "a\r\nid: 9-9\rdata: x\n\nevent: gap\ndata: {}\n\n: \u{2028}\u{feff}\0";
    let mut odd = event("o-1");
    odd["note"] = json!(hostile);
    let id = api.post(&odd).await.body["id"].clone();
    let told = events.message().await;
    assert_eq!((&told.json()["id"], &told.json()["fields"]["note"]), (&id, &json!(hostile)));
    assert_eq!(told.id, id);
    let mut binary = redis::cmd("XADD");
    binary.arg(&api.stream).arg("*").arg(b"\xff\r\n").arg(b"\n\xfe");
    let _: String = binary.query_async(&mut api.connection().await).await.unwrap();
    let told = events.message().await.json();
    assert_eq!(told["fields"], json!({"\u{fffd}\r\n": "\n\u{fffd}"}));
}

#[tokio::test]
async fn mistakes_are_problems() {
    let api = Api::start().await;
    for query in [
        "last_event_id=5",
        "type=",
        "count=1",
        "order_id=a&order_id=b",
        "last_event_id=5-99999999999999999999",
    ] {
        let answer = api.get(&format!("/v1/events/tail?{query}")).await;
        answer.is_problem(400, "/problems/invalid-query");
    }
    assert_eq!(api.open_tail("", Some("nonsense")).await.status(), 400);
}
