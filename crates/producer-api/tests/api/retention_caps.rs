//! The hard caps of retention: 429 that says which cap and who is in the way, nothing lost, and release.

use futures_util::future::join_all;
use testkit::{RedisServer, eventually};

use crate::{
    client::{Answer, Api, batch, event, raw_post},
    process::HANG,
};

const ENTRIES_CLOSED: &str = "producer_admission_closed{cap=\"entries\"}";
const MEMORY_CLOSED: &str = "producer_admission_closed{cap=\"memory\"}";
const THROTTLED: &str = "producer_events_total{outcome=\"throttled\",type=\"order.paid\"}";

async fn with(settings: &[(&str, &str)]) -> Api {
    Api::with(RedisServer::start().await, settings)
}

async fn length(api: &Api) -> usize {
    api.redis(&format!("XLEN {}", api.stream)).await
}

/// Waits until the problem of an event names who is in the way, since that is looked up.
async fn refused(api: &Api, held_by: Option<&str>) -> Answer {
    eventually(HANG, &format!("429 names {held_by:?}"), async || {
        let answer = api.post(&event("late")).await;
        let found = answer.status == 429 && answer.body["held_by"].as_str() == held_by;
        if found { Ok(answer) } else { Err(answer.body.to_string()) }
    })
    .await
}

