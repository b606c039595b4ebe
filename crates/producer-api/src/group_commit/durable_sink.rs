//! Where pipelines go whose events must be on replicas or on disk: the stream, over a connection of their own.

use std::{sync::Arc, time::Duration};

use service_kit::config::{Durability, Producer};
use stream_core::{self as core, Connector, DurableAppender, DurableBatch, DurableError, EventStream};
use tokio::{sync::Mutex, time::Instant};

use super::{
    Cause, Failure,
    sink::{Appended, Sink, entries},
};
use crate::{
    dedup::{Memories, NewEvent},
    metrics::{Confirmation, Metrics},
};

/// Left of a request's time when the wait ends, to say what became of it.
const ANSWER_MARGIN: Duration = Duration::from_millis(100);

/// The shortest wait: a request that has less time left ends first, rather than spoiling it for those beside it.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// The stream, until what is written is confirmed.
#[derive(Debug, Clone)]
pub(crate) struct DurableSink {
    durability: Durability,
    /// One pipeline at a time: the connection is held up while the server waits.
    appender: Arc<Mutex<DurableAppender>>,
    wait_max: Duration,
    memories: Memories,
    metrics: Metrics,
}

impl DurableSink {
    /// A connection of its own; `None` if nothing is to be waited for.
    pub(crate) fn new(
        durability: Durability,
        stream: &EventStream,
        connector: &Connector,
        memories: &Memories,
        settings: &Producer,
        metrics: &Metrics,
    ) -> Option<Self> {
        let goal = match durability {
            Durability::None => return None,
            Durability::Replica => core::Durability::Replicas(settings.durability_replicas),
            Durability::Fsync => core::Durability::Fsync,
        };
        let appender = DurableAppender::new(stream.clone(), connector.clone(), goal);
        Some(Self {
            durability,
            appender: Arc::new(Mutex::new(appender)),
            wait_max: settings.durability_timeout,
            memories: memories.clone(),
            metrics: metrics.clone(),
        })
    }

    fn confirmation(&self, confirmation: Confirmation) {
        self.metrics.confirmation(self.durability, confirmation);
    }
}

impl Sink for DurableSink {
    async fn append(&self, events: &[&NewEvent], deadline: Instant) -> Appended {
        let mut appender = self.appender.lock().await;
        let left = deadline.saturating_duration_since(Instant::now() + ANSWER_MARGIN);
        let wait = self.wait_max.min(left.max(WAIT_MIN));
        let refused = |failure, error: &DurableError| Appended {
            outcomes: vec![Err(failure); events.len()],
            error: Some(error.to_string()),
            ..Appended::default()
        };
        match appender.append_batch(entries(events, &self.memories), wait).await {
            Ok(DurableBatch { batch, confirmed }) => {
                let mut written = Appended::of(events, batch);
                if written.outcomes.iter().any(Result::is_ok) {
                    let confirmation =
                        if confirmed { Confirmation::Confirmed } else { Confirmation::NotConfirmed };
                    self.confirmation(confirmation);
                }
                if !confirmed {
                    for outcome in &mut written.outcomes {
                        *outcome = outcome.and_then(|stored| Err(Failure::not_confirmed(stored)));
                    }
                    written.error.get_or_insert_with(|| format!("not confirmed within {wait:?}"));
                }
                written
            }
            Err(error) => {
                let cause = match &error {
                    DurableError::CannotConfirm(why) => {
                        self.confirmation(Confirmation::Impossible);
                        Cause::CannotConfirm(*why)
                    }
                    DurableError::NotAsked(error) => Cause::Redis(error.kind()),
                    _ => Cause::Redis(core::ErrorKind::Server),
                };
                refused(Failure::not_stored(cause), &error)
            }
        }
    }
}
