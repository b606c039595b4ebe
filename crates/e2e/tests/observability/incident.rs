//! An incident in three acts, watched by a real Prometheus: exactly the alerts that should fire do, and then clear.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use e2e::{Pipeline, Role, Service};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use testkit::eventually;
use tokio::{sync::Notify, task::JoinHandle};

use crate::prometheus::{Alert, Prometheus};

/// How long an alert may take to fire, or to clear.
const SOON: Duration = Duration::from_secs(45);
/// Events in each request of the load, one every half second.
const BATCH: usize = 100;

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

/// Waits until nothing fires, and checks what has fired since the last act.
async fn clear(prometheus: &Prometheus, expected: &BTreeSet<Alert>) {
    eventually(SOON, "every alert has cleared", async || {
        let firing = prometheus.firing().await;
        if firing.is_empty() { Ok(()) } else { Err(format!("{firing:?}")) }
    })
    .await;
    let seen = prometheus.take_seen();
    let stray: Vec<_> = seen.difference(expected).filter(|alert| !aftermath().contains(alert)).collect();
    assert!(stray.is_empty(), "beside {expected:?} there fired {stray:?}");
    assert!(expected.is_subset(&seen), "{seen:?}");
}

/// What is scraped.
fn with_worker<'a>(
    others: &[(&'static str, &'a Service)],
    worker: &'a Service,
) -> Vec<(&'static str, &'a Service)> {
    [others, &[("notifications-worker", worker)]].concat()
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
    let others = [
        ("producer-api", &producer),
        ("analytics-worker", &analytics),
        ("reaper", &reaper),
        ("console", &console),
    ];
    let prometheus = Prometheus::start(&with_worker(&others, &notifications)).await;
    eventually(SOON, "the longest window has data", async || {
        let settled =
            prometheus.query("group:worker_end_to_end:slow_ratio_rate5m{group='analytics'}").await?;
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
    assert_eq!(prometheus.take_seen(), BTreeSet::new());

    // The workers of a group are stopped.
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
    prometheus.aim(&with_worker(&others, &notifications));
    clear(&prometheus, &stopped).await;

    // Somebody appends what nobody can understand, a small share of the traffic.
    for _ in 0..10 {
        pipeline.xadd(&[("type", "order.paid"), ("amount", "many")]).await;
    }
    let poisoned = alerts(&[
        ("OrderflowDeadLettersArriving", "notifications"),
        ("OrderflowDeadLettersArriving", "analytics"),
    ]);
    fire(&prometheus, &poisoned).await;
    clear(&prometheus, &poisoned).await;

    // Redis hangs.
    let redis = Pid::from_raw(pipeline.redis.pid().cast_signed());
    kill(redis, Signal::SIGSTOP).expect("the server can be stopped");
    let away = ["producer-api", "notifications-worker", "analytics-worker", "reaper", "console"];
    let mut hanging = alerts(&away.map(|job| ("OrderflowRedisUnreachable", job)));
    hanging.extend(alerts(&[("OrderflowProducerErrors", "producer-api")]));
    fire(&prometheus, &hanging).await;
    kill(redis, Signal::SIGCONT).expect("the server can go on");
    clear(&prometheus, &hanging).await;
    stop.notify_one();
    load.await.expect("the load does not panic");
}
