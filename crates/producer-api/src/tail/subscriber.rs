//! [`Subscriber`]: what one client is told, frame by frame, as fast as it takes them.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use stream_core::{Entry, Heard, Listener, News, StreamId};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    Shared, frames,
    past::Bookmark,
    told::{self, Told},
};
use crate::{
    filter::EventFilter,
    metrics::{Subscribed, TailDrop},
};

/// From one attempt to the next to read the past while Redis is away.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// Gives a client's frames. What it holds goes with it, at once when the client does.
#[derive(Debug)]
pub(crate) struct Subscriber {
    shared: Arc<Shared>,
    _slot: (OwnedSemaphorePermit, Subscribed),
    listener: Listener<Told>,
    filter: EventFilter,
    /// Everything up to this entry was told or does not fit. Unknown until Redis has answered once.
    position: Option<StreamId>,
    /// The position that the client knows.
    known: Option<StreamId>,
    phase: Phase,
    /// When the next heartbeat is due.
    due: Instant,
}

#[derive(Debug)]
enum Phase {
    /// Nothing was told yet. What comes then.
    Opening(Option<StreamId>),
    /// It is told what it missed.
    Past {
        entries: VecDeque<Entry>,
        rest: Bookmark,
        begun: bool,
    },
    Live,
    Over,
}

impl Subscriber {
    pub(super) fn new(
        shared: Arc<Shared>,
        slot: (OwnedSemaphorePermit, Subscribed),
        listener: Listener<Told>,
        filter: EventFilter,
        after: Option<StreamId>,
    ) -> Self {
        let position = after.or_else(|| listener.newest());
        let due = Instant::now() + shared.heartbeat;
        let phase = Phase::Opening(after);
        Self { shared, _slot: slot, listener, filter, position, known: None, phase, due }
    }

    /// The next frame, or `None` at the end: the service stops, or the client was too slow.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let shared = Arc::clone(&self.shared);
        loop {
            if matches!(self.phase, Phase::Over) {
                return None;
            }
            let frame = tokio::select! {
                biased;
                () = shared.shutdown.cancelled() => {
                    shared.metrics.tail_dropped(TailDrop::Shutdown);
                    self.phase = Phase::Over;
                    continue;
                }
                frame = self.step() => frame,
            };
            if let Some(frame) = frame {
                self.due = Instant::now() + shared.heartbeat;
                return Some(frame);
            }
        }
    }

    /// One step further, with the frame that comes of it, if any. Nothing is lost if it is dropped.
    async fn step(&mut self) -> Option<Bytes> {
        if let Phase::Opening(after) = self.phase {
            self.begin(after);
            self.known = self.position;
            return Some(frames::opening(self.position));
        }
        if Instant::now() >= self.due {
            let unknown = self.position.filter(|_| self.position != self.known);
            self.known = self.position;
            return Some(frames::heartbeat(unknown));
        }
        match self.phase {
            Phase::Past { .. } => self.past().await,
            Phase::Live => self.live().await,
            Phase::Opening(_) | Phase::Over => None,
        }
    }

    /// What the feed still holds needs no reading.
    fn begin(&mut self, after: Option<StreamId>) {
        let is_held = |after| self.listener.newest().is_some_and(|newest| after <= newest);
        self.phase = match after {
            Some(after) if !(is_held(after) && self.listener.go_on_after(after)) => past_after(after),
            _ => Phase::Live,
        };
    }

    async fn past(&mut self) -> Option<Bytes> {
        let Phase::Past { entries, rest, begun } = &mut self.phase else { return None };
        while let Some(entry) = entries.pop_front() {
            self.position = Some(entry.id);
            if self.filter.fits(&entry) {
                self.known = self.position;
                return Some(told::frame(&entry));
            }
        }
        self.position = Some(rest.after);
        if *begun && self.listener.go_on_after(rest.after) {
            self.phase = Phase::Live;
            return None;
        }
        match timeout_at(self.due, self.shared.past.read(*rest)).await {
            // A heartbeat is due.
            Err(_) => None,
            Ok(Ok(pages)) => {
                let after = rest.after;
                self.phase = Phase::Past { entries: pages.entries, rest: pages.rest, begun: true };
                Some(frames::gap(after, pages.missed?))
            }
            Ok(Err(error)) => {
                self.shared.metrics.redis_error(error.kind());
                sleep_until(self.due.min(Instant::now() + RETRY_EVERY)).await;
                None
            }
        }
    }

    async fn live(&mut self) -> Option<Bytes> {
        // A heartbeat is due if it takes longer.
        let heard = timeout_at(self.due, self.listener.next()).await.ok()?;
        match heard {
            Some(Heard::News(News::Entry(id, told))) => {
                // The feed of another replica may have been further.
                if self.position.is_some_and(|position| id <= position) {
                    return None;
                }
                self.position = Some(id);
                if !told.fits(&self.filter) {
                    return None;
                }
                self.known = self.position;
                Some(told.frame.clone())
            }
            // Heartbeats go on.
            Some(Heard::News(News::Away(_))) => None,
            // The feed goes on where it was; whether anything was trimmed meanwhile, the stream tells.
            Some(Heard::News(News::Back)) => {
                self.phase = self.position.map_or(Phase::Live, past_after);
                None
            }
            Some(Heard::Skipped(_)) => {
                self.shared.metrics.tail_dropped(TailDrop::Slow);
                self.phase = Phase::Over;
                Some(frames::overrun(self.position))
            }
            None => {
                self.phase = Phase::Over;
                None
            }
        }
    }
}

const fn past_after(after: StreamId) -> Phase {
    Phase::Past { entries: VecDeque::new(), rest: Bookmark::after(after), begun: false }
}
