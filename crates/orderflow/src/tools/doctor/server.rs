//! The server: there, new enough, safe to keep streams on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stream_core::{Availability, Capabilities, Connection, Error, ServerInfo, ServerVersion};

use super::{Check, Report};
use crate::redis_access::{Access, remedy};

/// A round trip that takes longer slows every group commit down.
const LATENCY_HIGH: Duration = Duration::from_millis(50);
/// Clocks that differ by more show wrong ages, and windows of analytics that are off.
const SKEW_WARNING: Duration = Duration::from_secs(1);
const SKEW_PROBLEM: Duration = Duration::from_mins(1);
/// Shares of a limit in per cent.
const USE_WARNING: u64 = 75;
const USE_PROBLEM: u64 = 90;

/// Whether the server answers at all.
pub(super) async fn check(access: &Access, report: &mut Report) -> bool {
    let connection = access.stream.connection();
    let address = access.connector.address();
    let latency = match latency(connection).await {
        Ok(latency) => latency,
        Err(error) => {
            let remedy = remedy(error.kind()).unwrap_or("look into the server's log");
            report.add(Check::problem("reachable", format!("Redis at {address}: {error}"), remedy));
            return false;
        }
    };
    let message = format!("Redis at {address} answers in {:.1} ms", latency.as_secs_f64() * 1_000.0);
    report.add(if latency > LATENCY_HIGH {
        Check::warning(
            "reachable",
            message,
            "run the services close to Redis; every write waits for a round trip",
        )
    } else {
        Check::ok("reachable", message)
    });
    match ServerInfo::ask(connection).await {
        Ok(info) => {
            for check in [version(&info), mode(&info), role(&info), eviction(&info), memory(&info)] {
                report.add(check);
            }
            report.add(connections(&info));
            report.add(persistence(&info, connection).await);
        }
        Err(error) => report.add(Check::failed("server", &error)),
    }
    report.add_result("clock", clock(connection).await);
    report.add(capabilities(access).await);
    true
}

/// The best of three round trips: the first also connects.
async fn latency(connection: &Connection) -> Result<Duration, Error> {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let asked = Instant::now();
        connection.ping().await?;
        best = best.min(asked.elapsed());
    }
    Ok(best)
}

fn version(info: &ServerInfo) -> Check {
    let (product, release, compatible) = (&info.product, &info.release, info.version);
    if compatible < ServerVersion::OLDEST {
        let remedy = format!("use Redis {} or later, or Valkey", ServerVersion::OLDEST);
        return Check::problem("version", format!("{product} {release} is too old"), remedy);
    }
    Check::ok("version", format!("{product} {release}"))
}

fn mode(info: &ServerInfo) -> Check {
    match info.mode.as_str() {
        "standalone" => Check::ok("mode", "standalone"),
        mode => Check::problem(
            "mode",
            format!("the server runs in {mode} mode, which is not supported"),
            "use a standalone server, or one behind a proxy that looks like one",
        ),
    }
}

fn role(info: &ServerInfo) -> Check {
    if info.is_replica {
        let remedy = "point redis.url at the primary, or promote this one (REPLICAOF NO ONE)";
        return Check::problem("role", "the server is a replica and takes no writes", remedy);
    }
    Check::ok("role", "primary")
}

fn eviction(info: &ServerInfo) -> Check {
    let policy = &info.eviction_policy;
    if info.may_evict() {
        let message = format!("maxmemory-policy is {policy}: the server may delete the stream whole");
        return Check::problem("eviction", message, "CONFIG SET maxmemory-policy noeviction");
    }
    Check::ok("eviction", policy)
}

fn memory(info: &ServerInfo) -> Check {
    let used = mebibytes(info.used_memory);
    if info.max_memory == 0 {
        return Check::ok("memory", format!("{used} used, no maxmemory"));
    }
    let share = share(info.used_memory, info.max_memory);
    let message = format!("{used} of {} used, {share} %", mebibytes(info.max_memory));
    let remedy = "raise maxmemory, shorten retention, or find the group that holds entries: orderflow groups";
    by_share("memory", share, message, remedy)
}

