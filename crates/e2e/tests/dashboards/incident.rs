//! A pipeline's good and bad minutes: orders, poison, a hung worker, a Redis that does not answer, a new leader, a redrive,
//! retention at work, and a group whose lag nobody can count.

use std::time::Duration;

use e2e::{Load, Pipeline, Prometheus, Role, Service, binary, fast_rules};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use redis::pipe;
use serde_json::json;
use testkit::eventually;
use tokio::process::Command;

const SOON: Duration = Duration::from_mins(1);
/// How often Prometheus scrapes and evaluates.
const INTERVAL: Duration = Duration::from_secs(1);
/// More entries than the reaper counts, before a group's position and as many after it.
const UNCOUNTABLE: usize = 10_100;

/// What is left when it is over: the services still run.
pub(crate) struct Incident {
    pub(crate) prometheus: Prometheus,
    pub(crate) pipeline: Pipeline,
    /// The reaper that took the role over.
    pub(crate) successor: String,
    _services: Vec<Service>,
    _load: Load,
}

/// Lets it all happen, and waits until Prometheus has seen it.
pub(crate) async fn incident() -> Incident {
    let mut pipeline = Pipeline::new().await;
    pipeline.set("ORDERFLOW__RETENTION__AGE", "3s");
    let roles = [Role::Producer, Role::Analytics, Role::Console, Role::Reaper, Role::Reaper];
    let [producer, analytics, console, one, other] = pipeline.start_all(roles).await;
    let mut twins =
        ["notifier-a", "notifier-b"].map(|name| pipeline.start_named(Role::Notifications, &[name]));
    for twin in &mut twins {
        twin.ready().await;
    }
    let [hung, peer] = &twins;
    let services = [&producer, &analytics, &console, &one, &other, hung, peer];
    let prometheus = Prometheus::start(&services, INTERVAL, &fast_rules()).await;
    let load = Load::start(&[pipeline.url(Role::Producer, "/v1/events")], 1, 60);
    shows(&prometheus, "sum(stream_entries_trimmed_total) > 0").await;

    // In health nothing is counted as a failure.
    let failed = "sum by (job, kind) (increase(redis_errors_total[5s])) > 0";
    shows(&prometheus, &format!("absent({failed})")).await;

    poison(&pipeline).await;
    shows(&prometheus, "sum(stream_dead_letters) >= 6").await;
    redrive(&pipeline).await;
    shows(&prometheus, "sum(worker_deliveries_total{outcome=\"dead_lettered\"}) >= 9").await;

    // A worker hangs with what it holds, its peer claims that, and when it goes on it has lost its name.
    hung.freeze().await;
    shows(&prometheus, "sum(worker_claims_total) > 0").await;
    hung.signal(Signal::SIGCONT);

    // Redis hangs: everybody notices, and goes on by themselves.
    let server = Pid::from_raw(pipeline.redis.pid().cast_signed());
    kill(server, Signal::SIGSTOP).expect("its own child can be signalled");
    shows(&prometheus, "min(redis_up) == 0").await;
    kill(server, Signal::SIGCONT).expect("its own child can be signalled");
    shows(&prometheus, "min(redis_up) == 1 and sum(reaper_leader) == 1").await;

    let leads = one.metric("reaper_leader").await > 0.5;
    let (leader, heir) = if leads { (&one, &other) } else { (&other, &one) };
    let successor = heir.ops_url("").trim_start_matches("http://").to_owned();
    leader.signal(Signal::SIGTERM);
    shows(&prometheus, &format!("reaper_leader{{instance=\"{successor}\"}} == 1")).await;

    uncountable(&pipeline).await;
    shows(&prometheus, "stream_group_lag_known{group=\"third\"} == 0").await;
    shows(&prometheus, "ALERTS{alertname=\"OrderflowLagUnknown\", alertstate=\"firing\", group=\"third\"}")
        .await;
    shows(&prometheus, "stream_seconds_until_trim{group=\"third\"} > 0").await;
    shows(&prometheus, "sum(rate(worker_deliveries_total{outcome=\"acked\"}[4s])) > 0").await;
    // Somebody looks at the console, so that the console looks at Redis.
    shows_while(&prometheus, "sum(rate(console_looks_total{redis=\"answers\"}[4s])) > 0", async || {
        let looked = reqwest::get(pipeline.url(Role::Console, "/api/state")).await;
        looked.expect("the console answers");
    })
    .await;
    let mut services = vec![producer, analytics, console, one, other];
    services.extend(twins);
    Incident { prometheus, pipeline, successor, _services: services, _load: load }
}

async fn shows(prometheus: &Prometheus, expression: &str) {
    shows_while(prometheus, expression, async || {}).await;
}

async fn shows_while(prometheus: &Prometheus, expression: &str, act: impl AsyncFn()) {
    eventually(SOON, &format!("Prometheus has seen {expression}"), async || {
        act().await;
        if prometheus.query(expression).await.is_empty() { Err(prometheus.log()) } else { Ok(()) }
    })
    .await;
}

/// Entries that neither group understands, and a request that is refused.
async fn poison(pipeline: &Pipeline) {
    for n in 0..3 {
        let order = format!("bad-{n}");
        pipeline
            .xadd(&[("type", "order.paid"), ("order_id", &order), ("customer", "eve"), ("amount", "1e3")])
            .await;
    }
    let (status, answer) = pipeline.post(json!({ "type": "order.paid" }).to_string()).await;
    assert_eq!(status, 422, "{answer}");
}

/// Sends one group's dead letters back; they are as dead as before.
async fn redrive(pipeline: &Pipeline) {
    let mut command = Command::new(binary("orderflow"));
    command.env_remove("REDIS_URL").env_remove("RUST_LOG").args(["dlq", "redrive", "notifications", "--all"]);
    command.args(["--redis-url", &pipeline.redis.url(), "--stream", &pipeline.stream]);
    let output = command.output().await.expect("orderflow runs");
    assert!(output.status.success(), "{output:?}");
}

/// A foreign group that stopped half-way, with more before and after it than anybody counts. Guarded retention waits for it,
/// so that the entries stay.
async fn uncountable(pipeline: &Pipeline) {
    let (stream, group) = (pipeline.stream.as_str(), "third");
    let mut commands = pipe();
    commands.cmd("XGROUP").arg("CREATE").arg(stream).arg(group).arg("$").ignore();
    for n in 0..2 * UNCOUNTABLE {
        let fields =
            ["type", "order.placed", "order_id", &format!("x-{n}"), "customer", "c", "amount", "1.00"];
        commands.cmd("XADD").arg(stream).arg("*").arg(&fields).ignore();
    }
    let count = UNCOUNTABLE.to_string();
    let half = ["GROUP", group, "c", "COUNT", &count, "STREAMS", stream, ">"];
    commands.cmd("XREADGROUP").arg(&half).ignore();
    commands.query_async::<()>(&mut pipeline.connection().await).await.expect("Redis answers");
}
