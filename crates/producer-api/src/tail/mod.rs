//! The live tail: events as they are added, told to any bounded number of subscribers from one reader.
//!
//! A subscriber that names the last event it got is given what came after it in pages, until the feed holds the rest;
//! from then on, whatever the feed tells. IDs join the two without a gap and without telling anything twice.

mod frames;
mod past;
mod subscriber;
mod told;

use std::{sync::Arc, time::Duration};

use service_kit::{Redis, config::Producer};
use stream_core::{Error, EventStream, Feed, FeedBounds, StreamId};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(crate) use self::subscriber::Subscriber;
use self::{past::Past, told::Told};
use crate::{filter::EventFilter, metrics::Metrics};

/// The live tail. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Tails(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    feed: Feed<Told>,
    past: Past,
    /// One for each subscriber that there may be.
    slots: Arc<Semaphore>,
    heartbeat: Duration,
    metrics: Metrics,
    shutdown: CancellationToken,
}

impl Tails {
    /// Reads nothing until somebody subscribes.
    pub(crate) fn new(
        redis: &Redis,
        settings: &Producer,
        metrics: Metrics,
        shutdown: CancellationToken,
    ) -> Result<Self, Error> {
        let bounds = FeedBounds { entries: settings.tail_buffer, bytes: settings.tail_buffer_bytes };
        let make = |entry| {
            let told = Told::of(&entry);
            let bytes = told.frame.len();
            (told, bytes)
        };
        let feed = Feed::new(redis.connector.clone(), redis.stream.clone(), bounds, shutdown.clone(), make);
        // A connection of its own, so that what is read here delays no append.
        let past = Past::new(EventStream::new(redis.connector.commands()?, redis.stream.key().clone()));
        let slots = Arc::new(Semaphore::new(settings.tail_subscribers_max));
        let heartbeat = settings.tail_heartbeat;
        Ok(Self(Arc::new(Shared { feed, past, slots, heartbeat, metrics, shutdown })))
    }

    /// Subscribes to the events that fit `filter` and were added after `after`, or from now on. `None`: as many as may
    /// have subscribed.
    pub(crate) async fn subscribe(&self, filter: EventFilter, after: Option<StreamId>) -> Option<Subscriber> {
        let permit = Arc::clone(&self.0.slots).try_acquire_owned().ok()?;
        let counted = self.0.metrics.subscribed();
        let listener = self.0.feed.listen().await;
        Some(Subscriber::new(Arc::clone(&self.0), (permit, counted), listener, filter, after))
    }
}
