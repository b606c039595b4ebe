//! docs/METRICS.md: written from what the services really show, so that it cannot say anything else.

use std::{collections::BTreeMap, env, fmt::Write, fs};

use crate::{
    exposition::{Metric, SERVICES, metrics, scrape_everything},
    tools::{read, repository},
};

const FILE: &str = "docs/METRICS.md";

/// Labels whose values an installation decides.
const OPEN: [&str; 7] = ["stream", "group", "consumer", "service", "version", "revision", "key"];

const HEAD: &str = "# Metrics

Every metric of every service, at `/metrics` on its ops port. Written by `make metrics-doc` from what the services
show; `make test` fails if it is not up to date.

Labels come from closed sets, and every series of such a set is there from the start, at 0. `stream`, `group` and
`consumer` are what there is in Redis: these series come from the active reaper alone and end with what they tell of.
`key` is the name of a configured API key. Times are in seconds. Alert rules: `deploy/prometheus/rules`; what to do about them: [RUNBOOK.md](RUNBOOK.md).
";

fn title(name: &str) -> &'static str {
    match name.split('_').next().unwrap_or_default() {
        "producer" => "Producing",
        "worker" => "Workers",
        "notifications" => "Notifications",
        "stream" => "Stream, groups and retention",
        "reaper" => "Reaper",
        "redis" => "Redis",
        "console" => "Console",
        "auth" => "API keys",
        "http" | "tls" => "Ports",
        _ => "Processes",
    }
}

const SECTIONS: [&str; 10] = [
    "Producing",
    "Workers",
    "Notifications",
    "Stream, groups and retention",
    "Reaper",
    "Console",
    "API keys",
    "Redis",
    "Ports",
    "Processes",
];

fn document(texts: &[(&str, String)]) -> String {
    let mut all: BTreeMap<String, (Metric, Vec<&str>)> = BTreeMap::new();
    for (service, text) in texts {
        for (name, metric) in metrics(text) {
            let (known, services) = all.entry(name.clone()).or_insert_with(|| (metric.clone(), Vec::new()));
            assert_eq!(
                (&known.kind, &known.help),
                (&metric.kind, &metric.help),
                "{name} differs at {service}"
            );
            for (label, values) in metric.labels {
                known.labels.entry(label).or_default().extend(values);
            }
            services.push(service);
        }
    }
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        write!(
            text,
            "\n## {section}\n\n| metric | type | labels | what | service |\n| --- | --- | --- | --- | --- |\n"
        )
        .expect("text can be written to");
        for (name, (metric, services)) in all.iter().filter(|(name, _)| title(name) == section) {
            let (kind, labels) = (kind(metric), labels(metric));
            let services =
                if services.len() == SERVICES.len() { "all".to_owned() } else { services.join(", ") };
            writeln!(text, "| `{name}` | {kind} | {labels} | {} | {services} |", escape(&metric.help))
                .expect("text can be written to");
        }
    }
    text
}

/// The type; of a histogram its buckets too.
fn kind(metric: &Metric) -> String {
    let Some(bounds) = metric.labels.get("le") else { return metric.kind.clone() };
    let mut bounds: Vec<f64> =
        bounds.iter().filter_map(|bound| bound.parse().ok()).filter(|b: &f64| b.is_finite()).collect();
    bounds.sort_by(f64::total_cmp);
    let (first, last) = (bounds.first().expect("a bucket"), bounds.last().expect("a bucket"));
    format!("{}, {} buckets from {first} to {last}", metric.kind, bounds.len())
}

fn labels(metric: &Metric) -> String {
    let shown = metric.labels.iter().filter(|(label, _)| *label != "le");
    let texts = shown.map(|(label, values)| {
        if OPEN.contains(&label.as_str()) {
            return format!("`{label}`");
        }
        let values: Vec<_> = values.iter().map(|value| format!("`{}`", escape(value))).collect();
        format!("`{label}`: {}", values.join(", "))
    });
    texts.collect::<Vec<_>>().join("; ")
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "\\<")
}

#[tokio::test]
async fn the_documentation_of_the_metrics_is_up_to_date() {
    let written = document(&scrape_everything().await);
    if env::var("METRICS_DOC").is_ok_and(|value| value == "write") {
        fs::write(repository(FILE), written).expect("docs/METRICS.md can be written");
        return;
    }
    let (kept, written): (Vec<_>, Vec<_>) =
        (read(FILE).lines().map(str::to_owned).collect(), written.lines().map(str::to_owned).collect());
    let first = kept.iter().zip(&written).find(|(kept, written)| kept != written);
    assert!(
        kept == written,
        "{FILE} is not up to date; `make metrics-doc` writes it. First difference: {first:#?}"
    );
}
