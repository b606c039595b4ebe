//! Delays between attempts: exponential, jittered, capped, without end.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

/// The delays of one series of failures. A success starts them anew.
pub(crate) struct Backoff {
    builder: ExponentialBuilder,
    delays: ExponentialBackoff,
    waited: bool,
}

impl Backoff {
    /// 100 ms at first, doubling up to 5 s, each with up to as much again as jitter.
    pub(crate) fn new() -> Self {
        let builder = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .with_jitter()
            .without_max_times();
        Self { builder, delays: builder.build(), waited: false }
    }

    /// Waits before the next attempt; `false` if `stop` came first.
    pub(crate) async fn wait(&mut self, stop: &CancellationToken) -> bool {
        self.waited = true;
        let delay = self.delays.next().unwrap_or(Duration::from_secs(5));
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(delay) => true,
        }
    }

    /// After a success: the next series starts with the shortest delay.
    pub(crate) fn reset(&mut self) {
        if std::mem::take(&mut self.waited) {
            self.delays = self.builder.build();
        }
    }
}
