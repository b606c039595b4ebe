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
            "key (--set key): unknown key",
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
        "producer.tail_subscribers_max",
        "producer.tail_buffer",
        "producer.tail_buffer_bytes",
        "producer.ndjson_requests_max",
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
    assert_refused("console.producer_url=ftp://host/", "allowed: http://host[:port] or https://host[:port]");
    assert_refused("console.analytics_url=host:8081", "allowed: http://host[:port] or https://host[:port]");
    assert_refused("http.max_connections=0", "is 0; allowed: from 1 to 100000");
    assert_refused("http.max_uri_bytes=65001", "is 65001; allowed: from 128 to 65000");
    assert_refused("http.max_header_bytes=1023", "is 1023; allowed: from 1024 to 1048576");
    assert_refused("http.http2_max_streams=0", "is 0; allowed: from 1 to 10000");
    for time in ["header_timeout", "idle_timeout", "body_timeout", "write_timeout"] {
        assert_refused(&format!("http.{time}=9ms"), "9ms is too short; allowed: at least 10ms");
    }
    assert_refused("tls.reload_interval=999ms", "999ms is too short; allowed: at least 1s");
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
fn half_of_tls_is_refused() {
    for (given, missing) in [
        ("tls.cert", "tls.key"),
        ("tls.key", "tls.cert"),
        ("tls.client_cert", "tls.client_key"),
        ("tls.client_key", "tls.client_cert"),
        ("redis.tls_key", "redis.tls_cert"),
    ] {
        assert_refused(
            &format!("{given}=x.pem"),
            &format!("{missing} (default): is empty, and {given} is set"),
        );
    }
    assert_refused("tls.client_ca=x.pem", "is set without tls.cert; allowed: with tls.cert and tls.key");
    assert_refused("tls.ops=true", "is set without tls.cert");
    let whole = ["tls.cert=a", "tls.key=b", "tls.ops=true", "tls.client_ca=c", "tls.ca=d"];
    assert!(load(&args(&whole), &[]).is_ok());
}

#[test]
fn what_does_not_go_with_the_redis_url_is_refused() {
    assert_refused(
        "redis.tls_ca=ca.pem",
        "redis.url (redis://) does not ask for TLS; allowed: with a URL of scheme rediss",
    );
    assert_refused("redis.url=rediss://host/#insecure", "a certificate is always verified");
    for (beside, url) in [("password=p", "redis://:q@host/"), ("username=u", "redis://v@host/")] {
        let lines = refused(&args(&[&format!("redis.{beside}"), &format!("redis.url={url}")]), &[]);
        assert!(
            lines[0].contains("is set, and redis.url holds one as well; allowed: one of the two"),
            "{lines:?}"
        );
    }
    let all = ["redis.url=rediss://host/", "redis.tls_ca=a", "redis.tls_cert=b", "redis.tls_key=c"];
    assert!(load(&args(&all), &[]).is_ok());
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

#[test]
fn keys_are_checked_entry_by_entry_and_never_shown() {
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let keys = format!(
        "auth.keys=[{{id=\"a\",sha256=\"{sha256}\",scopes=[\"read\"],rate=1}}, {{id=\"a\",sha256=\"s3cret\",scopes=[]}}, \
         {{id=\"b c\",scopes=\"read\",burst=5}}, \
         {{id=\"d\",sha256=\"{sha256}\",scopes=[\"admin\"],rate_per_second=0,expires=\"tomorrow\"}}]"
    );
    let lines = refused(&args(&[&keys]), &[]);
    let told: Vec<_> = lines.iter().map(|line| line.split(';').next().unwrap()).collect();
    assert_eq!(
        told,
        [
            "auth.keys[0].rate (--set auth.keys): unknown key",
            "auth.keys[1].sha256 (--set auth.keys): the value is not allowed",
            "auth.keys[1].scopes (--set auth.keys): the value is not allowed",
            "auth.keys[2].id (--set auth.keys): the value is not allowed",
            "auth.keys[2].sha256 (--set auth.keys): is missing",
            "auth.keys[2].scopes (--set auth.keys): the value is not allowed",
            "auth.keys[2].burst (--set auth.keys): is there without rate_per_second",
            "auth.keys[3].rate_per_second (--set auth.keys): the value is not allowed",
            "auth.keys[3].expires (--set auth.keys): the value is not allowed",
            "auth.keys (--set auth.keys): \"a\" and \"d\" have the same sha256",
        ]
    );
    assert!(!lines.concat().contains("s3cret"));

    let lines = refused(&args(&["auth.keys=ofk_a_s3cret"]), &[]);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("orderflow key new") && !lines[0].contains("s3cret"), "{lines:?}");
}

#[test]
fn a_rate_for_everybody_is_none_or_a_real_one() {
    for rate in ["0", "0.001", "1000000"] {
        load(&args(&[&format!("auth.anonymous_rate_per_second={rate}")]), &[]).unwrap();
    }
    for rate in ["-1", "0.0001", "1000001"] {
        let lines = refused(&args(&[&format!("auth.anonymous_rate_per_second={rate}")]), &[]);
        assert!(lines[0].starts_with("auth.anonymous_rate_per_second "), "{lines:?}");
    }
}
