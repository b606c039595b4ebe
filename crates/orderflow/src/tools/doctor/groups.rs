//! The consumer groups: there, read, settled, and without anything left by the dead.

use std::time::Duration;

use service_kit::Settings;
use stream_core::{Error, EventStream, GroupInfo, Lag, PendingFilter, StreamInfo};

use super::{Check, Report};
use crate::{durations, output::entries, redis_access::Access};

/// Whatever is held alive is renewed long before: entries that were idle so many times `claim_min_idle` lie there.
const IDLE_FACTOR: u32 = 6;
const IDLE_MIN: Duration = Duration::from_mins(1);
/// Names that a message lists at most.
const NAMES_MAX: usize = 5;

pub(super) async fn check(access: &Access, settings: &Settings, report: &mut Report) {
    let stream = &access.stream;
    let found = async { Ok::<_, Error>((stream.info().await?, stream.groups().await?)) };
    let (info, groups) = match found.await {
        Ok(found) => found,
        Err(error) => return report.add(Check::failed("groups", &error)),
    };
    for name in &settings.retention.groups {
        match groups.iter().find(|group| group.name == *name) {
            Some(group) => configured(stream, &info, group, settings, report).await,
            None => report.add(Check::problem(
                "group",
                format!("there is no group {name}"),
                format!("start its worker, or take {name} out of retention.groups"),
            )),
        }
    }
    let others = groups.iter().filter(|group| !settings.retention.groups.contains(&group.name));
    let others: Vec<&str> = others.map(|group| group.name.as_str()).collect();
    if !others.is_empty() {
        report.add(Check::ok("groups", format!("also on the stream: {}", listed(&others))));
    }
}

async fn configured(
    stream: &EventStream,
    info: &StreamInfo,
    group: &GroupInfo,
    settings: &Settings,
    report: &mut Report,
) {
    report.add_result("lag", lag(stream, info, group).await);
    let stuck = settings.worker.claim_min_idle.saturating_mul(IDLE_FACTOR).max(IDLE_MIN);
    report.add_result("pending", pending(stream, group, stuck).await);
    report.add_result("consumers", consumers(stream, group).await);
    report.add_result("dead letters", dead_letters(stream, group).await);
}

async fn lag(stream: &EventStream, info: &StreamInfo, group: &GroupInfo) -> Result<Check, Error> {
    let name = &group.name;
    Ok(match stream.lag(info, group).await? {
        Lag::Known(0) => Check::ok("lag", format!("{name} has been delivered everything")),
        Lag::Known(waiting) if group.consumers == 0 => Check::problem(
            "lag",
            format!("{} for {name}, which has no consumer", wait(waiting)),
            format!("start a worker of the group {name}"),
        ),
        Lag::Known(waiting) => {
            let oldest = stream.oldest_undelivered(group).await?;
            let age = oldest.map(|id| Duration::from_millis(durations::now_ms().saturating_sub(id.ms)));
            let age =
                age.map_or_else(String::new, |age| format!(", the oldest for {}", durations::short(age)));
            Check::ok("lag", format!("{} for {name}{age}", wait(waiting)))
        }
        Lag::Unknown => Check::ok("lag", format!("{name} has more to read than can be counted")),
    })
}

async fn pending(stream: &EventStream, group: &GroupInfo, stuck: Duration) -> Result<Check, Error> {
    let name = &group.name;
    let filter = PendingFilter { min_idle: Some(stuck), count: 1, ..PendingFilter::default() };
    if let Some(row) = stream.pending(name, &filter).await?.first() {
        let message = format!(
            "{} of {name} has been idle for {} with consumer {}: nobody claims it",
            row.id,
            durations::short(row.idle),
            row.consumer
        );
        let remedy = format!("start a worker of the group {name}; see orderflow pending {name}");
        return Ok(Check::problem("pending", message, remedy));
    }
    let oldest = PendingFilter { count: 1, ..PendingFilter::default() };
    let Some(oldest) = stream.pending(name, &oldest).await?.into_iter().next() else {
        return Ok(Check::ok("pending", format!("nothing is pending in {name}")));
    };
    let age = Duration::from_millis(durations::now_ms().saturating_sub(oldest.id.ms));
    let age = durations::short(age);
    let message = format!(
        "{} pending in {name}, the oldest added {age} ago, delivered {} times",
        group.pending, oldest.deliveries
    );
    Ok(Check::ok("pending", message))
}

/// Consumers without a living process that still hold entries: a reaper or a peer has to come.
async fn consumers(stream: &EventStream, group: &GroupInfo) -> Result<Check, Error> {
    let name = &group.name;
    let consumers = stream.consumers(name).await?;
    let names: Vec<&str> = consumers.iter().map(|consumer| consumer.name.as_str()).collect();
    let alive = stream.consumers_alive(name, &names).await?;
    let dead: Vec<_> = consumers.iter().zip(&alive).filter(|(_, alive)| !**alive).map(|(c, _)| c).collect();
    let holding: Vec<&str> = dead.iter().filter(|c| c.pending > 0).map(|c| c.name.as_str()).collect();
    if !holding.is_empty() {
        let held: u64 = dead.iter().map(|consumer| consumer.pending).sum();
        return Ok(Check::warning(
            "consumers",
            format!("without a living process, {} hold {} of {name}", listed(&holding), entries(held)),
            "peers claim them soon, and the reaper removes the consumers; if not, start a worker and the reaper",
        ));
    }
    let living = alive.iter().filter(|alive| **alive).count();
    Ok(Check::ok("consumers", format!("{living} of {} consumers of {name} are alive", consumers.len())))
}

async fn dead_letters(stream: &EventStream, group: &GroupInfo) -> Result<Check, Error> {
    let name = &group.name;
    Ok(match stream.dead_letter_count(name).await? {
        0 => Check::ok("dead letters", format!("{name} has none")),
        count => Check::warning(
            "dead letters",
            format!("{name} has {count}"),
            format!("look at them and send them back or purge them: orderflow dlq ls {name}"),
        ),
    })
}

fn wait(waiting: u64) -> String {
    format!("{} {}", entries(waiting), if waiting == 1 { "waits" } else { "wait" })
}

fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
