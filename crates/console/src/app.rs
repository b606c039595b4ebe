//! What every request handler shares.

use std::{ops::Deref, sync::Arc, time::Duration};

use service_kit::{ServerCapabilities, Settings, config::Console};
use stream_core::EventStream;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    access::Access, live::Live, metrics::Metrics, tail::Tails, upstream::Upstream, workers::Workers,
};

/// The state of the router. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Shared>);

/// The parts of an [`App`].
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) stream: EventStream,
    pub(crate) access: Access,
    pub(crate) workers: Arc<Workers>,
    pub(crate) live: Live,
    /// Who may listen to the live state.
    pub(crate) live_subscribers: Arc<Semaphore>,
    pub(crate) tails: Tails,
    /// Who may listen to the live tail.
    pub(crate) tail_subscribers: Arc<Semaphore>,
    pub(crate) capabilities: ServerCapabilities,
    /// Where events are sent to.
    pub(crate) producer: Upstream,
    /// Who is asked for figures and orders.
    pub(crate) analytics: Upstream,
    /// Held by the one reset that is under way.
    pub(crate) resetting: Arc<Mutex<()>>,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: CancellationToken,
}

impl App {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    pub(crate) fn console(&self) -> &Console {
        &self.settings.console
    }

    /// Bounds the time until a request has its answer.
    pub(crate) fn deadline(&self) -> Duration {
        self.console().request_deadline
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
