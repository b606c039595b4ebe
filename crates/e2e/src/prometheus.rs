//! [`Prometheus`]: a real server that scrapes the services of one test, and evaluates alert rules if it is given any.

use std::{
    collections::BTreeSet,
    env, fs,
    process::Stdio,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{eventually, free_port};
use tokio::process::{Child, Command};

use crate::Service;

/// How long anything that should happen soon may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A firing alert: its name, and the group or job that it is about.
pub type Alert = (String, String);

/// A Prometheus server with its data in a directory of its own. Killed when dropped.
#[derive(Debug)]
pub struct Prometheus {
    /// Held for its end.
    _child: Child,
    url: String,
    dir: TempDir,
    http: reqwest::Client,
}

impl Prometheus {
    /// Starts one that scrapes these services once an `interval`, each under a job of the service's name, evaluates the
    /// rules as often (each a file's name and its text), and waits until it has scraped all of them. `PROMETHEUS_BIN` may
    /// name the program.
    ///
    /// # Panics
    ///
    /// If it cannot be started: `deploy/scripts/ensure-prometheus.sh` installs it.
    pub async fn start(services: &[&Service], interval: Duration, rules: &[(String, String)]) -> Self {
        let dir = TempDir::with_prefix("orderflow-prometheus-").expect("a temporary directory can be made");
        let interval = format!("{}ms", interval.as_millis());
        let names: Vec<_> = rules.iter().map(|(name, _)| name).collect();
        // Where the targets stand in a file they can change while it runs.
        let discovery = json!([{ "files": ["targets.json"], "refresh_interval": "1s" }]);
        // JSON is YAML too.
        let config = json!({
            "global": { "scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval },
            "rule_files": names,
            "scrape_configs": [{ "job_name": "services", "file_sd_configs": discovery }],
        });
        let config_file = dir.path().join("prometheus.yml");
        fs::write(&config_file, config.to_string()).expect("the configuration can be written");
        for (name, text) in rules {
            fs::write(dir.path().join(name), text).expect("the rules can be written");
        }
        let log = fs::File::create(dir.path().join("log")).expect("the log file can be created");
        let port = free_port();
        let child = Command::new(program("PROMETHEUS_BIN", "prometheus"))
            .arg(format!("--config.file={}", config_file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be cloned"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("prometheus: {error}; deploy/scripts/ensure-prometheus.sh installs it")
            });
        let url = format!("http://127.0.0.1:{port}");
        let this = Self { _child: child, url, dir, http: reqwest::Client::new() };
        this.aim(services);
        this.ready().await;
        eventually(SOON, "Prometheus has scraped every service", async || {
            let up = this.value("sum(up)").await;
            if up == Some(services.len() as f64) { Ok(()) } else { Err(format!("{up:?}\n{}", this.log())) }
        })
        .await;
        this
    }

    async fn ready(&self) {
        eventually(SOON, "Prometheus is ready", async || {
            let answer = self.http.get(format!("{}/-/ready", self.url)).send().await;
            match answer.and_then(reqwest::Response::error_for_status) {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("{error}; its log:\n{}", self.log())),
            }
        })
        .await;
    }

    /// Scrapes these services from here on, and no others.
    pub fn aim(&self, services: &[&Service]) {
        let targets = services.iter().map(|service| {
            let target = service.ops_url("").replace("http://", "");
            json!({ "targets": [target], "labels": { "job": service.name() } })
        });
        let (new, file) = (self.dir.path().join("targets.new"), self.dir.path().join("targets.json"));
        // In one step: half a file would be no targets.
        fs::write(&new, targets.collect::<Value>().to_string()).expect("the targets can be written");
        fs::rename(new, file).expect("a file can be renamed");
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The value of an expression now: its series, each with `metric` and `value`.
    pub async fn query(&self, expression: &str) -> Vec<Value> {
        self.list("query", &[("query", expression)]).await
    }

    /// The one number that an expression gives now, if it gives any.
    pub async fn value(&self, expression: &str) -> Option<f64> {
        let series = self.query(expression).await;
        let value = series.first().and_then(|one| one.pointer("/value/1")?.as_str());
        value.map(|text| text.parse().expect("a value is a number"))
    }

    /// The values of an expression over the last `seconds`, one a second, the last one now: its series, each with `metric`
    /// and `values`.
    pub async fn query_range(&self, expression: &str, seconds: u64) -> Vec<Value> {
        let end = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs_f64();
        let (start, end) = ((end - seconds as f64).to_string(), end.to_string());
        let query = [("query", expression), ("start", &start), ("end", &end), ("step", "1")];
        self.list("query_range", &query).await
    }

    /// The labels of every series that fits the selector.
    pub async fn series(&self, selector: &str) -> Vec<Value> {
        self.list("series", &[("match[]", selector)]).await
    }

    /// The alerts that fire now.
    pub async fn firing(&self) -> BTreeSet<Alert> {
        let alerts = self.list("alerts", &[]).await;
        alerts
            .iter()
            .filter(|alert| alert["state"] == "firing")
            .map(|alert| named(&alert["labels"]))
            .collect()
    }

    /// The alerts that fired at any time since then, as it has recorded at each evaluation.
    pub async fn fired(&self, since: Instant) -> BTreeSet<Alert> {
        let window_ms = since.elapsed().as_millis().max(1);
        let expression = format!("last_over_time(ALERTS{{alertstate=\"firing\"}}[{window_ms}ms])");
        self.query(&expression).await.iter().map(|series| named(&series["metric"])).collect()
    }

    /// Asks the API, which must answer with a list, or with an object that holds one.
    async fn list(&self, path: &str, query: &[(&str, &str)]) -> Vec<Value> {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/{path}", self.url)).expect("a URL");
        url.query_pairs_mut().extend_pairs(query);
        let answer = self.http.get(url).send().await.expect("Prometheus answers");
        let mut body: Value = answer.json().await.expect("the answer is JSON");
        assert_eq!(body["status"], "success", "{query:?}: {body}");
        let data = body["data"].take();
        let list =
            if data.is_array() { Some(&data) } else { data.get("result").or_else(|| data.get("alerts")) };
        list.and_then(Value::as_array).unwrap_or_else(|| panic!("{query:?}: {data}")).clone()
    }
}

fn named(labels: &Value) -> Alert {
    let label = |name: &str| labels[name].as_str().map(str::to_owned);
    let about = label("group").or_else(|| label("job")).unwrap_or_default();
    (label("alertname").unwrap_or_default(), about)
}

/// A program, or the one that its variable names.
pub(crate) fn program(variable: &str, name: &str) -> String {
    env::var(variable).ok().filter(|named| !named.is_empty()).unwrap_or_else(|| name.to_owned())
}
