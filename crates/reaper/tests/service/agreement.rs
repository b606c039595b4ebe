//! Lag and pending as the reaper shows them, against a count of the test's own: within what was done meanwhile under
//! load, and exact once it is quiet, also after a crash of the server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use redis::aio::MultiplexedConnection;
use testkit::{RedisServer, eventually};
use tokio::task::JoinSet;

use crate::support::{Bench, GROUP, Reaper, SOON, STREAM};

/// How far the group may fall behind: a lag that is always small would not be tested at all.
const LAG_MAX: i64 = 3_000;
const READINGS: usize = 25;

/// A number that commands under way may or may not have changed yet.
#[derive(Debug, Default)]
struct Count {
    at_least: AtomicI64,
    at_most: AtomicI64,
}

impl Count {
    /// A command that may add so many goes out.
    fn begin(&self, count: usize) {
        self.at_most.fetch_add(count as i64, Ordering::SeqCst);
    }

    /// It has added so many of those.
    fn end(&self, of: usize, count: usize) {
        self.at_least.fetch_add(count as i64, Ordering::SeqCst);
        self.at_most.fetch_sub((of - count) as i64, Ordering::SeqCst);
    }
}

#[derive(Debug, Default)]
struct Counts {
    appended: Count,
    delivered: Count,
    acked: Count,
    stop: AtomicBool,
}

/// What the counts were, at least and at most.
#[derive(Debug, Clone, Copy)]
struct Sample {
    appended: (i64, i64),
    delivered: (i64, i64),
    acked: (i64, i64),
}

impl Counts {
    fn sample(&self) -> Sample {
        let of =
            |count: &Count| (count.at_least.load(Ordering::SeqCst), count.at_most.load(Ordering::SeqCst));
        Sample { appended: of(&self.appended), delivered: of(&self.delivered), acked: of(&self.acked) }
    }

    fn lag(&self) -> i64 {
        let now = self.sample();
        now.appended.1 - now.delivered.0
    }
}

/// Between two samples one number of a reading was `more − less`, each at some moment of its own: what it can be.
fn bounds(more: [(i64, i64); 2], less: [(i64, i64); 2]) -> (i64, i64) {
    (more[0].0 - less[1].1, more[1].1 - less[0].0)
}

async fn append(mut connection: MultiplexedConnection, counts: Arc<Counts>) {
    while !counts.stop.load(Ordering::SeqCst) {
        if counts.lag() > LAG_MAX {
            tokio::task::yield_now().await;
            continue;
        }
        let count = fastrand::usize(1..80);
        let mut pipeline = redis::pipe();
        for _ in 0..count {
            pipeline.cmd("XADD").arg(STREAM).arg("*").arg("n").arg("1");
        }
        counts.appended.begin(count);
        pipeline.query_async::<Vec<String>>(&mut connection).await.expect("XADD succeeds");
        counts.appended.end(count, count);
    }
}

type Read = Option<Vec<(String, Vec<(String, Vec<String>)>)>>;

/// Reads, acks most of it at once and the rest with the next, and deletes some of what it has acked. At the end some of
/// it is pending.
async fn consume(mut connection: MultiplexedConnection, name: &'static str, counts: Arc<Counts>) {
    let mut held: Vec<String> = Vec::new();
    while !counts.stop.load(Ordering::SeqCst) {
        let count = fastrand::usize(1..60);
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(GROUP).arg(name).arg("COUNT").arg(count).arg("STREAMS").arg(STREAM).arg(">");
        counts.delivered.begin(count);
        let reply: Read = read.query_async(&mut connection).await.expect("XREADGROUP succeeds");
        let ids: Vec<String> =
            reply.into_iter().flatten().flat_map(|(_, entries)| entries).map(|(id, _)| id).collect();
        counts.delivered.end(count, ids.len());
        let mut acked = std::mem::take(&mut held);
        for id in ids {
            if fastrand::u8(0..100) < 80 { acked.push(id) } else { held.push(id) }
        }
        if acked.is_empty() {
            continue;
        }
        counts.acked.begin(acked.len());
        let mut ack = redis::cmd("XACK");
        ack.arg(STREAM).arg(GROUP).arg(&acked);
        let done: usize = ack.query_async(&mut connection).await.expect("XACK succeeds");
        assert_eq!(done, acked.len());
        counts.acked.end(done, done);
        // A hole in the stream behind the group.
        let mut delete = redis::cmd("XDEL");
        delete.arg(STREAM).arg(&acked[fastrand::usize(..acked.len())]);
        delete.query_async::<i64>(&mut connection).await.expect("XDEL succeeds");
    }
}

