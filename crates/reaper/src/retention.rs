//! Enforcing retention: by length, by age, or by age but never past what groups still need.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{IntCounter, IntGauge};
use service_kit::{
    Context, Redis,
    config::{Retention as Settings, RetentionPolicy},
};
use stream_core::{Error, ErrorKind, EventStream, MaxLen, Precision, StreamId};

/// Trims of one round. Each is short, of 10,000 entries unless the server's nodes are set otherwise, so that it
/// does not hold the server up; what is left comes with the next round.
const CALLS_MAX: usize = 200;

pub(crate) struct Retention {
    stream: EventStream,
    settings: Settings,
    trimmed: IntCounter,
    held: IntGauge,
    held_by: Option<String>,
}

impl Retention {
    pub(crate) fn new(redis: &Redis, context: &Context) -> anyhow::Result<Self> {
        let trimmed =
            IntCounter::new("stream_entries_trimmed_total", "Entries that this reaper's retention removed")?;
        let held =
            IntGauge::new("stream_retention_held", "1 while a group keeps retention from removing by age")?;
        context.registry.register(Box::new(trimmed.clone()))?;
        context.registry.register(Box::new(held.clone()))?;
        let settings = context.settings.retention.clone();
        Ok(Self { stream: redis.stream.clone(), settings, trimmed, held, held_by: None })
    }

    /// Trims what may go now, until nothing more goes.
    pub(crate) async fn enforce(&mut self) -> Result<(), Error> {
        let cutoff = self.cutoff();
        let mut total = 0;
        for _ in 0..CALLS_MAX {
            let removed = self.trim(cutoff).await?;
            self.trimmed.inc_by(removed);
            total += removed;
            if removed == 0 {
                break;
            }
        }
        if total > 0 {
            tracing::debug!(removed = total, policy = self.settings.policy.as_str(), "trimmed");
        }
        Ok(())
    }

    async fn trim(&mut self, cutoff: StreamId) -> Result<u64, Error> {
        match self.settings.policy {
            RetentionPolicy::Maxlen => {
                // Producers cap at each append; this also holds for entries that other tools append.
                let max_len = MaxLen { entries: self.settings.maxlen, precision: Precision::Approximate };
                self.stream.trim_to_length(max_len).await
            }
            RetentionPolicy::Age => self.stream.trim_before(cutoff, Precision::Approximate).await,
            RetentionPolicy::Guarded => self.guarded(cutoff).await,
        }
    }

    async fn guarded(&mut self, cutoff: StreamId) -> Result<u64, Error> {
        let trim = match self.stream.trim_guarded(cutoff, &self.settings.groups).await {
            Ok(trim) => trim,
            Err(error) if error.kind() == ErrorKind::NoGroup => return Ok(0),
            Err(error) => return Err(error),
        };
        if trim.removed > 0 {
            // Old entries may be left because of this call's bound; whether a group holds them shows at the end.
            return Ok(trim.removed);
        }
        self.held.set(i64::from(trim.held_by.is_some()));
        if trim.held_by != self.held_by {
            if let Some(group) = &trim.held_by {
                tracing::warn!(group, limit = %trim.limit, "this group needs entries older than retention.age; they stay");
            }
            self.held_by = trim.held_by;
        }
        Ok(0)
    }

    /// Whether a group holds entries is the active reaper's to say.
    pub(crate) fn forget(&mut self) {
        self.held.set(0);
        self.held_by = None;
    }

    /// The oldest ID to keep. Age is the entry's, by its ID: event times may lie decades back.
    fn cutoff(&self) -> StreamId {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        StreamId::new(now.saturating_sub(self.settings.age).as_millis() as u64, 0)
    }
}
