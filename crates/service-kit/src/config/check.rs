//! Ranges and relations that the type of a setting cannot express.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Settings;
use super::error::ConfigError;
use super::layer::Leaves;
use super::value::friendly;

/// Some servers restart the BLOCK timer when another consumer takes the entry.
const BLOCKING_MARGIN_MIN: Duration = Duration::from_secs(5);
/// One script renews the leases of all entries in flight, and looks at about so many rows.
const MAX_IN_FLIGHT_MAX: usize = 10_000;
/// Each has a connection, and a buffer that it shares with the others.
const SUBSCRIBERS_MAX: usize = 10_000;
const SUBSCRIBER_BUFFER_MAX: usize = 100_000;
const RETRY_FACTOR: (f64, f64) = (1.0, 10.0);
const RETRY_JITTER: (f64, f64) = (0.0, 1.0);
/// An entry that waits is held in memory and renewed; beyond this it is a matter for dead letters.
const RETRY_CAP_MAX: Duration = Duration::from_hours(1);
/// What a busy machine may need to read what has arrived.
const HTTP_DURATION_MIN: Duration = Duration::from_millis(10);
const RELOAD_INTERVAL_MIN: Duration = Duration::from_secs(1);
const CONNECTIONS: (usize, usize) = (1, 100_000);
const HEADER_BYTES: (usize, usize) = (1 << 10, 1 << 20);
/// hyper's own bound is 65534.
const URI_BYTES: (usize, usize) = (128, 65_000);
const HTTP2_STREAMS: (usize, usize) = (1, 10_000);
/// Redis counts in whole milliseconds, and a BLOCK of 0 would wait for ever.
const REDIS_DURATION_MIN: Duration = Duration::from_millis(1);

/// A rate limit, where it is not 0.
const RATE: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;

