//! [`Job`]: a kind of background work of which a consumer has at most one under way.

use super::{context::Context, failures::Failures};
use crate::Error;

/// Whether it is under way, and how often it has failed in a row.
#[derive(Debug, Default)]
pub(super) struct Job {
    running: bool,
    failures: Failures,
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

    /// Takes its result. All failures are counted; of a series some are logged, and its end.
    pub(super) fn end<T>(
        &mut self,
        context: &Context,
        doing: &'static str,
        result: Result<T, Error>,
    ) -> Option<T> {
        self.running = false;
        match result {
            Ok(value) => {
                context.works(&mut self.failures, doing);
                Some(value)
            }
            Err(error) => {
                context.failed(&mut self.failures, doing, &error);
                None
            }
        }
    }
}
