//! The feed: one reader for all who listen, what is kept for those who are behind, and Redis going away.

use stream_core::{Feed, FeedBounds, Heard, Listener, News, StreamId};
use testkit::{RedisServer, eventually};
use tokio_util::sync::CancellationToken;

use crate::support::{Bench, SOON};

fn feed(bench: &Bench, entries: usize) -> Feed<()> {
    let bounds = FeedBounds { entries, bytes: 1024 * 1024 };
    let (connector, stream) = (bench.connector.clone(), bench.stream.clone());
    Feed::new(connector, stream, bounds, CancellationToken::new(), |_| ((), 1))
}

async fn next(listener: &mut Listener<()>) -> Heard<()> {
    tokio::time::timeout(SOON, listener.next()).await.expect("something in time").expect("no end")
}

async fn ids(listener: &mut Listener<()>, count: usize) -> Vec<StreamId> {
    let mut ids = Vec::new();
    while ids.len() < count {
        match next(listener).await {
            Heard::News(News::Entry(id, _)) => ids.push(id),
            other => panic!("{other:?} after {ids:?}"),
        }
    }
    ids
}

async fn readers(bench: &Bench) -> usize {
    let clients: String = bench.cmd("CLIENT LIST").await;
    clients.lines().filter(|client| client.contains(" cmd=xread ")).count()
}

#[tokio::test]
async fn everybody_hears_everything_from_one_reader_that_ends_with_the_last() {
    let bench = Bench::start().await;
    let before = bench.append(3).await;
    let feed = feed(&bench, 1_000);
    let mut listeners = Vec::new();
    for _ in 0..10 {
        listeners.push(feed.listen().await);
    }
    assert_eq!(listeners[0].newest(), Some(before[2]));
    let added = bench.append(250).await;
    for listener in &mut listeners {
        assert_eq!(ids(listener, 250).await, added);
    }
    assert_eq!(readers(&bench).await, 1);
    drop(listeners);
    eventually(SOON, "the reader has ended", async || (readers(&bench).await == 0).then_some(())).await;
    let mut again = feed.listen().await;
    let more = bench.append(1).await;
    assert_eq!(ids(&mut again, 1).await, more);
}

#[tokio::test]
async fn whoever_is_behind_learns_how_much_is_gone_and_may_go_on_where_all_is_left() {
    let bench = Bench::start().await;
    let feed = feed(&bench, 10);
    let (mut slow, mut quick) = (feed.listen().await, feed.listen().await);
    let mut added = Vec::new();
    for _ in 0..5 {
        added.extend(bench.append(5).await);
        assert_eq!(ids(&mut quick, 5).await, added[added.len() - 5..]);
    }
    assert!(matches!(next(&mut slow).await, Heard::Skipped(15)));
    assert_eq!(ids(&mut slow, 10).await, added[15..]);
    assert!(!quick.go_on_after(added[13]), "the entry after it is gone");
    assert!(quick.go_on_after(added[14]));
    assert_eq!(ids(&mut quick, 10).await, added[15..]);
}

#[tokio::test]
async fn it_goes_on_where_it_was_when_redis_comes_back() {
    let mut bench = Bench::on(RedisServer::builder().append_only(true).start().await).await;
    let feed = feed(&bench, 100);
    let mut listener = feed.listen().await;
    let added = bench.append(2).await;
    assert_eq!(ids(&mut listener, 2).await, added);
    bench.server.kill();
    assert!(matches!(next(&mut listener).await, Heard::News(News::Away(_))));
    let mut late = feed.listen().await;
    assert!(late.away().is_some());
    bench.server.restart().await;
    bench.reconnect().await;
    assert!(matches!(next(&mut listener).await, Heard::News(News::Back)));
    assert!(matches!(next(&mut late).await, Heard::News(News::Back)));
    eventually(SOON, "its own connection is back", async || bench.stream.info().await.ok()).await;
    let added = bench.append(3).await;
    assert_eq!(ids(&mut listener, 3).await, added);
    assert_eq!(ids(&mut late, 3).await, added);
}
