//! A projection that counts votes exactly once, until Ctrl-C, or until everything is counted with `--once`:
//! `cargo run -p stream-core --example projection -- redis://127.0.0.1:6379/`.
//!
//! Feed it with `redis-cli XADD votes '*' for ada weight 2`. Kill it in the middle of its work and start it again: what it
//! prints is exact. `--rebuild` counts all history anew, while it goes on counting.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, time::Duration};

use prometheus::Registry;
use stream_core::{
    ConnectSettings, Connector, Delivery, Effects, EventStream, Projection, RebuildPhase, Rejection,
    StreamKey, Worker, WorkerSettings,
};
use tokio_util::sync::CancellationToken;

const GROUP: &str = "tellers";
/// Hash: `votes` and `weight` of all.
const TOTALS: &str = "tally:totals";
/// Sorted set: candidates by weight.
const CANDIDATES: &str = "tally:candidates";

struct Tally;

impl Projection for Tally {
    fn project(&self, delivery: &Delivery, effects: &mut Effects<'_>) -> Result<(), Rejection> {
        let text = |field| delivery.fields.get(field).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let candidate = text("for").ok_or_else(|| reject("a vote for nobody"))?;
        let weight = text("weight").map_or(Ok(1), str::parse).map_err(|_| reject("weight is no number"))?;
        effects.hash_increment(TOTALS, "votes", 1);
        effects.hash_increment(TOTALS, "weight", weight);
        effects.sorted_set_increment(CANDIDATES, candidate, weight);
        Ok(())
    }

    fn key_prefixes(&self) -> &[&str] {
        &["tally:"]
    }
}

fn reject(reason: &str) -> Rejection {
    Rejection { reason: reason.to_owned() }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut once, mut rebuild) = (false, false);
    let mut settings = ConnectSettings::default();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--once" => once = true,
            "--rebuild" => rebuild = true,
            _ => settings.url = argument,
        }
    }
    let connector = Connector::new(settings)?;
    let stream = EventStream::new(connector.commands()?, StreamKey::new("votes")?);
    if rebuild {
        println!("{:?}", stream.request_rebuild(GROUP, false).await?);
    }

    let settings = WorkerSettings {
        consumers: vec!["teller-0".to_owned()],
        host: "example".to_owned(),
        claim_min_idle: Duration::from_secs(1),
        block: Duration::from_millis(200),
        ..WorkerSettings::default()
    };
    let worker = Worker::new(connector, stream.clone(), GROUP, settings, &Registry::new())?;
    let shutdown = CancellationToken::new();
    let worker = tokio::spawn(worker.run_projection(Tally, 100, shutdown.clone()));
    let mut printed = String::new();
    loop {
        let line = describe(&stream).await?;
        if line != printed {
            println!("{line}");
            printed = line;
        }
        if once && is_done(&stream).await? {
            break;
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
    shutdown.cancel();
    let report = worker.await??;
    println!("{}", describe(&stream).await?);
    println!("drained: {report:?}");
    Ok(())
}

/// What has been counted, all of it from one generation of the projection.
async fn describe(stream: &EventStream) -> Result<String, stream_core::Error> {
    let tally = stream.projected(GROUP).await?;
    let totals = tally.fields(TOTALS, &["votes".to_owned(), "weight".to_owned()]).await?;
    let top = tally.top(CANDIDATES, 3).await?;
    Ok(format!("votes {} weight {} leading {top:?}", totals[0], totals[1]))
}

/// Whether every vote is settled and no rebuild is under way.
async fn is_done(stream: &EventStream) -> Result<bool, stream_core::Error> {
    let newest = stream.info().await?.last_generated_id;
    let groups = stream.groups().await?;
    let settled = groups
        .iter()
        .any(|group| group.name == GROUP && group.pending == 0 && group.last_delivered_id >= newest);
    let phase = stream.rebuild_status(GROUP).await?.phase;
    Ok(settled && !phase.is_active() && phase != RebuildPhase::Refused)
}
