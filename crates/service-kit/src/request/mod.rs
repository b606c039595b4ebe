//! Requests and who they are: an ID each, in the answer, in its problem and in every line that is logged for it; and the
//! trace that it belongs to.

mod id;
mod layer;

use std::fmt;

pub use id::{REQUEST_ID, RequestId};
pub use layer::RequestLayer;

use crate::trace::Served;

/// What is known of the request that a task serves.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) id: RequestId,
    pub(crate) served: Served,
}

tokio::task_local! {
    static CURRENT: Current;
}

/// Looks at the request that this task serves, if it does.
pub(crate) fn with_current<T>(look: impl FnOnce(&Current) -> T) -> Option<T> {
    CURRENT.try_with(look).ok()
}

impl Current {
    /// The trace it belongs to, recorded here or not: what its log lines are found by.
    pub(crate) fn trace_id(&self) -> Option<impl fmt::Display> {
        self.served.remote.as_ref().map(crate::trace::Remote::trace_id)
    }
}
