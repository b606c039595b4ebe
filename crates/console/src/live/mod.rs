//! The live state: one task builds it about once a second while somebody listens, and everybody gets the same.

mod build;
mod recent;
pub(crate) mod state;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use service_kit::Problem;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

pub(crate) use build::Builder;
use state::State;

use crate::{metrics::Metrics, problems};

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(1);
/// How soon after a look another one may follow that a lever asks for.
const HURRIED: Duration = Duration::from_millis(100);
/// A look that is older is not shown as the present.
const FRESH: Duration = Duration::from_millis(1_500);
/// Longest wait for a look: Redis and the processes each have their own, shorter bounds.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// What was seen at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) state: State,
    /// The state as JSON.
    pub(crate) json: String,
    began: Instant,
    built: Instant,
}

/// What is seen of the pipeline, kept fresh as long as somebody listens. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    latest: watch::Sender<Option<Arc<Snapshot>>>,
    /// Somebody has begun to listen.
    wake: Notify,
    /// Something was changed that should be seen at once.
    hurry: Notify,
    /// Nothing is built any more.
    shutdown: CancellationToken,
}

/// Listens to the state.
#[derive(Debug)]
pub(crate) struct Listener(watch::Receiver<Option<Arc<Snapshot>>>);

impl Live {
    /// Builds nothing until somebody listens; stops with `shutdown`.
    pub(crate) fn start(builder: Builder, metrics: Metrics, shutdown: CancellationToken) -> Self {
        let (latest, _) = watch::channel(None);
        let (wake, hurry) = (Notify::new(), Notify::new());
        let live = Self(Arc::new(Shared { latest, wake, hurry, shutdown: shutdown.clone() }));
        let task = live.clone();
        tokio::spawn(async move { shutdown.run_until_cancelled(task.run(builder, metrics)).await });
        live
    }

    async fn run(self, mut builder: Builder, metrics: Metrics) {
        loop {
            while self.0.latest.receiver_count() == 0 {
                self.0.wake.notified().await;
            }
            let began = Instant::now();
            let state = builder.look().await;
            metrics.looked(began.elapsed(), state.redis.available);
            // A struct of strings and numbers always serializes.
            let json = serde_json::to_string(&state).unwrap_or_default();
            self.0.latest.send_replace(Some(Arc::new(Snapshot {
                state,
                json,
                began,
                built: Instant::now(),
            })));
            sleep(HURRIED).await;
            tokio::select! {
                () = sleep_until((began + INTERVAL).into()) => {}
                () = self.0.hurry.notified() => {}
            }
        }
    }

    /// Listens from now on.
    pub(crate) fn listen(&self) -> Listener {
        let listener = Listener(self.0.latest.subscribe());
        self.0.wake.notify_one();
        listener
    }

    /// Something was changed: looks again soon.
    pub(crate) fn hurry(&self) {
        self.0.hurry.notify_one();
    }

    /// The state as it is now: what was changed before this is asked is in it.
    pub(crate) async fn now(&self) -> Result<Arc<Snapshot>, Problem> {
        let asked = Instant::now();
        let mut listener = self.listen();
        self.hurry();
        let is_later =
            |latest: &Option<Arc<Snapshot>>| latest.as_ref().is_some_and(|snapshot| snapshot.began >= asked);
        let later = timeout(LOOK_WITHIN, listener.0.wait_for(is_later));
        let later = self.0.shutdown.run_until_cancelled(later).await;
        later.and_then(|latest| latest.ok()?.ok()?.clone()).ok_or_else(problems::timed_out)
    }
}

impl Listener {
    /// What is there, if it is fresh, else what comes next; `None` once nothing comes any more.
    pub(crate) async fn fresh(&mut self) -> Option<Arc<Snapshot>> {
        let fresh = |latest: &Option<Arc<Snapshot>>| {
            latest.as_ref().is_some_and(|snapshot| snapshot.built.elapsed() < FRESH)
        };
        self.0.wait_for(fresh).await.ok()?.clone()
    }

    /// What comes next.
    pub(crate) async fn next(&mut self) -> Option<Arc<Snapshot>> {
        self.0.changed().await.ok()?;
        self.0.borrow_and_update().clone()
    }
}