/// Lag, if it is known, and pending, of one scrape.
async fn reading(reaper: &Reaper) -> Result<(Option<i64>, i64), String> {
    let (_, text) = reaper.page("/metrics").await?;
    let series = |name: &str| {
        let series = format!("{name}{{group=\"{GROUP}\",stream=\"{STREAM}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        value.map(|value| value.parse::<f64>().expect("a metric is a number") as i64)
    };
    let pending = series("stream_group_messages_pending").ok_or("no reading")?;
    let (lag, known) = (series("stream_group_lag"), series("stream_group_lag_known"));
    assert_eq!(known, Some(i64::from(lag.is_some())), "unknown is not 0");
    Ok((lag, pending))
}

/// Waits until a round has begun and ended after now.
async fn a_whole_round(reaper: &Reaper) {
    let rounds = reaper.metric("reaper_sweep_duration_seconds_count").await.unwrap_or_default();
    reaper.shows("reaper_sweep_duration_seconds_count", |now| now >= Some(rounds + 2.0)).await;
}

async fn agrees_exactly(reaper: &Reaper, counts: &Counts) {
    let now = counts.sample();
    let (lag, pending) = (now.appended.0 - now.delivered.0, now.delivered.0 - now.acked.0);
    assert_eq!(
        (now.appended.0, now.delivered.0, now.acked.0),
        (now.appended.1, now.delivered.1, now.acked.1)
    );
    eventually(SOON, "the reaper shows exactly what there is", async || {
        let shown = reading(reaper).await?;
        if shown == (Some(lag), pending) {
            Ok(())
        } else {
            Err(format!("{shown:?}, expected {lag}, {pending}"))
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_shown_agrees_with_an_independent_count() {
    let mut bench = Bench::on(RedisServer::builder().append_only(true).start().await).await;
    bench.cmd::<()>(&format!("XGROUP CREATE {STREAM} {GROUP} 0 MKSTREAM")).await;
    // Trims what is acked as soon as it is, under load.
    let settings = [
        ("ORDERFLOW__RETENTION__AGE", "1ms"),
        ("ORDERFLOW__RETENTION__GROUPS", GROUP),
        ("ORDERFLOW__WORKER__CLAIM_MIN_IDLE", "1h"),
    ];
    let reaper = bench.reaper(&settings);
    reaper.is_active().await;
    let counts = Arc::<Counts>::default();
    let mut load = JoinSet::new();
    load.spawn(append(bench.server.connection().await, counts.clone()));
    for name in ["a", "b"] {
        load.spawn(consume(bench.server.connection().await, name, counts.clone()));
    }
    let (mut known, mut largest) = (0, 0);
    for _ in 0..READINGS {
        let before = counts.sample();
        a_whole_round(&reaper).await;
        let (lag, pending) = reading(&reaper).await.expect("a reading");
        let after = counts.sample();
        let within = bounds([before.delivered, after.delivered], [before.acked, after.acked]);
        assert!(within.0 <= pending && pending <= within.1, "{pending} pending is not within {within:?}");
        let Some(lag) = lag else { continue };
        let within = bounds([before.appended, after.appended], [before.delivered, after.delivered]);
        assert!(within.0 <= lag && lag <= within.1, "a lag of {lag} is not within {within:?}");
        (known, largest) = (known + 1, largest.max(lag));
    }
    counts.stop.store(true, Ordering::SeqCst);
    while let Some(ended) =
        tokio::time::timeout(Duration::from_secs(10), load.join_next()).await.expect("in time")
    {
        ended.expect("no part of the load panics");
    }
    assert!(known >= READINGS / 2 && largest > 0, "{known} lags were known, the largest {largest}");
    assert!(reaper.metric("stream_entries_trimmed_total").await > Some(0.0), "it was trimmed meanwhile");
    agrees_exactly(&reaper, &counts).await;

    bench.server.restart().await;
    bench.reconnect().await;
    reaper.shows("redis_up", |value| value == Some(1.0)).await;
    reaper.is_active().await;
    a_whole_round(&reaper).await;
    agrees_exactly(&reaper, &counts).await;
}
