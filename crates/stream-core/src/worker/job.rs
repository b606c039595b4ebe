//! [`Job`]: a kind of background work of which a consumer has at most one under way.

use super::context::Context;
use crate::Error;

/// Whether it is under way, and whether it failed the last time.
#[derive(Debug, Default)]
pub(super) struct Job {
    running: bool,
    failing: bool,
}

impl Job {
    /// Marks it as under way; `false` if it is already.
    pub(super) const fn start(&mut self) -> bool {
        !std::mem::replace(&mut self.running, true)
    }

    pub(super) const fn is_running(&self) -> bool {
        self.running
    }

    /// It came to nothing before Redis was asked.
    pub(super) const fn cancel(&mut self) {
        self.running = false;
    }

    /// Takes its result. Of a series of failures all are counted and the first is logged.
    pub(super) fn end<T>(
        &mut self,
        context: &Context,
        failed: &'static str,
        result: Result<T, Error>,
    ) -> Option<T> {
        self.running = false;
        let was_failing = std::mem::replace(&mut self.failing, result.is_err());
        match result {
            Ok(value) => return Some(value),
            Err(error) if was_failing => context.metrics.redis_error(error.kind()),
            Err(error) => context.report(failed, &error),
        }
        None
    }
}
