//! What is refused, and what the messages say.

use super::super::ConfigArgs;
use super::{args, load, refused};

#[test]
fn every_mistake_is_reported_at_once_with_its_source() {
    let flags = ConfigArgs { log_format: Some("xml".to_owned()), ..args(&["worker.block=fast", "reaper"]) };
    let environment = [
        ("ORDERFLOW__PRODUCER__LISTEN", "localhost"),
        ("ORDERFLOW__WORKER__CONCURENCY", "8"),
        ("ORDERFLOW__WORKER__READ_COUNT", "-1"),
        ("ORDERFLOW__STREAM__KEY", ""),
    ];
    let lines = refused(&flags, &environment);
    assert_eq!(
        lines,
        [
            "reaper (--set): has no value; allowed: section.key=value",
            "worker.concurency (ORDERFLOW__WORKER__CONCURENCY): unknown key; did you mean ORDERFLOW__WORKER__CONCURRENCY?",
            "producer.listen (ORDERFLOW__PRODUCER__LISTEN): \"localhost\" is not allowed; allowed: IP:port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080",
            "worker.read_count (ORDERFLOW__WORKER__READ_COUNT): \"-1\" is not allowed; allowed: a whole number, not negative",
            "worker.block (--set worker.block): \"fast\" is not allowed; allowed: a number and a unit, such as \"250ms\", \"5s\", \"2m\", \"1h\" or \"7d\"",
            "log.format (--log-format): \"xml\" is not allowed; allowed: human or json",
            "stream.key (ORDERFLOW__STREAM__KEY): is empty; allowed: the key of a stream, such as events:orders",
        ]
    );
}

#[test]
fn unknown_keys_are_refused_in_every_layer() {
    let lines = refused(
        &args(&[
            "key=1",
            "retention.polcy=age",
            "wholly.different=1",
            "redis=1",
            "notifications.templates=x",
        ]),
        &[("ORDERFLOW__REDIS__URI", "redis://host/"), ("ORDERFLOW_REDIS_URL", "not ours")],
    );
    assert_eq!(
        lines,
        [
            "redis.uri (ORDERFLOW__REDIS__URI): unknown key; did you mean ORDERFLOW__REDIS__URL?",
            "key (--set key): unknown key; did you mean stream.key?",
            "notifications.templates (--set notifications.templates): is a table, not a value",
            "redis (--set redis): is a table, not a value",
            "retention.polcy (--set retention.polcy): unknown key; did you mean retention.policy?",
            "wholly.different (--set wholly.different): unknown key",
        ]
    );
}

#[test]
fn a_token_that_cannot_be_used_is_refused_without_showing_it() {
    for token in ["short-s3cret", "0123456789abcdef s3cret", "0123456789abcdef-s3cr\u{e9}t"] {
        for key in ["admin.token", "console.token"] {
            let lines = refused(&args(&[&format!("{key}={token}")]), &[]);
            assert_eq!(lines.len(), 1);
            assert!(lines[0].starts_with(&format!("{key} (--set {key}): cannot be used")), "{lines:?}");
            assert!(!lines[0].contains("s3cr"), "{lines:?}");
        }
    }
    assert!(load(&args(&["admin.token=0123456789abcdef", "admin.fault_injection=true"]), &[]).is_ok());
}

/// One assignment that must be refused, and what its message must contain.
fn assert_refused(assignment: &str, expected: &str) {
    let lines = refused(&args(&[assignment]), &[]);
    assert!(lines.iter().any(|line| line.contains(expected)), "{assignment}: {lines:?}");
}