/// Collects what is wrong with settings that were read; skips a key that could not be read.
pub(super) struct Checker<'a> {
    leaves: &'a Leaves,
    failed: BTreeSet<&'static str>,
    errors: Vec<ConfigError>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(leaves: &'a Leaves, failed: BTreeSet<&'static str>, errors: Vec<ConfigError>) -> Self {
        Self { leaves, failed, errors }
    }

    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors
    }

    pub(super) fn check(&mut self, settings: &Settings) {
        self.texts(settings);
        self.lists(settings);
        self.counts(settings);
        self.durations(settings);
        self.relations(settings);
        self.notifications(settings);
        self.tls(settings);
    }

    fn lists(&mut self, settings: &Settings) {
        self.names("stream.event_types", &settings.stream.event_types);
        self.names("worker.names", &settings.worker.names);
        self.names("retention.groups", &settings.retention.groups);
        self.names("console.allowed_hosts", &settings.console.allowed_hosts);
        for host in settings.console.allowed_hosts.iter().filter(|host| host.contains([':', '/'])) {
            // It is compared with the host of a request alone, and would never be the same.
            self.fail(
                "console.allowed_hosts",
                format!("holds {host:?}"),
                "names of hosts, without scheme and port",
            );
        }
        self.names("console.seed_consumers", &settings.console.seed_consumers);
        for seed in &settings.console.seed_consumers {
            // A group's name may contain a slash; a consumer's is what follows the last one.
            if !seed
                .rsplit_once('/')
                .is_some_and(|(group, consumer)| !group.is_empty() && !consumer.is_empty())
            {
                self.fail(
                    "console.seed_consumers",
                    format!("holds {seed:?}"),
                    "group/consumer, such as analytics/worker-c",
                );
            }
        }
        let channels: Vec<_> = settings.notifications.channels.iter().map(ToString::to_string).collect();
        self.names("notifications.channels", &channels);
        for (key, is_empty) in [
            ("stream.event_types", settings.stream.event_types.is_empty()),
            ("notifications.channels", channels.is_empty()),
        ] {
            if is_empty {
                self.fail(key, "is empty", "at least one");
            }
        }
    }

    pub(super) fn names(&mut self, key: &'static str, names: &[String]) {
        let mut seen = BTreeSet::new();
        for name in names {
            if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
                self.fail(key, format!("holds {name:?}"), "names without spaces, not empty");
            } else if !seen.insert(name) {
                self.fail(key, format!("holds {name:?} twice"), "each name once");
            }
        }
    }

    fn counts(&mut self, settings: &Settings) {
        let Settings { producer, worker, analytics, console, retention, .. } = settings;
        for (key, count) in [
            ("producer.body_limit_bytes", producer.body_limit_bytes as u64),
            ("producer.queue_capacity", producer.queue_capacity as u64),
            ("producer.batch_max", producer.batch_max as u64),
            ("producer.pipelines_in_flight", producer.pipelines_in_flight as u64),
            ("producer.durability_replicas", u64::from(producer.durability_replicas)),
            ("producer.tail_subscribers_max", producer.tail_subscribers_max as u64),
            ("producer.tail_buffer", producer.tail_buffer as u64),
            ("producer.tail_buffer_bytes", producer.tail_buffer_bytes as u64),
            ("producer.ndjson_requests_max", producer.ndjson_requests_max as u64),
            ("worker.read_count", worker.read_count as u64),
            ("worker.max_in_flight", worker.max_in_flight as u64),
            ("worker.concurrency", worker.concurrency as u64),
            ("worker.max_deliveries", worker.max_deliveries),
            ("worker.max_parked", worker.max_parked as u64),
            ("analytics.batch_max", analytics.batch_max as u64),
            ("analytics.history_max", analytics.history_max as u64),
            ("console.subscribers_max", console.subscribers_max as u64),
            ("console.subscriber_buffer", console.subscriber_buffer as u64),
            ("retention.maxlen", retention.maxlen),
            ("retention.hard_cap_memory_percent", retention.hard_cap_memory_percent),
            ("retention.hard_cap_entries", retention.hard_cap_entries),
        ] {
            if count == 0 {
                self.fail(key, "is 0", "at least 1");
            }
        }
        for (key, count) in [
            ("producer.idempotency_keys_max", producer.idempotency_keys_max),
            ("producer.event_ids_max", producer.event_ids_max),
        ] {
            if count < 2 {
                self.fail(key, format!("is {count}"), "at least 2");
            }
        }
        for (key, count, max) in [
            ("worker.max_in_flight", worker.max_in_flight, MAX_IN_FLIGHT_MAX),
            ("worker.max_parked", worker.max_parked, MAX_IN_FLIGHT_MAX),
            ("producer.tail_subscribers_max", producer.tail_subscribers_max, SUBSCRIBERS_MAX),
            ("producer.tail_buffer", producer.tail_buffer, SUBSCRIBER_BUFFER_MAX),
            ("console.subscribers_max", console.subscribers_max, SUBSCRIBERS_MAX),
            ("console.subscriber_buffer", console.subscriber_buffer, SUBSCRIBER_BUFFER_MAX),
        ] {
            if count > max {
                self.fail(key, format!("is {count}"), format!("at most {max}"));
            }
        }
        let http = &settings.http;
        for (key, count, (min, max)) in [
            ("http.max_connections", http.max_connections, CONNECTIONS),
            ("http.max_header_bytes", http.max_header_bytes, HEADER_BYTES),
            ("http.max_uri_bytes", http.max_uri_bytes, URI_BYTES),
            ("http.http2_max_streams", http.http2_max_streams, HTTP2_STREAMS),
        ] {
            if !(min..=max).contains(&count) {
                self.fail(key, format!("is {count}"), format!("from {min} to {max}"));
            }
        }
        for (key, number, (min, max)) in [
            ("worker.retry_factor", worker.retry_factor, RETRY_FACTOR),
            ("worker.retry_jitter", worker.retry_jitter, RETRY_JITTER),
        ] {
            if !(min..=max).contains(&number) {
                self.fail(key, format!("is {number}"), format!("from {min} to {max}"));
            }
        }
        let anonymous_rate = settings.auth.anonymous_rate_per_second;
        if anonymous_rate != 0.0 && !RATE.contains(&anonymous_rate) {
            let problem = format!("is {anonymous_rate}");
            self.fail("auth.anonymous_rate_per_second", problem, "0 (no limit), or from 0.001 to 1000000");
        }
        if retention.hard_cap_memory_percent > 100 {
            let problem = format!("is {}", retention.hard_cap_memory_percent);
            self.fail("retention.hard_cap_memory_percent", problem, "from 1 to 100");
        }
        if producer.batch_max > producer.queue_capacity {
            let problem = format!("{} is above producer.queue_capacity", producer.batch_max);
            let allowed = format!("at most {}", producer.queue_capacity);
            self.fail_pair("producer.batch_max", "producer.queue_capacity", problem, allowed);
        }
    }

    fn durations(&mut self, settings: &Settings) {
        let Settings {
            redis, http, producer, worker, analytics, reaper, console, retention, shutdown, ..
        } = settings;
        let above_zero = Duration::from_nanos(1);
        for (key, duration, min) in [
            ("redis.connect_timeout", redis.connect_timeout, above_zero),
            ("redis.response_timeout", redis.response_timeout, above_zero),
            ("redis.blocking_margin", redis.blocking_margin, BLOCKING_MARGIN_MIN),
            ("http.header_timeout", http.header_timeout, HTTP_DURATION_MIN),
            ("http.idle_timeout", http.idle_timeout, HTTP_DURATION_MIN),
            ("http.body_timeout", http.body_timeout, HTTP_DURATION_MIN),
            ("http.write_timeout", http.write_timeout, HTTP_DURATION_MIN),
            ("tls.handshake_timeout", settings.tls.handshake_timeout, HTTP_DURATION_MIN),
            ("tls.reload_interval", settings.tls.reload_interval, RELOAD_INTERVAL_MIN),
            ("producer.request_deadline", producer.request_deadline, above_zero),
            ("producer.idempotency_window", producer.idempotency_window, REDIS_DURATION_MIN),
            ("producer.event_id_window", producer.event_id_window, REDIS_DURATION_MIN),
            ("producer.durability_timeout", producer.durability_timeout, REDIS_DURATION_MIN),
            ("producer.tail_heartbeat", producer.tail_heartbeat, above_zero),
            ("producer.ndjson_idle_timeout", producer.ndjson_idle_timeout, above_zero),
            ("worker.block", worker.block, REDIS_DURATION_MIN),
            ("worker.handler_timeout", worker.handler_timeout, above_zero),
            ("worker.claim_min_idle", worker.claim_min_idle, REDIS_DURATION_MIN),
            ("worker.claim_interval", worker.claim_interval, above_zero),
            ("worker.retry_base", worker.retry_base, REDIS_DURATION_MIN),
            ("worker.retry_cap", worker.retry_cap, REDIS_DURATION_MIN),
            ("worker.drain_timeout", worker.drain_timeout, above_zero),
            ("worker.lease_ttl", worker.lease_ttl, REDIS_DURATION_MIN),
            ("worker.lease_renew_interval", worker.lease_renew_interval, above_zero),
            ("analytics.minute_bucket_ttl", analytics.minute_bucket_ttl, REDIS_DURATION_MIN),
            ("analytics.order_ttl", analytics.order_ttl, REDIS_DURATION_MIN),
            ("analytics.query_deadline", analytics.query_deadline, above_zero),
            ("reaper.interval", reaper.interval, above_zero),
            ("reaper.lease_ttl", reaper.lease_ttl, REDIS_DURATION_MIN),
            ("reaper.consumer_idle_dead_after", reaper.consumer_idle_dead_after, above_zero),
            ("console.request_deadline", console.request_deadline, above_zero),
            ("console.session_ttl", console.session_ttl, above_zero),
            ("retention.age", retention.age, REDIS_DURATION_MIN),
            ("retention.stale_group_after", retention.stale_group_after, REDIS_DURATION_MIN),
            ("shutdown.grace", shutdown.grace, above_zero),
        ] {
            if duration < min {
                let allowed = if min == above_zero {
                    "more than zero".to_owned()
                } else {
                    format!("at least {}", friendly(min))
                };
                self.fail(key, format!("{} is too short", friendly(duration)), allowed);
            }
        }
    }

    /// The reply timeout of a blocking read is `worker.block` + `redis.blocking_margin`; as the
    /// margin is at least five seconds, a read always outlasts its BLOCK and needs no check here.
    fn relations(&mut self, settings: &Settings) {
        let Settings { worker, reaper, shutdown, .. } = settings;
        let renew = worker.lease_renew_interval;
        if worker.retry_base > worker.retry_cap {
            let problem = format!("{} is above worker.retry_cap", friendly(worker.retry_base));
            let allowed = format!("at most {}", friendly(worker.retry_cap));
            self.fail_pair("worker.retry_base", "worker.retry_cap", problem, allowed);
        }
        if worker.retry_cap > RETRY_CAP_MAX {
            let problem = format!("{} is too long", friendly(worker.retry_cap));
            self.fail("worker.retry_cap", problem, format!("at most {}", friendly(RETRY_CAP_MAX)));
        }
        self.below(
            ("worker.lease_renew_interval", renew),
            ("worker.claim_min_idle", worker.claim_min_idle, 2),
            "entries in flight would be claimed before they are renewed",
        );
        self.below(
            ("worker.lease_renew_interval", renew),
            ("worker.lease_ttl", worker.lease_ttl, 2),
            "consumer names would be lost between two renewals",
        );
        self.below(
            ("worker.drain_timeout", worker.drain_timeout),
            ("shutdown.grace", shutdown.grace, 1),
            "the process would be killed before it has drained",
        );
        self.below(
            ("worker.block", worker.block),
            ("worker.drain_timeout", worker.drain_timeout, 1),
            "the last read would outlast the drain",
        );
        self.below(
            ("producer.request_deadline", settings.producer.request_deadline),
            ("worker.drain_timeout", worker.drain_timeout, 1),
            "requests in flight would be cut off by the drain",
        );
        self.below(
            ("reaper.interval", reaper.interval),
            ("reaper.lease_ttl", reaper.lease_ttl, 2),
            "the active reaper would lose its lease between two sweeps",
        );
    }

    /// `value` must be below `limit` divided by its divisor.
    pub(super) fn below(
        &mut self,
        (key, value): (&'static str, Duration),
        (limit_key, limit, divisor): (&'static str, Duration, u32),
        why: &str,
    ) {
        if value < limit / divisor {
            return;
        }
        let share = if divisor == 1 { "" } else { "half of " };
        let source = self.leaves.get(limit_key).map(|leaf| leaf.origin.to_string()).unwrap_or_default();
        let problem = format!(
            "{} is too long for {limit_key} = {} ({source}): {why}",
            friendly(value),
            friendly(limit)
        );
        let allowed = format!("below {share}{limit_key}, that is below {}", friendly(limit / divisor));
        self.fail_pair(key, limit_key, problem, allowed);
    }

    pub(super) fn fail_pair(
        &mut self,
        key: &'static str,
        other: &'static str,
        problem: impl Into<String>,
        allowed: impl Into<String>,
    ) {
        if !self.failed.contains(other) {
            self.fail(key, problem, allowed);
        }
    }

    pub(super) fn fail(&mut self, key: &'static str, problem: impl Into<String>, allowed: impl Into<String>) {
        if self.failed.contains(key) {
            return;
        }
        let origin = &self.leaves[key].origin;
        self.errors.push(ConfigError::new(key, origin, problem).allowed(allowed));
    }
}
