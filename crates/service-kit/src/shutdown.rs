//! Turns SIGTERM and SIGINT into a cancellation token.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A new token that the first SIGTERM or SIGINT cancels, which starts the drain.
///
/// A second signal ends the process at once, undrained, with 128 + the signal's number: an
/// operator who presses Ctrl-C twice means it, and whatever was in flight is recovered by peers
/// as after any crash. Must be called within a Tokio runtime.
///
/// # Errors
/// If the signal handlers cannot be installed.
pub fn on_signals() -> io::Result<CancellationToken> {
    let mut signals =
        Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let (name, _) = signals.next().await;
        tracing::info!(signal = name, "stopping; a second signal stops at once");
        cancelled.cancel();
        let (name, number) = signals.next().await;
        tracing::warn!(signal = name, "stopping at once, without draining");
        #[expect(clippy::exit, reason = "the second signal asks for exactly this")]
        std::process::exit(128 + number);
    });
    Ok(token)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Name and number of the next signal.
    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
        }
    }
}
