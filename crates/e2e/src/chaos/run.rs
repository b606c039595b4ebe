//! [`run`]: starts the pipeline, makes it suffer, heals it and checks what is left.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use redis::aio::MultiplexedConnection;
use testkit::{RedisServer, eventually};

use super::{
    audit::audit,
    evidence::{Evidence, group_state, orders_known},
    fault::GROUPS,
    injector::{Injected, Injector, STREAM},
    member::Member,
    poison::MARK,
    report::ChaosReport,
    schedule::schedule,
    settings::ChaosSettings,
    witness::Witness,
};
use crate::{Load, Outcome, Role, binary};

/// Two of each, so that one can always take over.
const MEMBERS: [Role; 8] = [
    Role::Producer,
    Role::Producer,
    Role::Notifications,
    Role::Notifications,
    Role::Analytics,
    Role::Analytics,
    Role::Reaper,
    Role::Reaper,
];

/// How long everything may take to be settled once every fault has ended.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);

/// Runs it all. The logs stay only if something was amiss.
///
/// # Panics
///
/// If the pipeline does not come up at all, or does not come to rest after the last fault.
pub async fn run(settings: &ChaosSettings) -> ChaosReport {
    let started = Instant::now();
    let logs = logs_dir(settings.seed);
    let mut options = RedisServer::builder().append_only(true);
    if let Some(program) = &settings.server {
        options = options.program(program);
    }
    let redis = options.start().await;
    let witness = Witness::start(&redis.url());
    let mut members = Vec::with_capacity(MEMBERS.len());
    for (index, role) in MEMBERS.into_iter().enumerate() {
        members.push(Member::start(role, index % 2 + 1, redis.port(), &logs).await);
    }
    for member in &mut members {
        member.ready().await;
    }

    let producers: Vec<String> = members
        .iter()
        .filter(|member| member.role == Role::Producer)
        .map(|member| member.url("/v1/events"))
        .collect();
    let load = Load::start(&producers, settings.seed, settings.requests_per_second);
    let log = fs::File::create(logs.join("faults.log")).expect("a log can be created");
    let mut injector = Injector { redis, members, injected: Injected::default(), log };
    let planned = schedule(settings.seed, settings.duration, settings.fault_interval, &MEMBERS);
    injector.inject(&planned).await;
    let healed = Instant::now();
    let journal = load.stop().await;

    let Injector { redis, mut members, injected, .. } = injector;
    for member in &mut members {
        member.supervise();
        member.ready().await;
    }
    settled(&redis, &logs).await;
    let settled_after = healed.elapsed();
    trimmed(&redis, &logs).await;

    let mut connection = redis.connection().await;
    let evidence = Evidence::collect(&mut connection, &logs, witness.end().await).await;
    let orders: Vec<(&str, &str)> = evidence
        .stream
        .iter()
        .filter(|entry| entry.text(MARK).is_none())
        .map(|entry| (entry.text("order_id").unwrap_or_default(), entry.text("type").unwrap_or_default()))
        .collect();
    let known = orders_known(&mut connection, &orders).await;
    let mut findings = audit(&evidence, &journal, &injected, &known);
    for member in &mut members {
        if member.ended_by_itself > 0 {
            let times = member.ended_by_itself;
            findings.violations.push(format!("{} ended by itself {times} times", member.name));
        }
        match member.stop().await {
            Some(0) => {}
            code => findings.violations.push(format!("{} ended with {code:?} at SIGTERM", member.name)),
        }
    }

    let stored_orders: HashSet<&str> = orders.iter().map(|(order_id, _)| *order_id).collect();
    let count =
        |wanted: fn(&Outcome) -> bool| journal.posted.iter().filter(|event| wanted(&event.outcome)).count();
    let unknown = journal.posted.iter().filter(|event| event.outcome == Outcome::Unknown);
    let report = ChaosReport {
        seed: settings.seed,
        server: server_version(&mut connection).await,
        took: started.elapsed(),
        posted: journal.posted.len(),
        stored: count(|outcome| matches!(outcome, Outcome::Stored(_))),
        unknown: count(|outcome| *outcome == Outcome::Unknown),
        unknown_and_stored: unknown.filter(|event| stored_orders.contains(event.order_id.as_str())).count(),
        in_stream: evidence.stream.len(),
        trimmed: evidence.stream.len() - evidence.kept.len(),
        poison: injected.poison,
        faults: injected.by_kind,
        complaints: evidence.logs.complaints,
        loudest: evidence.logs.loudest.0,
        longest_unavailability: journal.longest_unavailability,
        settled_after,
        findings,
        logs: logs.clone(),
    };
    if report.is_clean() {
        fs::remove_dir_all(&logs).expect("its own logs can be removed");
    }
    report
}

/// The server's name and version, such as `valkey 9.1.2`.
async fn server_version(connection: &mut MultiplexedConnection) -> String {
    let info: String =
        redis::cmd("INFO").arg("server").query_async(connection).await.expect("a healthy server answers");
    let version = |name: &str| {
        info.lines()
            .find_map(|line| Some(format!("{name} {}", line.strip_prefix(name)?.strip_prefix("_version:")?)))
    };
    // Valkey also gives the version of Redis that it is compatible with.
    version("valkey").or_else(|| version("redis")).unwrap_or_default()
}

/// A directory of this run's own beside the binaries under test.
fn logs_dir(seed: u64) -> PathBuf {
    let binary = binary(Role::Producer.program());
    let profile = binary.parent().expect("a binary lies in a directory");
    let dir = profile.join("chaos").join(format!("{seed}-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory for the logs can be made");
    dir
}

/// Waits until retention has trimmed something: its time comes when everything that is old enough is acked.
async fn trimmed(redis: &RedisServer, logs: &Path) {
    let mut connection = redis.connection().await;
    let what = format!("retention trims what is settled; logs: {}", logs.display());
    eventually(SETTLED_WITHIN, &what, async || {
        let mut info = redis::cmd("XINFO");
        info.arg("STREAM").arg(STREAM);
        let info: HashMap<String, redis::Value> =
            info.query_async(&mut connection).await.map_err(|error| error.to_string())?;
        let number =
            |name: &str| redis::from_redis_value_ref::<u64>(info.get(name).unwrap_or(&redis::Value::Nil));
        match (number("length"), number("entries-added")) {
            (Ok(length), Ok(added)) if length < added => Ok(()),
            counted => Err(format!("{counted:?}")),
        }
    })
    .await;
}

/// Waits until both groups have been delivered everything and have nothing pending.
async fn settled(redis: &RedisServer, logs: &Path) {
    let mut connection = redis.connection().await;
    let what = format!("both groups of {STREAM} have settled everything; logs: {}", logs.display());
    eventually(SETTLED_WITHIN, &what, async || {
        for group in GROUPS {
            let state = group_state(&mut connection, group).await?;
            if state.pending > 0 || state.undelivered > 0 {
                return Err(format!("{group}: {state:?}"));
            }
        }
        Ok(())
    })
    .await;
}
