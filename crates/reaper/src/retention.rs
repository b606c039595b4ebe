//! Enforcing retention: by length, by age, or by age but never past what groups still need.

use prometheus::{IntCounter, IntGauge};
use service_kit::{
    Context, Redis,
    config::{Retention as Settings, RetentionPolicy},
};
use stream_core::{
    Error, EventStream, RegisteredConsumer, Retained, RetentionRule, ServerInfo, Standing, StreamId,
};

use crate::{
    patience::Patience,
    retention_metrics::{Reading, RetentionMetrics},
};

/// Trims of one round. Each is short, of 10,000 entries unless the server's nodes are set otherwise, so that it
/// does not hold the server up; what is left comes with the next round.
const CALLS_MAX: usize = 200;

pub(crate) struct Retention {
    stream: EventStream,
    settings: Settings,
    trimmed: IntCounter,
    held: IntGauge,
    held_by: Option<String>,
    patience: Patience,
    metrics: RetentionMetrics,
}

impl Retention {
    pub(crate) fn new(redis: &Redis, context: &Context) -> anyhow::Result<Self> {
        let trimmed =
            IntCounter::new("stream_entries_trimmed_total", "Entries that this reaper's retention removed")?;
        let held =
            IntGauge::new("stream_retention_held", "1 while a group keeps retention from removing by age")?;
        context.registry.register(Box::new(trimmed.clone()))?;
        context.registry.register(Box::new(held.clone()))?;
        let metrics = RetentionMetrics::register(&context.registry, redis.stream.key().as_str())?;
        let settings = context.settings.retention.clone();
        let stream = redis.stream.clone();
        Ok(Self { stream, settings, trimmed, held, held_by: None, patience: Patience::default(), metrics })
    }

    /// Trims what may go now, until nothing more goes, and shows how the groups stand.
    pub(crate) async fn enforce(&mut self, lease_value: &str) -> Result<(), Error> {
        if self.patience.is_new() {
            self.patience.begin(self.stream.retention_losses().await?);
        }
        let result = self.trim_all(lease_value).await;
        match &result {
            Ok(Some(reading)) => self.report(reading),
            // Old figures would pass for new ones.
            Ok(None) | Err(_) => self.metrics.clear(),
        }
        result.map(|reading| self.metrics.show(reading))
    }

    /// What the last of the calls found; `None` once the role is lost.
    async fn trim_all(&self, lease_value: &str) -> Result<Option<Reading>, Error> {
        let rule = self.rule().await?;
        let registered = if rule.as_ref().is_some_and(|rule| rule.guarded) {
            self.stream.registered_consumers().await?
        } else {
            Vec::new()
        };
        let (mut total, mut last) = (0, None);
        for _ in 0..CALLS_MAX {
            let retained = self.trim(rule.as_ref(), &registered, lease_value).await?;
            let Some(retained) = retained else { return Ok(None) };
            let removed = retained.removed;
            last = Some(retained);
            self.trimmed.inc_by(removed);
            total += removed;
            if removed == 0 {
                break;
            }
        }
        if total > 0 {
            tracing::debug!(removed = total, policy = self.settings.policy.as_str(), "trimmed");
        }
        Ok(last.map(|retained| Reading { rule, retained }))
    }

    async fn trim(
        &self,
        rule: Option<&RetentionRule>,
        registered: &[RegisteredConsumer],
        lease_value: &str,
    ) -> Result<Option<Retained>, Error> {
        match rule {
            Some(rule) => self.stream.retain(rule, registered, lease_value).await,
            // Producers cap at each append; this also holds for entries that other tools append.
            None => self.stream.cap_length(self.settings.maxlen, lease_value).await,
        }
    }

    /// Logs what an operator should know.
    fn report(&mut self, Reading { rule, retained }: &Reading) {
        let Some(rule) = rule else { return self.patience.losses(retained) };
        self.held.set(i64::from(retained.held_by.is_some()));
        if retained.held_by != self.held_by {
            if let Some(holder) = &retained.held_by {
                log_holder(holder, rule, retained);
            }
            self.held_by.clone_from(&retained.held_by);
        }
        self.patience.silences(rule, retained);
        self.patience.losses(retained);
    }

    /// Whether a group holds entries is the active reaper's to say.
    pub(crate) fn forget(&mut self) {
        self.held.set(0);
        self.held_by = None;
        self.patience = Patience::default();
        self.metrics.clear();
    }

    /// What goes by age; `None` where the length decides. Age is the entry's, by its ID, and so by the clock that IDs
    /// come from, the server's: event times may lie decades back, and this machine's clock may be wrong.
    async fn rule(&self) -> Result<Option<RetentionRule>, Error> {
        let guarded = match self.settings.policy {
            RetentionPolicy::Maxlen => return Ok(None),
            RetentionPolicy::Age => false,
            RetentionPolicy::Guarded => true,
        };
        let now = ServerInfo::clock(self.stream.connection()).await?;
        Ok(Some(RetentionRule {
            cutoff: StreamId::new(now.saturating_sub(self.settings.age).as_millis() as u64, 0),
            guarded,
            required: self.settings.groups.clone(),
            stale_after: self.settings.stale_group_after,
        }))
    }
}

/// Says who holds retention back, and until when.
fn log_holder(holder: &str, rule: &RetentionRule, retained: &Retained) {
    let limit = retained.limit;
    let found = retained.groups.iter().find(|group| group.name == holder);
    if let Some(group) = found.filter(|group| group.standing == Standing::Waiting) {
        let wait_seconds = rule.stale_after.saturating_sub(group.silent).as_secs();
        tracing::warn!(
            group = holder,
            %limit,
            wait_seconds,
            "this group needs entries older than retention.age; they stay until it acks them or has been silent \
             for retention.stale_group_after"
        );
    } else if rule.required.iter().any(|name| name == holder) {
        tracing::warn!(
            group = holder,
            %limit,
            "this group needs entries older than retention.age; they stay until it acks them, as it is one of \
             retention.groups"
        );
    } else if holder.starts_with("rebuild:") {
        tracing::warn!(
            holder,
            %limit,
            "a rebuild needs entries older than retention.age; they stay until it has read them, or nobody goes on with it"
        );
    } else {
        tracing::warn!(
            group = holder,
            %limit,
            "this group was destroyed under its consumers; entries older than retention.age stay until they have \
             recreated it"
        );
    }
}
