//! Redis gone, paused, cut off or silent: producers are told in time, nothing answered 201 is lost, and everything
//! goes on by itself.

use std::time::{Duration, Instant};

use e2e::{Load, Outcome, Pipeline, Role, Service};
use serde_json::{Value, json};
use testkit::{Network, RedisServer, TcpProxy, eventually};

const SOON: Duration = Duration::from_secs(30);
const ALL: [Role; 4] = [Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper];

/// What a request may take beyond its deadline on a busy machine.
const SLACK: Duration = Duration::from_secs(2);

/// `claim_min_idle` (1 s here), two ticks of 300 ms with jitter, a reconnect's backoff, and a busy machine.
const CLAIMED_WITHIN: Duration = Duration::from_secs(8);

fn event(order_id: &str) -> String {
    json!({ "type": "order.paid", "order_id": order_id, "customer": "eve", "amount": "2.00" }).to_string()
}

/// Posts an event that has to be refused within the deadline; the problem.
async fn refused_within(pipeline: &Pipeline, deadline: Duration) -> Value {
    let asked = Instant::now();
    let (status, problem) = pipeline.post(event("refused")).await;
    assert_eq!(status, 503, "{problem}");
    assert!(asked.elapsed() < deadline + SLACK, "{:?}", asked.elapsed());
    assert!(["no", "unknown"].contains(&problem["stored"].as_str().unwrap_or_default()), "{problem}");
    problem
}

async fn accepted_again(pipeline: &Pipeline) {
    eventually(SOON, "producer-api stores events again", async || {
        let (status, problem) = pipeline.post(event("accepted")).await;
        if status == 201 { Ok(()) } else { Err(problem.to_string()) }
    })
    .await;
}

async fn not_ready(service: &Service) {
    let url = service.ops_url("/readyz");
    eventually(SOON, "readiness turns false", async || {
        let answer = reqwest::get(&url).await.map_err(|error| error.to_string())?;
        (answer.status() == 503).then_some(()).ok_or("still ready".to_owned())
    })
    .await;
}

/// Everything that is in the stream has been counted, once; what was counted twice, or never, stays so.
///
/// One more may be counted than the stream held at the look before, and that is no double count. Events that a writer of
/// producer-api has taken are appended even if their requests have been answered 503 (`stored: unknown`) meanwhile, as
/// soon as it is connected again: such an append may come between the two looks.
///
/// A count cannot outlive its entry. Redis appends to its append-only file in the order in which commands run, and writes
/// it out, with a sync under `always`, before it sends any reply of that turn of its event loop, also to a reader that
/// the append has woken (`beforeSleep`). So whoever was handed an entry was handed one that is on disk, and a restart keeps
/// a prefix of the file, a script's writes all or not at all. A commit that is in it has its append and the pending row
/// that it acked before it; one that is not has counted nothing, and the row is still there for the next attempt. (Killed
/// some hundred times under writers, blocked readers and such a commit, each of Redis 7.0, Redis 8.6 and Valkey 9.1 kept
/// every entry that was answered, delivered or counted, and counted each once.)
async fn analytics_agree(pipeline: &Pipeline) -> u64 {
    let mut connection = pipeline.connection().await;
    eventually(SOON, "analytics have counted every entry once", async || {
        let length: u64 = redis::cmd("XLEN")
            .arg(&pipeline.stream)
            .query_async(&mut connection)
            .await
            .expect("XLEN answers");
        let summary = pipeline.analytics("/v1/analytics/summary").await;
        if summary["events"] == length { Ok(length) } else { Err(format!("{length} entries: {summary}")) }
    })
    .await
}

#[tokio::test]
async fn redis_killed_under_load_loses_no_event_that_was_answered_201() {
    let redis = RedisServer::builder().append_only(true).start().await;
    let mut pipeline = Pipeline::on(redis);
    let mut services = pipeline.start_all(ALL).await;
    let load = Load::start(&[pipeline.url(Role::Producer, "/v1/events")], 7, 200);
    for crash in 1..=3 {
        let before = load.stored();
        eventually(SOON, "events are stored", async || (load.stored() > before + 100).then_some(())).await;
        pipeline.redis.kill();
        if crash == 1 {
            for service in &services {
                not_ready(service).await;
            }
        }
        pipeline.redis.restart().await;
        for service in &mut services {
            service.ready().await;
        }
    }
    let journal = load.stop().await;
    assert!(journal.strange.is_empty(), "{:?}", journal.strange);
    pipeline.settled().await;

    let mut connection = pipeline.connection().await;
    let mut stored = 0;
    for event in &journal.posted {
        let Outcome::Stored(id) = &event.outcome else { continue };
        let found: Vec<(String, Vec<(String, String)>)> = redis::cmd("XRANGE")
            .arg(&pipeline.stream)
            .arg(id)
            .arg(id)
            .query_async(&mut connection)
            .await
            .unwrap();
        let order = found.first().map(|(_, fields)| fields[1].1.as_str());
        assert_eq!(order, Some(event.order_id.as_str()), "{id} was answered 201");
        stored += 1;
    }
    assert!(analytics_agree(&pipeline).await >= stored);
}

