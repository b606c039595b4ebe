//! The live tail: filters, Redis gone and back, and a subscriber that is too slow.

use serde_json::json;
use testkit::eventually;

use crate::bench::{Bench, SOON};

#[tokio::test]
async fn everybody_hears_what_is_added_from_then_on_and_fits() {
    let bench = Bench::start(&[]).await;
    bench.append("o-before", "").await;
    let mut all = bench.client.events("/api/tail").await;
    let mut of_order = bench.client.events("/api/tail?order_id=o-2&type=order.paid").await;
    let mut containing = bench.client.events("/api/tail?contains=%3Cscript&customer=").await;
    let first = bench.append("o-1", "").await;
    let second = bench.append("o-2", "").await;
    let third = bench.stream.append([("note", "a <script>alert(1)</script>"), ("note", "b")]).await.unwrap();
    for id in [first, second, third] {
        let (name, entry) = all.next().await.unwrap();
        assert_eq!(
            (name.as_str(), &entry["id"]),
            ("entry", &json!(id.to_string())),
            "nothing of before, nothing missed"
        );
    }
    assert_eq!(of_order.next().await.unwrap().1["id"], second.to_string());
    let (_, entry) = containing.next().await.unwrap();
    assert_eq!(
        entry,
        json!({ "id": third.to_string(), "fields": [["note", "a <script>alert(1)</script>"], ["note", "b"]] })
    );
    assert_eq!(bench.get("/api/tail?typ=x").await.problem(), (400, "/problems/invalid-query".to_owned()));
}

#[tokio::test]
async fn it_says_when_redis_is_away_and_goes_on_by_itself() {
    let mut bench = Bench::start(&[]).await;
    let mut tail = bench.client.events("/api/tail").await;
    bench.server.kill();
    let away = tail.find("away", |_| true).await;
    assert!(away["reason"].is_string());
    // Whoever begins to listen now is told at once.
    let mut late = bench.client.events("/api/tail").await;
    assert_eq!(late.next().await.unwrap().0, "away");
    bench.server.restart().await;
    tail.find("back", |_| true).await;
    let id = bench.append("o-1", "").await;
    for tail in [&mut tail, &mut late] {
        let entry = tail.find("entry", |_| true).await;
        assert_eq!(entry["id"], id.to_string());
    }
}

#[tokio::test]
async fn a_subscriber_that_is_too_slow_is_told_what_it_missed_and_holds_nobody_up() {
    let bench = Bench::start(&[("CONSOLE__SUBSCRIBER_BUFFER", "10")]).await;
    let mut slow = bench.client.events("/api/tail").await;
    let mut quick = bench.client.events("/api/tail?order_id=last").await;
    // Far more than the sockets between the two hold while one of them does not read.
    let note = "x".repeat(16 * 1024);
    for _ in 0..1_500 {
        bench.stream.append([("order_id", "o"), ("note", &note)]).await.unwrap();
    }
    bench.append("last", "").await;
    quick.find("entry", |_| true).await;
    let skipped = slow.find("skipped", |_| true).await;
    let count = skipped["count"].as_u64().unwrap();
    assert!(count > 0 && count <= 1_500, "{count}");
    let metrics = async || {
        let ops = &bench.console.ops;
        let text = reqwest::get(format!("http://{ops}/metrics")).await.unwrap().text().await.unwrap();
        let line =
            text.lines().find(|line| line.starts_with("console_tail_skipped_total")).unwrap().to_owned();
        (!line.ends_with(" 0")).then_some(())
    };
    eventually(SOON, "it was counted", metrics).await;
    drop((slow, quick));
    let gone = async || {
        let ops = &bench.console.ops;
        let text = reqwest::get(format!("http://{ops}/metrics")).await.unwrap().text().await.unwrap();
        text.contains("console_subscribers{feed=\"tail\"} 0").then_some(())
    };
    eventually(SOON, "nobody listens any more", gone).await;
}
