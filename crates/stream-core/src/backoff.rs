//! Delays between attempts: exponential, jittered, capped, without end.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

/// The delays of one series of failures. A success starts them anew.
pub(crate) struct Backoff {
    builder: ExponentialBuilder,
    delays: ExponentialBackoff,
    failures: u32,
}

impl Backoff {
    /// 100 ms at first, doubling up to 5 s, each with up to as much again as jitter.
    pub(crate) fn new() -> Self {
        let builder = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .with_jitter()
            .without_max_times();
        Self { builder, delays: builder.build(), failures: 0 }
    }

    /// Waits before the next attempt; `false` if `stop` came first.
    pub(crate) async fn wait(&mut self, stop: &CancellationToken) -> bool {
        self.failures = self.failures.saturating_add(1);
        let delay = self.delays.next().unwrap_or(Duration::from_secs(5));
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(delay) => true,
        }
    }

    /// Whether a failure at this point is the first of its series: the one worth a log line.
    pub(crate) const fn is_first(&self) -> bool {
        self.failures == 0
    }

    /// After a success. Returns the number of failures that it ended.
    pub(crate) fn reset(&mut self) -> u32 {
        if self.failures > 0 {
            self.delays = self.builder.build();
        }
        std::mem::take(&mut self.failures)
    }
}
