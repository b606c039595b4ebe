//! NDJSON: results in order while lines arrive, whatever the lines are and however the client behaves.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{RedisServer, eventually};
use tokio::time::timeout;

use crate::{
    client::{Api, SLACK, event, lines, orders},
    import::Import,
    process::HANG,
};

const STORED: &str = "producer_events_total{outcome=\"stored\",type=\"order.paid\"}";

/// The IDs of results that all have one, numbered from `first`.
#[track_caller]
fn ids(results: &[Value], first: usize) -> Vec<String> {
    let id = |(result, line): (&Value, usize)| {
        assert_eq!(result["line"], line, "{result}");
        result["id"].as_str().unwrap_or_else(|| panic!("no ID in {result}")).to_owned()
    };
    results.iter().zip(first..).map(id).collect()
}

#[track_caller]
fn is_problem(result: &Value, line: u64, status: u16, kind: &str) {
    let problem = &result["problem"];
    assert_eq!(
        (&result["line"], &problem["status"], &problem["type"]),
        (&json!(line), &json!(status), &json!(kind))
    );
    assert!(result.get("id").is_none() && problem["detail"].is_string(), "{result}");
}

#[tokio::test]
async fn results_are_in_order_and_a_bad_line_does_not_stop_the_rest() {
    let api = Api::start().await;
    let body = format!(
        "\u{feff}{}\r\n{{\"type\":\n\n{}\n  \r\n[]\n{}",
        event("a"),
        json!({"type": "order.lost", "order_id": "b", "_id": "x"}),
        event("c")
    );
    let mut import = Import::open(&api).await;
    import.send(&body).await;
    import.end().await;
    let head = import.answer.head().await.to_owned();
    assert!(
        head.starts_with("http/1.1 200 ok\r\n") && head.contains("content-type: application/x-ndjson\r\n"),
        "{head}"
    );
    let results = import.results().await;
    assert_eq!(results.len(), 5, "{results:?}");
    is_problem(&results[1], 2, 400, "/problems/malformed-json");
    assert!(!results[1]["problem"]["detail"].as_str().unwrap().contains("line 1"), "{:?}", results[1]);
    is_problem(&results[2], 4, 422, "/problems/invalid-event");
    let errors = results[2]["problem"]["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 4, "type, _id, customer and amount: {errors:?}");
    is_problem(&results[3], 6, 422, "/problems/invalid-body");
    let id = |result: &Value| result["id"].as_str().unwrap().to_owned();
    assert_eq!((&results[0]["line"], &results[4]["line"]), (&json!(1), &json!(7)));
    let stored = [(id(&results[0]), "a".to_owned()), (id(&results[4]), "c".to_owned())];
    assert_eq!(api.stored().await, stored);
    let rejected = "producer_events_total{outcome=\"rejected\",type=\"other\"}";
    assert_eq!((api.metric(STORED).await as u64, api.metric(rejected).await as u64), (2, 3));
}

#[tokio::test]
async fn a_line_has_its_result_before_the_next_is_sent() {
    let api = Api::start().await;
    let mut import = Import::open(&api).await;
    for n in 1..=3 {
        let line = format!("{}\n", event(&format!("o-{n}")));
        let (half, rest) = line.split_at(20);
        import.send(half).await;
        import.send(rest).await;
        ids(&[import.result().await.unwrap()], n);
    }
    import.end().await;
    assert_eq!(import.result().await, None);
    assert_eq!(api.stored_orders().await, ["o-1", "o-2", "o-3"]);
}

#[tokio::test]
async fn an_empty_body_has_no_results() {
    let api = Api::start().await;
    for body in ["", "\n \r\n"] {
        let mut import = Import::open(&api).await;
        if !body.is_empty() {
            import.send(body).await;
        }
        import.end().await;
        assert_eq!(import.result().await, None);
    }
}

#[tokio::test]
async fn many_lines_are_stored_in_their_order_in_few_pipelines() {
    let api = Api::start().await;
    let mut import = Import::open(&api).await;
    let body = lines("o", 5_000);
    let (sender, answer) = (&mut import.sender, &mut import.answer);
    let send = async {
        // Cut anywhere.
        for piece in body.as_bytes().chunks(7_919) {
            sender.send(piece).await.unwrap();
        }
        sender.end().await;
    };
    let read = async {
        let mut results = Vec::new();
        while let Some(result) = answer.result().await {
            results.push(result);
        }
        results
    };
    let ((), results) = tokio::join!(send, read);
    let expected: Vec<_> = ids(&results, 1).into_iter().zip(orders("o", 5_000)).collect();
    assert_eq!(api.stored().await, expected);
    let pipelines = api.metric("producer_append_batch_size_count").await;
    assert!(pipelines <= 500.0, "{pipelines} pipelines");
}

#[tokio::test]
async fn a_line_of_a_mebibyte_is_taken_and_a_longer_one_skipped() {
    let api = Api::start().await;
    let sized = |order: &str, bytes: usize| {
        let mut event = event(order);
        event["note"] = json!("");
        let short = event.to_string().len();
        event["note"] = json!("x".repeat(bytes - short));
        event.to_string()
    };
    let mut import = Import::open(&api).await;
    let (largest, larger) = (sized("largest", 1 << 20), sized("larger", (1 << 20) + 1));
    import.send(format!("{largest}\r\n{larger}\n{}\n", event("after"))).await;
    import.end().await;
    let results = import.results().await;
    ids(&results[..1], 1);
    is_problem(&results[1], 2, 413, "/problems/line-too-long");
    assert_eq!(results[1]["problem"]["limit_bytes"], 1 << 20);
    ids(&results[2..], 3);
    assert_eq!(api.stored_orders().await, ["largest", "after"]);
}

#[tokio::test]
async fn an_endless_line_takes_no_memory() {
    let api = Api::start().await;
    let mut import = Import::open(&api).await;
    import.send(format!("{}\n", event("before"))).await;
    ids(&[import.result().await.unwrap()], 1);
    let before = api.process.peak_memory_kib();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        import.send(&piece).await;
    }
    is_problem(&import.result().await.unwrap(), 2, 413, "/problems/line-too-long");
    let grown = api.process.peak_memory_kib() - before;
    assert!(grown < 16 * 1024, "{grown} KiB for a line of 64 MiB");
    import.send(format!("\n{}", event("after"))).await;
    import.end().await;
    ids(&import.results().await, 3);
    assert_eq!(api.stored_orders().await, ["before", "after"]);
}

