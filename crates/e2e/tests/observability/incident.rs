//! An incident in four acts, watched by a real Prometheus: exactly the alerts that should fire do, and then clear.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use e2e::{Alert, Pipeline, Prometheus, Role, Service, fast_rules};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use testkit::eventually;
use tokio::{sync::Notify, task::JoinHandle};

/// How long an alert may take to fire, or to clear.
const SOON: Duration = Duration::from_secs(45);
/// Events in each request of the load, one every half second.
const BATCH: usize = 100;
/// How often Prometheus scrapes and evaluates.
const INTERVAL: Duration = Duration::from_millis(500);
/// A worker may be frozen just between two reads.
const FREEZES_MAX: usize = 5;

fn alerts(of: &[(&str, &str)]) -> BTreeSet<Alert> {
    of.iter().map(|(name, about)| ((*name).to_owned(), (*about).to_owned())).collect()
}

/// What may follow from any act, later or on a busy machine: entries that waited are acked late.
fn aftermath() -> BTreeSet<Alert> {
    let of = |name| ["notifications", "analytics"].map(|group| (name, group));
    alerts(&[of("OrderflowEndToEndBurnFast"), of("OrderflowEndToEndBurnSlow")].concat())
}

/// Posts on and on until it is told to stop.
fn load(url: String, stop: Arc<Notify>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let event = |n: usize| json!({ "type": "order.paid", "order_id": format!("o-{n}"), "customer": "eve", "amount": "1.00" });
        let body = json!((0..BATCH).map(event).collect::<Vec<_>>()).to_string();
        let client = reqwest::Client::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                () = stop.notified() => return,
                _ = ticks.tick() => {
                    let request = client.post(&url).header("content-type", "application/json").body(body.clone());
                    // In a task of its own: while Redis is paused each request waits for its deadline.
                    tokio::spawn(request.send());
                }
            }
        }
    })
}

/// Waits until all of `expected` fire at once.
async fn fire(prometheus: &Prometheus, expected: &BTreeSet<Alert>) {
    eventually(SOON, "the expected alerts fire", async || {
        let firing = prometheus.firing().await;
        if expected.is_subset(&firing) {
            Ok(())
        } else {
            Err(format!("expected {expected:?}; firing {firing:?}"))
        }
    })
    .await;
}

/// Waits until nothing fires, and checks what has fired since the act began.
async fn clear(prometheus: &Prometheus, since: Instant, expected: &BTreeSet<Alert>) {
    eventually(SOON, "every alert has cleared", async || {
        let firing = prometheus.firing().await;
        if firing.is_empty() { Ok(()) } else { Err(format!("{firing:?}")) }
    })
    .await;
    let seen = prometheus.fired(since).await;
    let stray: Vec<_> = seen.difference(expected).filter(|alert| !aftermath().contains(alert)).collect();
    assert!(stray.is_empty(), "beside {expected:?} there fired {stray:?}");
    assert!(expected.is_subset(&seen), "{seen:?}");
}

/// Stops a worker in its tracks, with entries in hand.
async fn freeze_with_entries(pipeline: &Pipeline, worker: &Service) {
    for _ in 0..FREEZES_MAX {
        worker.freeze().await;
        // The server answers the read that waits with what is appended next, if there was one.
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(2) {
            if !pipeline.pending("notifications").await.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        worker.signal(Signal::SIGCONT);
    }
    panic!("the worker was never frozen with entries in hand");
}

/// What is scraped.
fn with<'a>(others: [&'a Service; 4], worker: &'a Service) -> Vec<&'a Service> {
    [&others[..], &[worker]].concat()
}

#[tokio::test]
async fn an_incident_makes_exactly_the_expected_alerts_fire_and_clear() {
    let mut pipeline = Pipeline::new().await;
    let roles = [Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper, Role::Console];
    let [producer, mut notifications, analytics, reaper, console] = pipeline.start_all(roles).await;
    eventually(SOON, "a reaper is active", async || {
        if reaper.metric("reaper_leader").await > 0.5 { Ok(()) } else { Err(reaper.log()) }
    })
    .await;
    let stop = Arc::new(Notify::new());
    let load = load(pipeline.url(Role::Producer, "/v1/events"), stop.clone());
    let others = [&producer, &analytics, &reaper, &console];
    let prometheus = Prometheus::start(&with(others, &notifications), INTERVAL, &fast_rules()).await;
    // Until it had found its targets, every service was down.
    eventually(SOON, "nothing fires", async || {
        let firing = prometheus.firing().await;
        if firing.is_empty() { Ok(()) } else { Err(format!("{firing:?}")) }
    })
    .await;
    eventually(SOON, "the longest window has data", async || {
        let settled = prometheus.value("group:worker_end_to_end:slow_ratio_rate5m{group='analytics'}").await;
        settled.map(|_| ()).ok_or_else(|| "no ratio yet".to_owned())
    })
    .await;
    // All is well for as long as any alert with a short window needs.
    let calm = Instant::now();
    eventually(SOON, "ten seconds have passed in peace", async || {
        let firing = prometheus.firing().await;
        assert!(firing.is_empty(), "{firing:?}");
        if calm.elapsed() >= Duration::from_secs(10) { Ok(()) } else { Err("still waiting".to_owned()) }
    })
    .await;
    assert_eq!(prometheus.fired(calm).await, BTreeSet::new());

    // The workers of a group are stopped.
    let since = Instant::now();
    notifications.signal(Signal::SIGTERM);
    assert!(notifications.exit().await.success());
    let stopped = alerts(&[
        ("OrderflowServiceDown", "notifications-worker"),
        ("OrderflowLagOld", "notifications"),
        ("OrderflowLagGrowing", "notifications"),
    ]);
    fire(&prometheus, &stopped).await;
    notifications = pipeline.start(Role::Notifications);
    notifications.ready().await;
    prometheus.aim(&with(others, &notifications));
    clear(&prometheus, since, &stopped).await;

    // A worker hangs with entries in hand, and there is no other that could claim them.
    let since = Instant::now();
    freeze_with_entries(&pipeline, &notifications).await;
    let mut stuck = stopped;
    stuck.extend(alerts(&[
        ("OrderflowPendingOld", "notifications"),
        ("OrderflowConsumerStuck", "notifications"),
    ]));
    fire(&prometheus, &stuck).await;
    notifications.signal(Signal::SIGCONT);
    clear(&prometheus, since, &stuck).await;

    // Somebody appends what nobody can understand, a small share of the traffic.
    let since = Instant::now();
    for _ in 0..10 {
        pipeline.xadd(&[("type", "order.paid"), ("amount", "many")]).await;
    }
    let poisoned = alerts(&[
        ("OrderflowDeadLettersArriving", "notifications"),
        ("OrderflowDeadLettersArriving", "analytics"),
    ]);
    fire(&prometheus, &poisoned).await;
    clear(&prometheus, since, &poisoned).await;

    // Redis hangs.
    let since = Instant::now();
    let redis = Pid::from_raw(pipeline.redis.pid().cast_signed());
    kill(redis, Signal::SIGSTOP).expect("the server can be stopped");
    let away = ["producer-api", "notifications-worker", "analytics-worker", "reaper", "console"];
    let mut hanging = alerts(&away.map(|job| ("OrderflowRedisUnreachable", job)));
    hanging.extend(alerts(&[("OrderflowProducerErrors", "producer-api")]));
    fire(&prometheus, &hanging).await;
    kill(redis, Signal::SIGCONT).expect("the server can go on");
    clear(&prometheus, since, &hanging).await;
    stop.notify_one();
    load.await.expect("the load does not panic");
}
