//! Failures that last: counted every time, logged once at first, and once when they are over.

use testkit::eventually;

use crate::support::{Bench, GROUP, SOON, STREAM};

#[tokio::test]
async fn a_step_that_fails_every_round_is_logged_once() {
    let bench = Bench::start().await;
    bench.append_old(1).await;
    bench.deliver(GROUP, 1).await;
    bench.cmd::<()>(&format!("SET {{{STREAM}}}:dlq:{GROUP} text")).await;
    let reaper = bench.reaper(&[]);
    reaper.shows("reaper_errors_total", |value| value >= Some(10.0)).await;
    let failed = ["step=sweeping", "a step failed", GROUP];
    assert_eq!((reaper.logged(&failed), reaper.logged(&["still fails"])), (1, 0), "{}", reaper.log());
    bench.cmd::<()>(&format!("DEL {{{STREAM}}}:dlq:{GROUP}")).await;
    eventually(SOON, "the recovery is logged", async || {
        (reaper.logged(&["step=sweeping", "works again"]) == 1).then_some(())
    })
    .await;
    assert_eq!(reaper.logged(&failed), 1);
}

#[tokio::test]
async fn a_server_that_is_away_does_not_fill_the_log() {
    let mut bench = Bench::start().await;
    let reaper = bench.reaper(&[]);
    reaper.is_active().await;
    let before = reaper.log().lines().count();
    bench.server.kill();
    reaper.shows("reaper_errors_total", |value| value >= Some(15.0)).await;
    reaper.shows("reaper_leader", |value| value == Some(0.0)).await;
    // One line for each of six steps, and for Redis, readiness and the role.
    let lines = reaper.log().lines().count() - before;
    assert!(lines <= 12, "{lines} lines: {}", reaper.log());
    bench.server.restart().await;
    reaper.is_active().await;
    eventually(SOON, "the recovery is logged", async || {
        (reaper.logged(&["taking or renewing the active role", "works again"]) == 1).then_some(())
    })
    .await;
}