#[tokio::test]
async fn an_import_of_100_000_lines_stays_small() {
    let api = Api::start().await;
    crate::memory::import(&api, 100_000).await;
}

/// `make test-import`, with the release build.
#[tokio::test]
#[ignore = "long on a busy machine; make test-import runs it"]
async fn an_import_of_a_million_lines_stays_small() {
    let api = Api::start().await;
    crate::memory::import(&api, 1_000_000).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_held_back_and_then_left() {
    let settings = [("producer.ndjson_idle_timeout", "500ms"), ("producer.ndjson_requests_max", "1")];
    let api = Api::with(RedisServer::start().await, &settings);
    let mut import = Import::open(&api).await;
    let refused = b"no event\n".repeat(1_000);
    let mut sent = 0;
    // The answers fill what is between us, then nothing more is taken.
    while let Ok(taken) = timeout(Duration::from_secs(2), import.sender.send(&refused)).await {
        taken.expect("the connection is open");
        sent += 1_000;
        assert!(sent < 2_000_000, "nothing holds the client back");
    }
    api.process.logged("an NDJSON request was ended: its client does not read the answer");
    assert!(api.process.peak_memory_kib() < 64 * 1024);
    // Its place is free again.
    let mut other = Import::open(&api).await;
    other.send(event("o").to_string()).await;
    other.end().await;
    ids(&other.results().await, 1);
}

#[tokio::test]
async fn a_client_that_falls_silent_is_told_where_it_ended() {
    let api = Api::with(RedisServer::start().await, &[("producer.ndjson_idle_timeout", "300ms")]);
    let mut import = Import::open(&api).await;
    import.send(format!("{}\n{{\"half\":", event("o"))).await;
    let results = import.results().await;
    ids(&results[..1], 1);
    is_problem(&results[1], 2, 408, "/problems/request-timeout");
    assert_eq!(
        (&results[1]["problem"]["last"], &results[1]["problem"]["stored"]),
        (&json!(true), &json!("no"))
    );
    assert_eq!(results.len(), 2);
    assert_eq!(api.stored_orders().await, ["o"]);
}

#[tokio::test]
async fn a_body_that_does_not_begin_is_408() {
    let api = Api::with(RedisServer::start().await, &[("producer.request_deadline", "200ms")]);
    let mut import = Import::open(&api).await;
    assert!(import.answer.head().await.starts_with("http/1.1 408 "));
}

#[tokio::test]
async fn what_was_read_of_a_client_that_is_gone_is_written() {
    let api = Api::start().await;
    api.pause_writes().await;
    let mut import = Import::open(&api).await;
    import.send(format!("{}\n{}", event("whole"), event("half"))).await;
    api.write_is_held().await;
    drop(import);
    api.unpause_writes().await;
    api.metric_becomes(STORED, 1.0).await;
    let mut other = Import::open(&api).await;
    other.send(format!("{}\n", event("after"))).await;
    other.end().await;
    assert_eq!(other.results().await.len(), 1);
    assert_eq!(api.stored_orders().await, ["whole", "after"], "the second line had no end");
}

#[tokio::test]
async fn while_redis_is_stuck_each_line_has_its_problem_in_time() {
    let settings = [("producer.request_deadline", "500ms"), ("producer.batch_max", "10")];
    let api = Api::with(RedisServer::start().await, &settings);
    let mut import = Import::open(&api).await;
    import.send(lines("before", 1)).await;
    ids(&[import.result().await.unwrap()], 1);
    api.pause_writes().await;
    import.send(lines("meanwhile", 20)).await;
    let begun = Instant::now();
    for line in 2..=21 {
        let result = import.result().await.unwrap();
        assert_eq!((&result["line"], &result["problem"]["status"]), (&json!(line), &json!(503)), "{result}");
        let stored = result["problem"]["stored"].as_str().unwrap();
        assert!(matches!(stored, "no" | "unknown"), "{result}");
    }
    assert!(begun.elapsed() < Duration::from_secs(2) + SLACK);
    api.unpause_writes().await;
    // What was told to be unknown may still arrive; what comes now is stored.
    eventually(HANG, "lines are stored again", async || {
        let mut after = Import::open(&api).await;
        after.send(lines("after", 1)).await;
        after.end().await;
        after.results().await[0]["id"].is_string().then_some(())
    })
    .await;
    import.end().await;
    assert_eq!(import.result().await, None);
}

#[tokio::test]
async fn redis_may_go_and_come_back_under_an_import() {
    let redis = RedisServer::builder().append_only(true).start().await;
    let mut api = Api::with(redis, &[]);
    let mut import = Import::open(&api).await;
    import.send(lines("before", 3)).await;
    for line in 1..=3 {
        ids(&[import.result().await.unwrap()], line);
    }
    api.redis.kill();
    import.send(lines("away", 500)).await;
    for line in 4..=503 {
        let result = import.result().await.unwrap();
        assert_eq!((&result["line"], &result["problem"]["status"]), (&json!(line), &json!(503)), "{result}");
    }
    api.redis.restart().await;
    let mut line = 504;
    let end = Instant::now() + HANG;
    loop {
        import.send(lines("back", 1)).await;
        let result = import.result().await.unwrap();
        assert_eq!(result["line"], line);
        if result["id"].is_string() {
            break;
        }
        assert!(Instant::now() < end, "{result}");
        line += 1;
    }
    import.end().await;
    assert_eq!(import.result().await, None);
    let stored = api.stored_orders().await;
    assert_eq!(stored[..3], orders("before", 3));
    assert_eq!(stored.last().map(String::as_str), Some("back-0"));
}

#[tokio::test]
async fn at_the_hard_cap_reading_waits_for_room() {
    let settings = [("retention.hard_cap_entries", "100"), ("producer.batch_max", "50")];
    let api = Api::with(RedisServer::start().await, &settings);
    let mut import = Import::open(&api).await;
    import.send(lines("o", 130)).await;
    import.end().await;
    let mut results = Vec::new();
    for _ in 0..100 {
        results.push(import.result().await.unwrap());
    }
    api.metric_becomes("producer_admission_closed{cap=\"entries\"}", 1.0).await;
    assert!(import.answer.is_silent_for(Duration::from_millis(300)).await, "no line is used up");
    let _: usize = api.redis(&format!("XTRIM {} MAXLEN = 50", api.stream)).await;
    results.extend(import.results().await);
    assert_eq!(ids(&results, 1).len(), 130, "every line is stored in the end");
}

#[tokio::test]
async fn at_the_hard_cap_lines_are_429_once_their_time_is_up() {
    let settings = [
        ("retention.hard_cap_entries", "100"),
        ("producer.batch_max", "50"),
        ("producer.request_deadline", "300ms"),
    ];
    let api = Api::with(RedisServer::start().await, &settings);
    let mut import = Import::open(&api).await;
    import.send(lines("o", 180)).await;
    import.end().await;
    let begun = Instant::now();
    let results = import.results().await;
    let (stored, refused) = results.split_at(results.partition_point(|result| result["id"].is_string()));
    assert!((100..=150).contains(&stored.len()) && results.len() == 180, "{}", stored.len());
    for (result, line) in refused.iter().zip(stored.len() as u64 + 1..) {
        is_problem(result, line, 429, "/problems/entry-cap-reached");
        assert_eq!(result["problem"]["stored"], "no");
    }
    assert!(begun.elapsed() >= Duration::from_millis(300), "it was waited for room");
    assert_eq!(api.stored_orders().await.len(), stored.len());
}

#[tokio::test]
async fn so_many_requests_are_under_way_and_no_more() {
    let api = Api::with(RedisServer::start().await, &[("producer.ndjson_requests_max", "1")]);
    let mut import = Import::open(&api).await;
    import.send(lines("o", 1)).await;
    ids(&[import.result().await.unwrap()], 1);
    let answer = api.post_text("application/x-ndjson", lines("other", 1)).await;
    answer.is_problem(503, "/problems/overloaded");
    assert_eq!(answer.body["stored"], "no");
    assert_eq!(api.post(&event("plain")).await.status, 201, "others are not held up");
    import.end().await;
    assert_eq!(import.result().await, None);
}

#[tokio::test]
async fn a_full_queue_holds_an_import_back_and_refuses_nothing() {
    let settings = [
        ("producer.queue_capacity", "10"),
        ("producer.batch_max", "10"),
        ("producer.pipelines_in_flight", "1"),
    ];
    let api = Api::with(RedisServer::start().await, &settings);
    let imports = (0..4).map(|n| {
        let api = &api;
        async move {
            let mut import = Import::open(api).await;
            import.send(lines(&format!("i{n}"), 300)).await;
            import.end().await;
            ids(&import.results().await, 1).len()
        }
    });
    let stored: usize = futures_util::future::join_all(imports).await.into_iter().sum();
    assert_eq!((stored, api.stored_orders().await.len()), (1_200, 1_200));
}

#[tokio::test]
async fn sigterm_ends_an_import_after_what_was_read() {
    let mut api = Api::start().await;
    let mut import = Import::open(&api).await;
    import.send(lines("o", 2)).await;
    for line in 1..=2 {
        ids(&[import.result().await.unwrap()], line);
    }
    api.process.terminate();
    let results = import.results().await;
    assert_eq!(results.len(), 1, "{results:?}");
    is_problem(&results[0], 3, 503, "/problems/shutting-down");
    assert_eq!(results[0]["problem"]["last"], true);
    assert_eq!(api.process.exited().await.code(), Some(0));
    assert_eq!(api.stored_orders().await, orders("o", 2));
}
