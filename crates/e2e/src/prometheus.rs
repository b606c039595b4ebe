//! [`Prometheus`]: a real server that scrapes the services of one test.

use std::{
    env,
    fs::File,
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tempfile::TempDir;
use testkit::{eventually, free_port};
use tokio::process::{Child, Command};

use crate::Service;

/// How long anything that should happen soon may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A Prometheus server with its data in a directory of its own. Killed when dropped.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    url: String,
    dir: TempDir,
    http: reqwest::Client,
}

impl Prometheus {
    /// Starts one that scrapes these services every second, each under a job of the service's name, and waits until it
    /// is ready. `PROMETHEUS_BIN` may name the program.
    ///
    /// # Panics
    ///
    /// If it cannot be started: `deploy/scripts/ensure-prometheus.sh` installs it.
    pub async fn scraping(services: &[&Service]) -> Self {
        let dir = TempDir::with_prefix("orderflow-prometheus-").expect("a temporary directory can be made");
        let jobs: String = services.iter().map(|service| job(service)).collect();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\nscrape_configs:\n{jobs}"
        );
        let config_file = dir.path().join("prometheus.yml");
        std::fs::write(&config_file, config).expect("the configuration can be written");
        let log = File::create(dir.path().join("log")).expect("the log file can be created");
        let port = free_port();
        let program = env::var_os("PROMETHEUS_BIN").filter(|named| !named.is_empty());
        let child = Command::new(program.unwrap_or_else(|| "prometheus".into()))
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
        let this = Self { child, url: format!("http://127.0.0.1:{port}"), dir, http: reqwest::Client::new() };
        this.ready().await;
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

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The value of an expression now: its series, each with `metric` and `value`.
    pub async fn query(&self, expression: &str) -> Vec<Value> {
        self.list("query", &[("query", expression)]).await
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

    /// Asks the API, which must answer with a list, or with an object that holds one.
    async fn list(&self, path: &str, query: &[(&str, &str)]) -> Vec<Value> {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/{path}", self.url)).expect("a URL");
        url.query_pairs_mut().extend_pairs(query);
        let answer = self.http.get(url).send().await.expect("Prometheus answers");
        let mut body: Value = answer.json().await.expect("the answer is JSON");
        assert_eq!(body["status"], "success", "{query:?}: {body}");
        let data = body["data"].take();
        let list = if data.is_array() { Some(&data) } else { data.get("result") };
        list.and_then(Value::as_array).unwrap_or_else(|| panic!("{query:?}: {data}")).clone()
    }

    /// Ends it.
    pub async fn stop(mut self) {
        self.child.kill().await.expect("its own child can be killed");
    }
}

fn job(service: &Service) -> String {
    let address = service.ops_url("");
    let address = address.trim_start_matches("http://");
    // Services that run twice share their job, and one job may be named only once.
    format!(
        "- job_name: {}-{}\n  relabel_configs: [{{target_label: job, replacement: {}}}]\n  static_configs: [{{targets: \
         ['{address}']}}]\n",
        service.name(),
        address.replace(['.', ':'], "-"),
        service.name(),
    )
}
