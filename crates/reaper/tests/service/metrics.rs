//! Group metrics: what cannot be read hides nothing else, and old figures are not shown for new ones.

use crate::support::{Bench, GROUP, STREAM};

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