fn connections(info: &ServerInfo) -> Check {
    if info.max_clients == 0 {
        return Check::ok("connections", format!("{} open", info.clients));
    }
    let message = format!("{} of {} open", info.clients, info.max_clients);
    by_share("connections", share(info.clients, info.max_clients), message, "raise maxclients")
}

async fn persistence(info: &ServerInfo, connection: &Connection) -> Check {
    let state = &info.persistence;
    if state.append_failed || state.snapshot_failed {
        let what = if state.append_failed { "append-only file" } else { "snapshot" };
        let message = format!("the last write of the {what} failed; the server may refuse writes (MISCONF)");
        return Check::problem(
            "persistence",
            message,
            "look into the server's log: a full or read-only disk?",
        );
    }
    if !state.append_only {
        let message = "the append-only file is off: a crash loses events that were answered 201";
        return Check::warning(
            "persistence",
            message,
            "CONFIG SET appendonly yes, and in the server's configuration",
        );
    }
    match ServerInfo::append_fsync(connection).await {
        Ok(Some(fsync)) if fsync == "no" => Check::warning(
            "persistence",
            "append-only file on, but appendfsync is no: a crash of the machine loses what the system had not written",
            "CONFIG SET appendfsync everysec, or always",
        ),
        Ok(Some(fsync)) if fsync == "everysec" => Check::ok(
            "persistence",
            "append-only file on, appendfsync everysec: a crash loses a second at most",
        ),
        Ok(Some(fsync)) => Check::ok("persistence", format!("append-only file on, appendfsync {fsync}")),
        Ok(None) | Err(_) => {
            Check::ok("persistence", "append-only file on; the server does not tell appendfsync")
        }
    }
}

async fn clock(connection: &Connection) -> Result<Check, Error> {
    let (asked, round_trip) = (SystemTime::now(), Instant::now());
    let there = ServerInfo::clock(connection).await?;
    // The server looked at its clock about half-way.
    let here = asked.duration_since(UNIX_EPOCH).unwrap_or_default() + round_trip.elapsed() / 2;
    let skew = here.abs_diff(there);
    let direction = if there > here { "ahead of" } else { "behind" };
    let message = format!("the server's clock is {} ms {direction} this machine's", skew.as_millis());
    let remedy = "let both follow a time server (NTP): entry IDs and retention go by the server's clock";
    Ok(if skew > SKEW_PROBLEM {
        Check::problem("clock", message, remedy)
    } else if skew > SKEW_WARNING {
        Check::warning("clock", message, remedy)
    } else {
        Check::ok("clock", message)
    })
}

async fn capabilities(access: &Access) -> Check {
    let capabilities = Capabilities::probe(&access.stream).await;
    let with = |label: &str| {
        let some = capabilities.iter().filter(|(_, state)| state.label() == label);
        some.map(|(capability, _)| capability.label()).collect::<Vec<_>>().join(", ")
    };
    let (available, denied) = (with("available"), with("denied"));
    let unknown = capabilities.iter().find_map(|(capability, state)| match state {
        Availability::Unknown(why) => Some(format!("{} could not be tried: {why}", capability.command())),
        _ => None,
    });
    if let Some(message) = unknown {
        return Check::warning("capabilities", message, "repeat this when the server takes writes");
    }
    if !denied.is_empty() {
        let message = format!("this user may not use: {denied}; they are done without");
        return Check::warning("capabilities", message, "allow the commands (ACL SETUSER), or leave it so");
    }
    let beyond = if available.is_empty() { "none; all is done without" } else { &available };
    Check::ok("capabilities", format!("beyond Redis 7.0: {beyond}"))
}

fn by_share(check: &'static str, share: u64, message: String, remedy: &str) -> Check {
    match share {
        USE_PROBLEM.. => Check::problem(check, message, remedy),
        USE_WARNING.. => Check::warning(check, message, remedy),
        _ => Check::ok(check, message),
    }
}

const fn share(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100) / whole
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