#[test]
fn values_out_of_range_are_refused() {
    for count in [
        "producer.body_limit_bytes",
        "producer.queue_capacity",
        "producer.batch_max",
        "producer.pipelines_in_flight",
        "producer.durability_replicas",
        "worker.read_count",
        "worker.max_in_flight",
        "worker.concurrency",
        "worker.max_deliveries",
        "analytics.batch_max",
        "analytics.history_max",
        "console.subscribers_max",
        "console.subscriber_buffer",
        "retention.maxlen",
        "retention.hard_cap_memory_percent",
        "retention.hard_cap_entries",
    ] {
        assert_refused(&format!("{count}=0"), "is 0; allowed: at least 1");
    }
    assert_refused("redis.blocking_margin=4s", "4s is too short; allowed: at least 5s");
    assert_refused("worker.max_in_flight=10001", "is 10001; allowed: at most 10000");
    assert_refused("retention.hard_cap_memory_percent=101", "is 101; allowed: from 1 to 100");
    assert_refused("retention.stale_group_after=0s", "0s is too short; allowed: at least 1ms");
    assert_refused("producer.event_ids_max=1", "is 1; allowed: at least 2");
    assert_refused("producer.durability=disk", "\"disk\" is not allowed; allowed: none, replica or fsync");
    assert_refused("worker.block=0s", "0s is too short; allowed: at least 1ms");
    assert_refused("redis.response_timeout=0ms", "is too short; allowed: more than zero");
    assert_refused("redis.response_timeout=-5s", "is not allowed");
    assert_refused("redis.url=http://host/", "has a scheme that is not Redis's");
    assert_refused("redis.url=host", "is not a URL");
    assert_refused("log.filter=info,=,", "log.filter");
    assert_refused("stream.event_types=", "is empty; allowed: at least one");
    assert_refused("worker.names=a,b,a", "holds \"a\" twice");
    assert_refused("worker.names=a b", "holds \"a b\"");
    assert_refused("worker.names=[\"a\"]", "comma separated, without brackets");
    assert_refused("notifications.channels=pigeon", "allowed: a list of: log");
    assert_refused("retention.policy=none", "allowed: guarded, age or maxlen");
    assert_refused("console.subscribers_max=10001", "is 10001; allowed: at most 10000");
    assert_refused("console.request_deadline=0s", "is too short; allowed: more than zero");
    assert_refused(
        "console.producer_url=https://host/",
        "allowed: http://host[:port] (TLS is not supported)",
    );
    assert_refused("console.analytics_url=host:8081", "allowed: http://host[:port] (TLS is not supported)");
    assert_refused("console.seed_consumers=worker-a", "holds \"worker-a\"; allowed: group/consumer");
    assert_refused("console.allowed_hosts=a,a", "holds \"a\" twice");
    assert_refused("console.allowed_hosts=a:8788", "without scheme and port");
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    assert_refused(
        "worker.lease_renew_interval=2500ms",
        "2500ms is too long for worker.claim_min_idle = 5s (default): entries in flight would be claimed before they are renewed; allowed: below half of worker.claim_min_idle, that is below 2500ms",
    );
    assert_refused("worker.lease_ttl=2s", "consumer names would be lost between two renewals");
    assert_refused(
        "worker.drain_timeout=10s",
        "10s is too long for shutdown.grace = 10s (default): the process would be killed before it has drained; allowed: below shutdown.grace, that is below 10s",
    );
    assert_refused("shutdown.grace=8s", "too long for shutdown.grace = 8s (--set shutdown.grace)");
    assert_refused("worker.block=8s", "the last read would outlast the drain");
    assert_refused("producer.request_deadline=8s", "requests in flight would be cut off by the drain");
    assert_refused("reaper.interval=5s", "the active reaper would lose its lease");
    assert_refused(
        "producer.queue_capacity=100",
        "200 is above producer.queue_capacity; allowed: at most 100",
    );
    assert!(load(&args(&["worker.lease_renew_interval=2499ms", "worker.drain_timeout=9999ms"]), &[]).is_ok());
}

#[test]
fn a_value_that_could_not_be_read_is_not_compared() {
    let lines = refused(&args(&["shutdown.grace=soon", "worker.drain_timeout=1h"]), &[]);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn a_stream_key_with_braces_needs_a_hash_tag() {
    for key in ["events:{}", "events:{", "events:}", "}{", "{}{tenant}", "a}b{c"] {
        assert_refused(&format!("stream.key={key}"), "has a brace but no hash tag");
    }
    for key in ["events:orders:{tenant_a}", "{a}{}", "}{a}", "plain"] {
        assert!(load(&args(&[&format!("stream.key={key}")]), &[]).is_ok(), "{key}");
    }
}

#[test]
fn messages_never_hold_the_password() {
    for url in ["redis://:s3cret@host:port/", "http://:s3cret@host/", "s3cret"] {
        let lines = refused(&args(&[&format!("redis.url={url}")]), &[]);
        assert!(!lines.concat().contains("s3cret"), "{lines:?}");
    }
}
