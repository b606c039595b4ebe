//! The active role: never longer than its lease, and a standby that could not take over says so.

use std::time::{Duration, Instant};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testkit::eventually;

use crate::support::{Bench, SOON};

#[tokio::test]
async fn a_reaper_whose_server_hangs_stands_down_when_its_lease_ends() {
    let bench = Bench::start().await;
    // A hanging call alone would outlast the lease many times.
    let reaper = bench.reaper(&[("ORDERFLOW__REDIS__RESPONSE_TIMEOUT", "30s")]);
    reaper.is_active().await;
    let server = Pid::from_raw(bench.server.pid().cast_signed());
    kill(server, Signal::SIGSTOP).unwrap();
    let stopped = Instant::now();
    reaper.shows("reaper_leader", |value| value == Some(0.0)).await;
    let took = stopped.elapsed();
    kill(server, Signal::SIGCONT).unwrap();
    assert!(took < Duration::from_secs(5), "with a lease of 1 s it took {took:?}");
    reaper.is_active().await;
    assert_eq!(reaper.logged(&["this reaper stands by now"]), 1);
}

#[tokio::test]
async fn a_round_longer_than_the_lease_keeps_the_role() {
    let bench = Bench::start().await;
    bench.append_old(100_000).await;
    for group in ["a", "b", "c", "d", "e", "f"] {
        bench.deliver(group, 100_000).await;
    }
    let reaper = bench.reaper(&[
        ("ORDERFLOW__RETENTION__GROUPS", "a,b,c,d,e,f"),
        ("ORDERFLOW__WORKER__CLAIM_MIN_IDLE", "1s"),
        ("ORDERFLOW__WORKER__LEASE_RENEW_INTERVAL", "400ms"),
    ]);
    reaper.shows("reaper_sweep_duration_seconds_count", |value| value >= Some(2.0)).await;
    assert_eq!(reaper.logged(&["this reaper stands by now"]), 0, "{}", reaper.log());
}

#[tokio::test]
async fn a_standby_that_could_not_take_over_is_not_ready() {
    let bench = Bench::start().await;
    // Refuses every write, but is there.
    bench.cmd::<()>("CONFIG SET min-replicas-to-write 1").await;
    let reaper = bench.reaper(&[]);
    eventually(SOON, "the reaper says why it is not ready", async || match reaper.page("/readyz").await {
        Ok((503, text)) if text.contains("lease: ") && text.contains("read_only") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    reaper.shows("reaper_errors_total", |value| value >= Some(5.0)).await;
    assert_eq!(reaper.metric("reaper_leader").await, Some(0.0));
    assert_eq!(reaper.logged(&["taking or renewing the active role"]), 1, "{}", reaper.log());
    bench.cmd::<()>("CONFIG SET min-replicas-to-write 0").await;
    reaper.is_active().await;
    eventually(SOON, "the reaper is ready", async || match reaper.page("/readyz").await {
        Ok((200, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
