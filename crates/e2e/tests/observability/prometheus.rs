//! [`Prometheus`]: a real server that scrapes a test's services and evaluates the alert rules, faster than in earnest.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use e2e::Service;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{eventually, free_port};
use url::Url;

use crate::tools::{program, read};

/// How long anything that should happen soon may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// How often the firing alerts are looked at: as often as they are evaluated.
const LOOK: Duration = Duration::from_millis(250);

/// The job of each target stands in the file of targets.
const CONFIG: &str = "
global: {scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 500ms}
rule_files: [recording.yml, alerts.yml]
scrape_configs:
  - {job_name: services, file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]}
";

/// A firing alert: its name, and the group or job that it is about.
pub(crate) type Alert = (String, String);

/// Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Prometheus {
    child: Child,
    url: String,
    dir: TempDir,
    seen: Arc<Mutex<BTreeSet<Alert>>>,
    watch: tokio::task::JoinHandle<()>,
}

impl Prometheus {
    /// Scrapes these services, each a job of its name, twice a second, with the rules sped up.
    pub(crate) async fn start(services: &[(&str, &Service)]) -> Self {
        let dir = TempDir::with_prefix("orderflow-prometheus-").expect("a temporary directory");
        fs::write(dir.path().join("prometheus.yml"), CONFIG).expect("the configuration can be written");
        aim(&dir, services);
        for name in ["recording.yml", "alerts.yml"] {
            let rules = faster(&read(&format!("deploy/prometheus/rules/{name}")));
            fs::write(dir.path().join(name), rules).expect("the rules can be written");
        }
        let port = free_port();
        let log = fs::File::create(dir.path().join("log")).expect("a log file");
        let child = Command::new(program("PROMETHEUS_BIN", "prometheus"))
            .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("prometheus did not start: {error}; deploy/scripts/ensure-prometheus.sh installs it")
            });
        let url = format!("http://127.0.0.1:{port}");
        let seen = Arc::<Mutex<BTreeSet<Alert>>>::default();
        let watch = tokio::spawn(watch(url.clone(), seen.clone()));
        let prometheus = Self { child, url, dir, seen, watch };
        eventually(SOON, "prometheus has scraped every service", async || {
            let up = prometheus
                .query("sum(up)")
                .await
                .map_err(|error| format!("{error}\n{}", prometheus.log()))?;
            if up == Some(services.len() as f64) { Ok(()) } else { Err(format!("up: {up:?}")) }
        })
        .await;
        // Until it had found its targets, every service was down.
        eventually(SOON, "nothing fires any more", async || {
            let firing = prometheus.firing().await;
            if firing.is_empty() { Ok(()) } else { Err(format!("{firing:?}")) }
        })
        .await;
        prometheus.take_seen();
        prometheus
    }

    /// Scrapes these services from here on, and no others.
    pub(crate) fn aim(&self, services: &[(&str, &Service)]) {
        aim(&self.dir, services);
    }

    /// The one value of a query, if it has one.
    pub(crate) async fn query(&self, expression: &str) -> Result<Option<f64>, String> {
        let url = Url::parse_with_params(&format!("{}/api/v1/query", self.url), [("query", expression)]);
        let answer = reqwest::get(url.expect("a URL")).await.map_err(|error| error.to_string())?;
        let answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        let value = answer.pointer("/data/result/0/value/1").and_then(Value::as_str);
        Ok(value.and_then(|text| text.parse().ok()))
    }

    /// What fires now.
    pub(crate) async fn firing(&self) -> BTreeSet<Alert> {
        firing(&self.url).await.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// What was seen to fire since the last call.
    pub(crate) fn take_seen(&self) -> BTreeSet<Alert> {
        std::mem::take(&mut *self.seen.lock().expect("no look panics"))
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.watch.abort();
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn aim(dir: &TempDir, services: &[(&str, &Service)]) {
    let targets = services.iter().map(|(job, service)| {
        let target = service.ops_url("").replace("http://", "");
        json!({ "targets": [target], "labels": { "job": job } })
    });
    let (new, file) = (dir.path().join("targets.new"), dir.path().join("targets.json"));
    // In one step: half a file would be no targets.
    fs::write(&new, json!(targets.collect::<Vec<_>>()).to_string()).expect("the targets can be written");
    fs::rename(new, file).expect("a file can be renamed");
}

async fn watch(url: String, seen: Arc<Mutex<BTreeSet<Alert>>>) {
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        if let Ok(alerts) = firing(&url).await {
            seen.lock().expect("no look panics").extend(alerts);
        }
    }
}

async fn firing(url: &str) -> Result<BTreeSet<Alert>, String> {
    let answer = reqwest::get(format!("{url}/api/v1/alerts")).await.map_err(|error| error.to_string())?;
    let answer: Value = answer.json().await.map_err(|error| error.to_string())?;
    let alerts = answer.pointer("/data/alerts").and_then(Value::as_array).ok_or("no alerts in the answer")?;
    let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
    let label = |alert: &Value, name: &str| alert["labels"][name].as_str().map(str::to_owned);
    let named = firing.map(|alert| {
        let about = label(alert, "group").or_else(|| label(alert, "job")).unwrap_or_default();
        (label(alert, "alertname").unwrap_or_default(), about)
    });
    Ok(named.collect())
}

/// The rules with a second for a minute, but at least five, twenty seconds for an hour, and an entry old after three
/// seconds. Nothing else is changed: the same expressions fire.
fn faster(rules: &str) -> String {
    let mut text = String::new();
    for line in rules.lines() {
        let comment =
            line.trim_start().starts_with('#') || line.contains("summary:") || line.contains("record:");
        text.push_str(&if comment { line.to_owned() } else { faster_durations(line) });
        text.push('\n');
    }
    text.replace("(stream_group_lag_seconds) > 60", "(stream_group_lag_seconds) > 3")
}

/// Durations are in brackets or after `for: `.
fn faster_durations(line: &str) -> String {
    let quick = |duration: &str| match duration {
        "0m" => "0s",
        "1m" | "2m" | "5m" => "5s",
        "10m" | "15m" | "30m" => "10s",
        "1h" => "20s",
        "6h" => "40s",
        other => panic!("{other} has no faster counterpart in {line}"),
    };
    if let Some((before, duration)) = line.split_once("for: ")
        && before.trim().is_empty()
    {
        return format!("{before}for: {}", quick(duration));
    }
    let mut parts = line.split('[');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (duration, rest) = part.split_once(']').expect("a bracket is closed");
        write!(text, "[{}]{rest}", quick(duration)).expect("text can be written to");
    }
    text
}
