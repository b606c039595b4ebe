//! Appending: what is stored, a result for each entry, length caps, refusals.

use stream_core::{ErrorKind, MaxLen, Precision, RangeQuery};

use crate::support::Bench;

#[tokio::test]
async fn an_entry_is_stored_byte_for_byte_in_order_with_duplicates() {
    let bench = Bench::start().await;
    let fields: [(&[u8], &[u8]); 5] =
        [(b"z", b"1"), (b"a", b"\0\xff\xfe"), (b"z", b"2"), (b"", b""), ("größe".as_bytes(), "✓".as_bytes())];
    let id = bench.stream.append(fields).await.unwrap();
    let entry = bench.stream.get(id).await.unwrap().unwrap();
    assert_eq!(entry.fields.iter().collect::<Vec<_>>(), fields);
}

#[tokio::test]
async fn a_batch_gives_ids_in_order() {
    let bench = Bench::start().await;
    let ids = bench.append(150).await;
    assert!(ids.is_sorted());
    let page = bench.stream.range(RangeQuery::default(), 1_000).await.unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids);
    assert_eq!(page.entries[149].fields.get("n"), Some(&b"149"[..]));
    assert!(bench.stream.append_batch(Vec::<Vec<(&str, &str)>>::new()).await.is_empty());
}

#[tokio::test]
async fn a_refused_entry_of_a_batch_does_not_hide_the_others() {
    let bench = Bench::start().await;
    let good = vec![("type", "order.placed")];
    let results = bench.stream.append_batch([good.clone(), Vec::new(), good]).await;
    assert!(results[0].is_ok() && results[2].is_ok());
    let refused = results[1].as_ref().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Server);
    assert!(!refused.may_have_been_applied());
    assert_eq!(bench.stream.info().await.unwrap().length, 2);
}

#[tokio::test]
async fn a_batch_without_a_server_fails_entry_by_entry() {
    let mut bench = Bench::start().await;
    bench.append(1).await;
    bench.server.kill();
    let results = bench.stream.append_batch([[("a", "1")], [("a", "2")]]).await;
    assert_eq!(results.len(), 2);
    assert!(results.iter().all(|result| result.as_ref().unwrap_err().kind() == ErrorKind::Connection));
    bench.server.restart().await;
    testkit::eventually(crate::support::SOON, "appends work again", async || {
        bench.stream.append([("a", "3")]).await
    })
    .await;
}

#[tokio::test]
async fn a_replica_refuses_each_entry_until_it_is_promoted() {
    let bench = Bench::start().await;
    bench.append(1).await;
    // Of a master that does not exist: it serves what it has, read-only.
    bench.cmd::<()>("REPLICAOF 127.0.0.1 1").await;
    let results = bench.stream.append_batch([[("a", "1")], [("a", "2")]]).await;
    let kinds: Vec<_> = results.iter().map(|result| result.as_ref().unwrap_err().kind()).collect();
    assert_eq!(kinds, [ErrorKind::ReadOnly; 2]);
    assert!(!results[0].as_ref().unwrap_err().may_have_been_applied());
    // Connections to a demoted master are given up: its address may lead to another server by now.
    let before: u64 = connections(&bench).await;
    bench.cmd::<()>("REPLICAOF NO ONE").await;
    bench.append(1).await;
    assert!(connections(&bench).await > before, "the batch went out over the old connection");
}

async fn connections(bench: &Bench) -> u64 {
    let info: String = bench.cmd("INFO stats").await;
    let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    line.and_then(|count| count.trim().parse().ok()).expect("the counter")
}

#[tokio::test]
async fn a_capped_stream_keeps_the_newest() {
    let bench = Bench::start().await;
    let exact = bench.stream.clone().with_max_len(MaxLen { entries: 10, precision: Precision::Exact });
    for n in 0..25 {
        exact.append([("n", n.to_string())]).await.unwrap();
    }
    let page = bench.stream.range(RangeQuery::default(), 100).await.unwrap();
    let kept: Vec<_> = page.entries.iter().map(|entry| entry.fields.get("n").unwrap().to_vec()).collect();
    assert_eq!(kept, (15..25).map(|n| n.to_string().into_bytes()).collect::<Vec<_>>());

    let about = bench.stream.clone().with_max_len(MaxLen { entries: 10, precision: Precision::Approximate });
    for result in about.append_batch((0..300).map(|n| [("n", n.to_string())])).await {
        result.unwrap();
    }
    // Whole nodes of 100 entries go.
    let length = bench.stream.info().await.unwrap().length;
    assert!((10..=210).contains(&length), "{length}");
}
