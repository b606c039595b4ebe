//! Appends that are to be on a replica or on disk before they count as done.

use std::time::Duration;

use stream_core::{
    CannotConfirm, Dedup, DedupMark, DedupMemory, Durability, DurableAppender, DurableBatch, DurableError,
    ErrorKind, NewEntry, Novelty, RangeQuery,
};
use testkit::{RedisOptions, RedisServer};

use crate::support::Bench;

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(10);

fn appender(bench: &Bench, durability: Durability) -> DurableAppender {
    DurableAppender::new(bench.stream.clone(), bench.connector.clone(), durability)
}

async fn append(appender: &mut DurableAppender, wait: Duration) -> Result<DurableBatch, DurableError> {
    let plain = NewEntry { fields: [("n", "1")], dedup: None };
    appender.append_batch([plain.clone(), plain], wait).await
}

async fn length(bench: &Bench) -> usize {
    bench.stream.range(RangeQuery::default(), 100).await.expect("a page").entries.len()
}

fn cannot(result: Result<DurableBatch, DurableError>) -> CannotConfirm {
    match result {
        Err(DurableError::CannotConfirm(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_replica_confirms_unless_it_stands_still() {
    let bench = Bench::start().await;
    let replica = bench.server.start_replica().await;
    let mut appender = appender(&bench, Durability::Replicas(1));
    let done = append(&mut appender, LONG).await.unwrap();
    assert!(done.confirmed && done.batch.results.iter().all(Result::is_ok));
    assert_eq!(done.batch.length, Some(2));

    replica.pause();
    let done = append(&mut appender, SHORT).await.unwrap();
    assert!(!done.confirmed);
    let ids: Vec<_> = done.batch.results.into_iter().map(|result| result.unwrap().id).collect();
    assert!(bench.stream.get(ids[1]).await.unwrap().is_some(), "stored all the same");
    // Nobody else is held up.
    bench.stream.append([("n", "2")]).await.unwrap();
    replica.resume();
    assert!(append(&mut appender, LONG).await.unwrap().confirmed);
}

#[tokio::test]
async fn a_repeated_append_is_confirmed_only_if_a_replica_has_it() {
    let bench = Bench::start().await;
    let replica = bench.server.start_replica().await;
    let memory = DedupMemory::new(bench.stream.key(), "test", Duration::from_hours(1), 100);
    let entry = || {
        let entry = DedupMark { key: [1; 32], fingerprint: [1; 16] };
        [NewEntry { fields: [("n", "1")], dedup: Some(Dedup { memory: &memory, entry, request: None }) }]
    };
    replica.pause();
    let first = bench.stream.append_batch_counted(entry()).await.results.remove(0).unwrap();
    // Over a connection that has written nothing: WAIT alone would have nothing to wait for.
    let mut appender = appender(&bench, Durability::Replicas(1));
    let again = appender.append_batch(entry(), SHORT).await.unwrap();
    let repeated = *again.batch.results[0].as_ref().unwrap();
    assert_eq!((repeated.id, repeated.novelty, again.confirmed), (first.id, Novelty::Repeated, false));
    replica.resume();
    assert!(appender.append_batch(entry(), LONG).await.unwrap().confirmed);
    assert_eq!(length(&bench).await, 1);
}

#[tokio::test]
async fn without_replicas_nothing_is_written() {
    let bench = Bench::start().await;
    let why = cannot(append(&mut appender(&bench, Durability::Replicas(1)), LONG).await);
    assert_eq!(why, CannotConfirm::TooFewReplicas { connected: 0, needed: 1 });
    let _replica = bench.server.start_replica().await;
    let why = cannot(append(&mut appender(&bench, Durability::Replicas(2)), LONG).await);
    assert_eq!(why, CannotConfirm::TooFewReplicas { connected: 1, needed: 2 });
    assert_eq!(length(&bench).await, 0);
}

#[tokio::test]
async fn a_user_who_may_not_wait_is_told_before_anything_is_written() {
    let bench = Bench::start().await;
    bench.cmd::<()>("ACL SETUSER default -wait").await;
    let why = cannot(append(&mut appender(&bench, Durability::Replicas(1)), LONG).await);
    assert_eq!(why, CannotConfirm::Denied("WAIT"));
    assert_eq!(length(&bench).await, 0);
}

#[tokio::test]
async fn a_connection_that_breaks_while_waiting_confirms_nothing() {
    let bench = Bench::start().await;
    let replica = bench.server.start_replica().await;
    let mut appender = appender(&bench, Durability::Replicas(1));
    assert!(append(&mut appender, LONG).await.unwrap().confirmed);
    replica.pause();
    let waits = async {
        testkit::eventually(crate::support::SOON, "the server waits", async || {
            let info: String = bench.cmd("INFO clients").await;
            if info.contains("blocked_clients:1") { Ok(()) } else { Err(info) }
        })
        .await;
        // All but this one.
        bench.cmd::<u64>("CLIENT KILL TYPE normal SKIPME yes").await;
    };
    let (broken, ()) = tokio::join!(append(&mut appender, LONG), waits);
    let broken = broken.unwrap();
    assert!(!broken.confirmed);
    for result in broken.batch.results {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.may_have_been_applied()), (ErrorKind::Connection, true));
    }
    replica.resume();
    assert!(append(&mut appender, LONG).await.unwrap().confirmed, "over a new connection");
}

/// A server that knows WAITAOF, with these arguments.
#[expect(clippy::print_stderr, reason = "who runs the tests is told what was not tried")]
async fn newer(args: &[(&str, &str)]) -> Option<Bench> {
    let Some(program) = RedisOptions::newer_program() else {
        eprintln!("SKIPPED: no redis-server-8 in PATH and no REDIS_SERVER_8_BIN");
        return None;
    };
    let options = RedisServer::builder().program(program);
    let options = args.iter().fold(options, |options, (name, value)| options.arg(name, [*value]));
    Some(Bench::on(options.start().await).await)
}

#[tokio::test]
async fn a_synced_file_confirms() {
    for fsync in ["always", "everysec"] {
        let Some(bench) = newer(&[("--appendonly", "yes"), ("--appendfsync", fsync)]).await else { return };
        let mut appender = appender(&bench, Durability::Fsync);
        for _ in 0..2 {
            let done = append(&mut appender, LONG).await.unwrap();
            assert!(done.confirmed && done.batch.results.iter().all(Result::is_ok), "{fsync}");
        }
        assert_eq!(length(&bench).await, 4);
    }
}

#[tokio::test]
async fn without_an_append_only_file_nothing_is_written() {
    let Some(bench) = newer(&[("--appendonly", "no")]).await else { return };
    let why = cannot(append(&mut appender(&bench, Durability::Fsync), LONG).await);
    assert_eq!(why, CannotConfirm::NoAppendOnlyFile);
    assert_eq!(length(&bench).await, 0);
}

#[tokio::test]
async fn a_server_that_does_not_know_waitaof_is_told_apart() {
    let bench = Bench::start().await;
    let known: Vec<redis::Value> = bench.cmd("COMMAND INFO waitaof").await;
    if !matches!(known[0], redis::Value::Nil) {
        eprintln!("SKIPPED: this server knows WAITAOF");
        return;
    }
    let why = cannot(append(&mut appender(&bench, Durability::Fsync), LONG).await);
    assert_eq!(why, CannotConfirm::UnknownCommand("WAITAOF"));
    assert_eq!(length(&bench).await, 0);
}
