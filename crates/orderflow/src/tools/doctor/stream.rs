//! The stream and its reaper.

use std::time::Duration;

use stream_core::Error;

use super::{Check, Report};
use crate::{durations, output::entries, redis_access::Access};

pub(super) async fn check(access: &Access, report: &mut Report) {
    report.add_result("stream", stream(access).await);
    report.add_result("reaper", reaper(access).await);
}

async fn stream(access: &Access) -> Result<Check, Error> {
    let key = access.stream.key();
    match access.stream.key_type().await?.as_str() {
        "stream" => {}
        "none" => {
            let remedy = "send an event (orderflow produce --random 1), or name the right key with --stream";
            return Ok(Check::warning("stream", format!("there is no key {key} yet"), remedy));
        }
        other => {
            let message = format!("the key {key} holds a {other}, not a stream");
            let remedy = "name another key with --stream or stream.key, or move that one away (RENAME)";
            return Ok(Check::problem("stream", message, remedy));
        }
    }
    let info = access.stream.info().await?;
    let oldest = info.first_entry.map_or_else(String::new, |entry| {
        let age = Duration::from_millis(durations::now_ms().saturating_sub(entry.id.ms));
        format!(", the oldest {} old", durations::short(age))
    });
    Ok(Check::ok("stream", format!("{key} has {}{oldest}", entries(info.length))))
}

async fn reaper(access: &Access) -> Result<Check, Error> {
    Ok(match access.stream.active_reaper().await? {
        Some(Ok(holder)) => Check::ok("reaper", format!("active: {holder}")),
        Some(Err(text)) => Check::ok("reaper", format!("active: {text}")),
        None => Check::problem(
            "reaper",
            "no reaper is active: nothing is recovered for dead consumers, trimmed or measured",
            "start the reaper service",
        ),
    })
}
