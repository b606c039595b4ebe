//! Group metrics: what cannot be read hides nothing else, and old figures are not shown for new ones.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testkit::eventually;

use crate::support::{Bench, GROUP, Reaper, SOON, STREAM};

#[tokio::test]
async fn one_group_does_not_hide_the_others() {
    let bench = Bench::start().await;
    bench.append_old(5).await;
    bench.deliver(GROUP, 2).await;
    bench.deliver("broken", 1).await;
    // No Redis command of text can name these.
    let (stream, group) = (STREAM.as_bytes(), GROUP.as_bytes());
    bench.words::<(), &[u8]>(&[b"XGROUP", b"CREATE", stream, b"\xffforeign", b"0"]).await;
    bench.words::<i64, &[u8]>(&[b"XGROUP", b"CREATECONSUMER", stream, group, b"\xfeforeign"]).await;
    bench.cmd::<()>(&format!("SET {{{STREAM}}}:dlq:broken text")).await;
    let reaper = bench.reaper(&[]);
    let series = |name: &str, group: &str| format!("{name}{{group=\"{group}\",stream=\"{STREAM}\"}}");
    reaper.shows(&series("stream_group_lag", GROUP), |value| value == Some(3.0)).await;
    reaper.shows(&series("stream_group_lag", "\u{fffd}foreign"), |value| value == Some(5.0)).await;
    assert_eq!(reaper.metric(&series("stream_group_consumers", GROUP)).await, Some(2.0));
    assert_eq!(reaper.metric(&series("stream_group_lag", "broken")).await, None);
    assert!(reaper.metric("reaper_errors_total").await >= Some(1.0));
    bench.cmd::<()>(&format!("DEL {{{STREAM}}}:dlq:broken")).await;
    reaper.shows(&series("stream_group_lag", "broken"), |value| value == Some(4.0)).await;
    assert_eq!(reaper.logged(&["observing groups", "a step failed", "broken"]), 1, "{}", reaper.log());
}

#[tokio::test]
async fn figures_that_cannot_be_read_any_more_are_not_shown() {
    let bench = Bench::start().await;
    bench.append_old(5).await;
    let reaper = bench.reaper(&[]);
    let length = format!("stream_length{{stream=\"{STREAM}\"}}");
    reaper.shows(&length, |value| value == Some(5.0)).await;
    bench.cmd::<()>(&format!("RENAME {STREAM} elsewhere")).await;
    bench.cmd::<()>(&format!("SET {STREAM} text")).await;
    reaper.shows(&length, |value| value.is_none()).await;
    reaper.is_active().await;
    bench.cmd::<()>(&format!("RENAME elsewhere {STREAM}")).await;
    reaper.shows(&length, |value| value == Some(5.0)).await;
}

/// Series with this label, by their names.
async fn series_with(reaper: &Reaper, label: &str) -> Vec<String> {
    let (_, text) = reaper.page("/metrics").await.unwrap_or_default();
    let series = text.lines().filter(|line| !line.starts_with('#') && line.contains(label));
    series.map(|line| line.split('{').next().unwrap_or(line).to_owned()).collect()
}

#[tokio::test]
async fn consumers_and_groups_that_are_gone_leave_no_series() {
    let bench = Bench::start().await;
    bench.append_old(5).await;
    bench.deliver(GROUP, 2).await;
    bench.deliver("passing", 2).await;
    bench.cmd::<i64>(&format!("XGROUP CREATECONSUMER {STREAM} {GROUP} passing")).await;
    // A dead letter that the bound drops gives even this count a series of the group.
    bench.cmd::<String>(&format!("XADD {{{STREAM}}}:dlq:passing 1-1 _dl_id 1-1 _dl_time_ms 1")).await;
    // Managed, since a consumer of it is registered.
    bench.cmd::<i64>(&format!("HSET {{{STREAM}}}:workers passing/gone x")).await;
    let reaper = bench.reaper(&[]);
    let dropped = "stream_dead_letters_dropped_total{group=\"passing\",stream=\"events:orders\"}";
    reaper.shows(dropped, |value| value == Some(1.0)).await;
    reaper
        .shows("stream_group_consumers{group=\"passing\",stream=\"events:orders\"}", |value| {
            value == Some(1.0)
        })
        .await;
    assert!(series_with(&reaper, "group=\"passing\"").await.len() >= 12);
    assert_eq!(series_with(&reaper, "consumer=\"passing\"").await.len(), 2);

    bench.cmd::<i64>(&format!("XGROUP DELCONSUMER {STREAM} {GROUP} passing")).await;
    bench.cmd::<i64>(&format!("XGROUP DESTROY {STREAM} passing")).await;
    eventually(SOON, "nothing is left of them", async || {
        let mut left = series_with(&reaper, "consumer=\"passing\"").await;
        left.extend(series_with(&reaper, "group=\"passing\"").await);
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    })
    .await;
    assert!(series_with(&reaper, &format!("group=\"{GROUP}\"")).await.len() >= 8, "the others stay");
}

#[tokio::test]
async fn a_standby_shows_no_series_of_groups() {
    let bench = Bench::start().await;
    bench.append_old(5).await;
    bench.deliver(GROUP, 2).await;
    let active = bench.reaper(&[]);
    active.is_active().await;
    let standby = bench.reaper(&[]);
    standby.shows("redis_up", |value| value == Some(1.0)).await;
    standby.shows("reaper_leader", |value| value == Some(0.0)).await;
    let lag = format!("stream_group_lag{{group=\"{GROUP}\",stream=\"{STREAM}\"}}");
    active.shows(&lag, |value| value == Some(3.0)).await;
    assert_eq!(series_with(&standby, "stream=").await, Vec::<String>::new());
    assert_eq!(standby.metric("reaper_leader").await, Some(0.0));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_up() {
    let bench = Bench::start().await;
    let reaper = bench.reaper(&[]);
    reaper.shows("redis_up", |value| value == Some(1.0)).await;
    let server = Pid::from_raw(bench.server.pid().cast_signed());
    kill(server, Signal::SIGSTOP).unwrap();
    reaper.shows("redis_up", |value| value == Some(0.0)).await;
    kill(server, Signal::SIGCONT).unwrap();
    reaper.shows("redis_up", |value| value == Some(1.0)).await;
}