/// The pause is as long as the design's table says, so that every timeout there is has passed.
#[tokio::test]
async fn redis_paused_for_thirty_seconds_is_told_to_producers_in_time_and_survived() {
    let mut pipeline = Pipeline::new().await;
    let mut services = pipeline.start_all(ALL).await;
    assert_eq!(pipeline.post(event("before")).await.0, 201);
    pipeline.settled().await;
    let paused = Instant::now();
    let pause = Duration::from_secs(30);
    let mut connection = pipeline.connection().await;
    let mut command = redis::cmd("CLIENT");
    command.arg("PAUSE").arg(pause.as_millis() as u64).arg("ALL");
    command.query_async::<()>(&mut connection).await.unwrap();
    let mut refusals = 0;
    // The last refusal, and readiness after it, still fall within the pause.
    while paused.elapsed() + Duration::from_secs(8) < pause {
        refused_within(&pipeline, Duration::from_secs(5)).await;
        refusals += 1;
    }
    assert!(refusals >= 3, "{refusals}");
    for service in &services {
        not_ready(service).await;
    }
    assert!(paused.elapsed() < pause, "the pause is not over yet");

    for service in &mut services {
        service.ready_within(pause + SOON).await;
    }
    assert_eq!(pipeline.post(event("after")).await.0, 201);
    let resumed = Instant::now();
    pipeline.settled().await;
    assert!(resumed.elapsed() < CLAIMED_WITHIN, "{:?}", resumed.elapsed());
    analytics_agree(&pipeline).await;
}

#[tokio::test]
async fn a_cut_connection_is_told_to_producers_in_time_and_survived() {
    let mut pipeline = Pipeline::new().await;
    let proxy = TcpProxy::to(pipeline.redis.port()).await;
    pipeline.reach_redis_through(&proxy);
    let mut services = pipeline.start_all(ALL).await;
    for network in [Network::Cut, Network::Reset] {
        let load = Load::start(&[pipeline.url(Role::Producer, "/v1/events")], 7, 200);
        eventually(SOON, "events are stored", async || (load.stored() > 50).then_some(())).await;
        proxy.set(network);
        let problem = refused_within(&pipeline, Duration::from_secs(5)).await;
        assert_eq!(problem["type"], "/problems/redis-unavailable");
        for service in &services {
            not_ready(service).await;
        }
        proxy.set(Network::Pass);
        accepted_again(&pipeline).await;
        assert!(load.stop().await.strange.is_empty());
        let resumed = Instant::now();
        pipeline.settled().await;
        assert!(resumed.elapsed() < CLAIMED_WITHIN, "{:?}", resumed.elapsed());
        for service in &mut services {
            service.ready().await;
        }
        analytics_agree(&pipeline).await;
    }
}

#[tokio::test]
async fn a_half_open_socket_is_told_to_producers_in_time_and_survived() {
    let mut pipeline = Pipeline::new().await;
    pipeline.set("ORDERFLOW__PRODUCER__REQUEST_DEADLINE", "1500ms");
    let proxy = TcpProxy::to(pipeline.redis.port()).await;
    pipeline.reach_redis_through(&proxy);
    let mut services = pipeline.start_all(ALL).await;
    assert_eq!(pipeline.post(event("before")).await.0, 201);
    pipeline.settled().await;
    proxy.set(Network::HalfOpen);
    let dark = Instant::now();
    // Delivered into the dark.
    let paid = [("type", "order.paid"), ("order_id", "o-1"), ("customer", "eve"), ("amount", "1.25")];
    pipeline.xadd(&paid).await;
    // Past every reply timeout there is: a blocking read has worker.block and 5 s.
    while dark.elapsed() < Duration::from_secs(7) {
        refused_within(&pipeline, Duration::from_millis(1_500)).await;
    }
    for service in &services {
        not_ready(service).await;
    }
    proxy.set(Network::Pass);
    accepted_again(&pipeline).await;
    let resumed = Instant::now();
    pipeline.settled().await;
    assert!(resumed.elapsed() < CLAIMED_WITHIN, "{:?}", resumed.elapsed());
    for service in &mut services {
        service.ready().await;
    }
    analytics_agree(&pipeline).await;
}

#[tokio::test]
async fn what_was_delivered_into_a_half_open_socket_is_claimed_by_a_peer() {
    let mut pipeline = Pipeline::new().await;
    // Both workers are practically always blocked in a read, so that each is handed its share.
    pipeline.set("ORDERFLOW__WORKER__BLOCK", "60s");
    pipeline.set("ORDERFLOW__WORKER__DRAIN_TIMEOUT", "61s");
    pipeline.set("ORDERFLOW__SHUTDOWN__GRACE", "62s");
    let mut peer = pipeline.start_named(Role::Notifications, &["peer"]);
    let proxy = TcpProxy::to(pipeline.redis.port()).await;
    pipeline.reach_redis_through(&proxy);
    let mut dark = pipeline.start_named(Role::Notifications, &["dark"]);
    peer.ready().await;
    dark.ready().await;
    let mut connection = pipeline.connection().await;
    eventually(SOON, "both are blocked in a read", async || {
        let info: String = redis::cmd("INFO").arg("clients").query_async(&mut connection).await.unwrap();
        info.lines().any(|line| line == "blocked_clients:2").then_some(()).ok_or(info)
    })
    .await;

    proxy.set(Network::HalfOpen);
    let paid = [("type", "order.paid"), ("order_id", "o-1"), ("customer", "eve"), ("amount", "1.25")];
    for _ in 0..4 {
        pipeline.xadd(&paid).await;
    }
    let delivered = Instant::now();
    pipeline.settled_by(&["notifications"]).await;
    assert!(delivered.elapsed() < CLAIMED_WITHIN, "{:?}", delivered.elapsed());
    let claims = peer.metric("worker_claims_total{group=\"notifications\"}").await;
    assert!(claims >= 1.0, "one of the four was delivered into the dark");

    // And whoever was in the dark goes on.
    proxy.set(Network::Pass);
    dark.ready().await;
    pipeline.xadd(&paid).await;
    pipeline.settled_by(&["notifications"]).await;
}