async fn taken_again(api: &Api) {
    eventually(HANG, "events are taken again", async || {
        let answer = api.post(&event("again")).await;
        if answer.status == 201 { Ok(()) } else { Err(answer.body.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn at_the_entry_cap_producers_get_429_until_there_is_room() {
    let api = with(&[("retention.hard_cap_entries", "100"), ("retention.age", "1ms")]).await;
    for group in ["notifications", "analytics"] {
        let () = api.redis(&format!("XGROUP CREATE {} {group} 0 MKSTREAM", api.stream)).await;
    }
    assert_eq!(api.metric(ENTRIES_CLOSED).await as u64, 0);
    assert_eq!(api.post(&batch("o", 100)).await.status, 201);
    // No reaper runs: the producer learned the length with the write itself.
    let answer = api.post(&event("over")).await;
    answer.is_problem(429, "/problems/entry-cap-reached");
    assert_eq!((&answer.body["stored"], &answer.body["cap"]), (&"no".into(), &"entries".into()));
    assert_eq!((&answer.body["used"], &answer.body["limit"]), (&100.into(), &100.into()));
    api.post(&batch("over", 3)).await.is_problem(429, "/problems/entry-cap-reached");
    assert_eq!(length(&api).await, 100);
    assert_eq!((api.metric(ENTRIES_CLOSED).await as u64, api.metric(THROTTLED).await as u64), (1, 4));

    // One group is done, the other is named.
    let read = format!("XREADGROUP GROUP notifications c COUNT 1000 STREAMS {} >", api.stream);
    let _: redis::Value = api.redis(&read).await;
    let ids: Vec<String> = api.stored().await.into_iter().map(|(id, _)| id).collect();
    let _: usize = api.redis(&format!("XACK {} notifications {}", api.stream, ids.join(" "))).await;
    // Who holds it back is looked up again and again; what was found before the XACK may still be told.
    eventually(HANG, "the group that is left is said to hold retention back", async || {
        let answer = refused(&api, Some("analytics")).await;
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        let says = detail.contains("\"analytics\" holds retention back");
        if says { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;

    // Somebody makes room.
    let _: usize = api.redis(&format!("XTRIM {} MAXLEN = 50", api.stream)).await;
    taken_again(&api).await;
    api.metric_becomes(ENTRIES_CLOSED, 0.0).await;
}

#[tokio::test]
async fn what_only_age_keeps_is_not_laid_to_a_group() {
    let api = with(&[("retention.hard_cap_entries", "10"), ("retention.groups", "g")]).await;
    let () = api.redis(&format!("XGROUP CREATE {} g 0 MKSTREAM", api.stream)).await;
    assert_eq!(api.post(&batch("o", 10)).await.status, 201);
    // Behind, but its entries are young.
    let answer = refused(&api, Some("g")).await;
    assert!(answer.body["detail"].as_str().unwrap().contains("furthest behind"), "{answer:?}");
    let () = api.redis(&format!("XGROUP SETID {} g $", api.stream)).await;
    let answer = refused(&api, None).await;
    assert!(answer.body["detail"].as_str().unwrap().contains("retention.age"), "{answer:?}");
}

#[tokio::test]
async fn a_rebuild_that_holds_retention_back_is_called_one() {
    let settings =
        [("retention.hard_cap_entries", "10"), ("retention.groups", "g"), ("retention.age", "1ms")];
    let api = with(&settings).await;
    let () = api.redis(&format!("XGROUP CREATE {} g 0 MKSTREAM", api.stream)).await;
    assert_eq!(api.post(&batch("o", 10)).await.status, 201);
    let () = api.redis(&format!("XGROUP SETID {} g $", api.stream)).await;
    let mut hold = redis::cmd("HSET");
    hold.arg(format!("{{{}}}:retention:holds", api.stream)).arg("rebuild:g").arg("0-0 9999999999999");
    let _: i64 = hold.query_async(&mut api.connection().await).await.unwrap();
    // At a look within the first millisecond the entries are too young to be held by anybody.
    eventually(HANG, "429 says that it is a rebuild", async || {
        let answer = refused(&api, Some("rebuild:g")).await;
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        let told = detail.contains("the rebuild of group \"g\" holds retention back");
        if told { Ok(()) } else { Err(detail.to_owned()) }
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_meets_the_cap_is_207_with_429_for_the_rest() {
    let api = with(&[("retention.hard_cap_entries", "100"), ("producer.batch_max", "50")]).await;
    let answer = api.post(&batch("o", 300)).await;
    assert_eq!((answer.status, &answer.body["accepted"]), (207, &100.into()), "{answer:?}");
    let results = answer.body["results"].as_array().unwrap();
    assert_eq!(results[99]["stored"], "yes");
    let problem = &results[100]["problem"];
    assert_eq!((&results[100]["stored"], &problem["status"]), (&"no".into(), &429.into()));
    assert_eq!(problem["type"], "/problems/entry-cap-reached");
    assert_eq!((length(&api).await, api.metric(THROTTLED).await as u64), (100, 200));
}

#[tokio::test]
async fn requests_that_had_queued_are_answered_429_and_not_stored() {
    let settings = [
        ("retention.hard_cap_entries", "1"),
        ("producer.batch_max", "1"),
        ("producer.pipelines_in_flight", "1"),
    ];
    let api = with(&settings).await;
    api.pause_writes().await;
    let mut first = api.connect(&raw_post(&event("first"))).await;
    api.write_is_held().await;
    let queued = ["a", "b", "c"].map(event);
    let queued = async { join_all(queued.iter().map(|body| api.post(body))).await };
    let release = async {
        api.metric_becomes("producer_queue_events", 3.0).await;
        api.unpause_writes().await;
    };
    let (answers, ()) = tokio::join!(queued, release);
    for answer in answers {
        answer.is_problem(429, "/problems/entry-cap-reached");
        assert_eq!(answer.body["stored"], "no");
    }
    let mut head = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut first, &mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 201");
    assert_eq!(api.stored_orders().await, ["first"]);
}

#[tokio::test]
async fn many_producers_pass_the_cap_by_no_more_than_what_is_in_flight() {
    let redis = RedisServer::start().await;
    let settings = [
        ("retention.hard_cap_entries", "200"),
        ("producer.batch_max", "10"),
        ("producer.pipelines_in_flight", "2"),
    ];
    let api = Api::with(redis, &settings);
    let load = (0..20).map(|client| {
        let api = &api;
        async move {
            let mut stored = 0;
            loop {
                match api.post(&event(&format!("c{client}"))).await.status {
                    201 => stored += 1,
                    429 => return stored,
                    other => panic!("{other}"),
                }
            }
        }
    });
    let stored: usize = join_all(load).await.into_iter().sum();
    assert_eq!(length(&api).await, stored, "every 201 is stored, and nothing else");
    assert!((200..=220).contains(&stored), "{stored}");
}

#[tokio::test]
async fn at_the_memory_cap_producers_get_429_until_there_is_memory() {
    let api = with(&[]).await;
    assert_eq!(api.post(&event("before")).await.status, 201);
    // An empty server takes about a megabyte; now it is above 75 % and below all of it.
    let info: String = api.redis("INFO memory").await;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a figure");
    let max = used.trim().parse::<u64>().unwrap() * 100 / 85;
    let () = api.redis(&format!("CONFIG SET maxmemory {max}")).await;
    api.metric_becomes(MEMORY_CLOSED, 1.0).await;
    let answer = api.post(&event("over")).await;
    answer.is_problem(429, "/problems/memory-cap-reached");
    assert_eq!((&answer.body["stored"], &answer.body["cap"]), (&"no".into(), &"memory".into()));
    assert_eq!(api.get("/v1/events").await.status, 200, "reading goes on");
    let () = api.redis("CONFIG SET maxmemory 0").await;
    taken_again(&api).await;
    assert_eq!(api.metric(MEMORY_CLOSED).await as u64, 0);
}

#[tokio::test]
async fn a_length_that_is_bounded_by_policy_needs_no_cap() {
    let settings = [("retention.hard_cap_entries", "5"), ("retention.policy", "maxlen")];
    let api = with(&settings).await;
    assert_eq!(api.post(&batch("o", 20)).await.status, 201);
    assert_eq!(api.post(&event("more")).await.status, 201);
}
