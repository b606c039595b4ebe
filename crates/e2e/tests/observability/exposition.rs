//! `/metrics` of every service: what is in it, by name, and what promtool says of it.

use std::collections::{BTreeMap, BTreeSet};

use e2e::{Pipeline, Role, Service, promtool, succeeded};
use serde_json::json;
use testkit::eventually;

use crate::tools::repository;

const SOON: std::time::Duration = std::time::Duration::from_secs(30);

const ROLES: [Role; 5] = [Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper, Role::Console];
pub(crate) const SERVICES: [&str; 5] =
    ["producer-api", "notifications-worker", "analytics-worker", "reaper", "console"];

/// A metric of one service, as its output describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metric {
    pub(crate) kind: String,
    pub(crate) help: String,
    /// Each label with the values that were seen.
    pub(crate) labels: BTreeMap<String, BTreeSet<String>>,
}

/// The text of `/metrics` of every service, in the order of [`SERVICES`], of a run in which every metric has a series.
pub(crate) async fn scrape_everything() -> Vec<(&'static str, String)> {
    let mut pipeline = Pipeline::new().await;
    let services = pipeline.start_all(ROLES).await;
    let event = json!({ "type": "order.paid", "order_id": "o-1", "customer": "eve", "amount": "1.00" });
    assert_eq!(pipeline.post(event.to_string()).await.0, 201);
    pipeline.settled().await;
    // One that retention does not wait for for ever, and that has something left to do.
    let mut create = redis::cmd("XGROUP");
    create.arg("CREATE").arg(&pipeline.stream).arg("billing").arg("0");
    create.query_async::<()>(&mut pipeline.connection().await).await.expect("the group is created");
    let reaper = &services[3];
    eventually(SOON, "the reaper has seen all of it", async || {
        let text = text(reaper).await;
        for series in [
            "stream_seconds_until_trim{",
            "stream_group_consumer_idle_seconds{",
            "stream_dead_letters_dropped_total{",
        ] {
            if !text.contains(series) {
                return Err(format!("no {series}\n{text}"));
            }
        }
        Ok(())
    })
    .await;
    let mut texts = Vec::new();
    for (name, service) in SERVICES.into_iter().zip(&services) {
        texts.push((name, text(service).await));
    }
    texts
}

async fn text(service: &Service) -> String {
    let answer = reqwest::get(service.ops_url("/metrics")).await.expect("metrics are served");
    answer.text().await.expect("metrics are text")
}

/// The metrics of one service's text.
pub(crate) fn metrics(text: &str) -> BTreeMap<String, Metric> {
    let mut all: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            let metric = Metric { kind: String::new(), help: help.to_owned(), labels: BTreeMap::new() };
            assert!(all.insert(name.to_owned(), metric).is_none(), "{name} is described twice");
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            kind.clone_into(&mut all.get_mut(name).expect("HELP comes before TYPE").kind);
        } else {
            let (name, labels) = series(line);
            let known = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let name = known.filter(|base| all.contains_key(*base)).unwrap_or(name);
            let metric = all.get_mut(name).unwrap_or_else(|| panic!("{name} is not described"));
            for (label, value) in labels {
                metric.labels.entry(label).or_default().insert(value);
            }
        }
    }
    all
}

/// Name and labels of a line `name{label="value",…} 1`.
fn series(line: &str) -> (&str, Vec<(String, String)>) {
    let Some((name, rest)) = line.split_once('{') else {
        return (line.split(' ').next().unwrap_or(line), Vec::new());
    };
    let (labels, _) = rest.rsplit_once('}').expect("labels end");
    let pairs = labels.strip_suffix('"').unwrap_or(labels).split("\",");
    let pair = |pair: &str| {
        let (label, value) = pair.split_once("=\"").expect("a label has a value");
        (label.to_owned(), value.to_owned())
    };
    (name, pairs.map(pair).collect())
}

/// Metrics that the sources make, by the name in the call that makes them.
fn names_in_sources() -> BTreeSet<String> {
    const MAKERS: [&str; 9] = [
        "Opts::new(",
        "IntCounter::new(",
        "IntGauge::new(",
        "Gauge::new(",
        "ints(",
        "floats(",
        "opts(",
        "histogram(",
        "counter(",
    ];
    let mut names = BTreeSet::new();
    let mut dirs = vec![repository("crates")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory of sources") {
            let path = entry.expect("a directory entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() && !["tests", "examples", "e2e", "testkit"].contains(&name.as_str()) {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
                let source = std::fs::read_to_string(path).expect("a source");
                let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                for maker in MAKERS {
                    let calls =
                        source.split(maker).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
                    let literals = calls.filter_map(|rest| rest.split('"').next());
                    let is_name = |text: &&str| {
                        text.contains('_') && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                    };
                    names.extend(literals.filter(is_name).map(str::to_owned));
                }
            }
        }
    }
    names
}

#[tokio::test]
async fn every_service_shows_what_it_should_and_promtool_has_no_complaint() {
    let texts = scrape_everything().await;
    for (service, text) in &texts {
        succeeded(&promtool(["check", "metrics"], text), service);
    }
    let shown: BTreeMap<&str, BTreeMap<String, Metric>> =
        texts.iter().map(|(service, text)| (*service, metrics(text))).collect();
    let has = |service: &str, name: &str| shown[service].contains_key(name);
    for service in SERVICES {
        for name in [
            "build_info",
            "process_resident_memory_bytes",
            "redis_errors_total",
            "redis_up",
            "redis_capability",
        ] {
            assert!(has(service, name), "{service} lacks {name}");
        }
    }
    for service in ["notifications-worker", "analytics-worker"] {
        for name in [
            "worker_deliveries_total",
            "worker_handler_duration_seconds",
            "worker_end_to_end_seconds",
            "worker_in_flight",
            "worker_claims_total",
            "worker_redis_errors_total",
        ] {
            assert!(has(service, name), "{service} lacks {name}");
        }
    }
    for (service, names) in [
        (
            "producer-api",
            &[
                "producer_events_total",
                "producer_request_duration_seconds",
                "producer_append_duration_seconds",
                "producer_append_batch_size",
                "producer_cap_used_ratio",
            ][..],
        ),
        ("notifications-worker", &["notifications_sent_total"]),
        (
            "reaper",
            &[
                "stream_length",
                "stream_entries_added_total",
                "stream_group_lag",
                "stream_group_lag_known",
                "stream_group_lag_seconds",
                "stream_group_messages_pending",
                "stream_group_oldest_pending_age_seconds",
                "stream_group_consumers",
                "stream_group_consumer_messages_pending",
                "stream_group_consumer_idle_seconds",
                "stream_group_entries_lost_total",
                "stream_dead_letters",
                "stream_seconds_until_trim",
                "reaper_sweep_duration_seconds",
                "reaper_leader",
            ],
        ),
    ] {
        for name in names {
            assert!(has(service, name), "{service} lacks {name}");
        }
    }
    let all: BTreeSet<String> = shown.values().flat_map(BTreeMap::keys).cloned().collect();
    let made = names_in_sources();
    assert!(made.len() > 40, "the sources are understood: {made:?}");
    let hidden: Vec<_> = made.difference(&all).collect();
    assert!(hidden.is_empty(), "in the sources and in no output: {hidden:?}");
}
