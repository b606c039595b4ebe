//! The dashboards as they are checked in, and what Grafana would ask Prometheus for them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use e2e::Prometheus;
use serde_json::{Value, json};

/// `deploy/grafana`.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana")
}

/// A dashboard.
pub(crate) struct Board {
    /// The file's name without `.json`.
    pub(crate) name: String,
    pub(crate) json: Value,
}

/// Every dashboard.
pub(crate) fn boards() -> Vec<Board> {
    let files = std::fs::read_dir(directory().join("dashboards")).expect("there are dashboards");
    let mut boards: Vec<_> = files
        .map(|file| {
            let path = file.expect("the directory can be read").path();
            let text = std::fs::read_to_string(&path).expect("a dashboard can be read");
            let json =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
            Board { name, json }
        })
        .collect();
    boards.sort_by(|one, other| one.name.cmp(&other.name));
    boards
}

/// The members of a list; a missing list is a mistake.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

/// The text of a member.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

impl Board {
    pub(crate) fn panels(&self) -> &[Value] {
        list(&self.json, "/panels")
    }

    pub(crate) fn variables(&self) -> &[Value] {
        list(&self.json, "/templating/list")
    }

    pub(crate) fn annotations(&self) -> &[Value] {
        list(&self.json, "/annotations/list")
    }

    /// The variables as Grafana has them when the dashboard is opened: the first value, or all of them where that can be
    /// chosen. With `narrow`, the value that is preferred here, else the first one, everywhere.
    pub(crate) async fn values(&self, prometheus: &Prometheus, narrow: Option<&str>) -> Values {
        let mut values = Values::default();
        for variable in self.variables() {
            let name = text(variable, "/name");
            if variable["type"] == "textbox" {
                values.0.insert(name.to_owned(), text(variable, "/query").to_owned());
                continue;
            }
            let query = values.fill(text(variable, "/query/query"));
            let found = label_values(prometheus, &query).await;
            assert!(!found.is_empty(), "{}: the variable {name} has no value: {query}", self.name);
            let all = variable["includeAll"] == true && narrow.is_none();
            let preferred = narrow.filter(|value| found.iter().any(|found| found == value));
            let chosen = if all { text(variable, "/allValue") } else { preferred.unwrap_or(&found[0]) };
            values.0.insert(name.to_owned(), chosen.to_owned());
        }
        values
    }
}

/// `label_values(selector, label)`, which Grafana answers from the series.
async fn label_values(prometheus: &Prometheus, query: &str) -> Vec<String> {
    let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let (selector, label) =
        inner.and_then(|inner| inner.rsplit_once(", ")).expect("label_values(selector, label)");
    let mut values: Vec<_> = prometheus
        .series(selector)
        .await
        .iter()
        .filter_map(|labels| labels[label].as_str().map(str::to_owned))
        .collect();
    values.sort();
    values.dedup();
    values
}

/// The values of the variables, Grafana's own included.
#[derive(Default)]
pub(crate) struct Values(BTreeMap<String, String>);

/// Grafana's own, as they would be for a range of some minutes at a scrape interval of a second.
const BUILT_IN: [(&str, &str); 3] = [("__rate_interval", "4s"), ("__interval", "1s"), ("__range", "5m")];

impl Values {
    /// An expression as Grafana sends it.
    ///
    /// # Panics
    ///
    /// If a variable has no value: Grafana would send its name.
    pub(crate) fn fill(&self, expression: &str) -> String {
        let mut filled = expression.to_owned();
        let ours = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in BUILT_IN.into_iter().chain(ours) {
            filled = filled.replace(&format!("${name}"), value);
        }
        assert!(!filled.contains('$'), "{expression} has a variable without a value: {filled}");
        filled
    }
}

/// What a query of a panel, or an annotation, returned.
pub(crate) struct Answer {
    /// Where it belongs: dashboard, panel, expression.
    pub(crate) title: String,
    /// The series, each with `metric` and `values`.
    pub(crate) series: Vec<Value>,
    /// Only the last value is shown.
    pub(crate) instant: bool,
}

impl Answer {
    /// Runs a query as Grafana would.
    pub(crate) async fn to(
        prometheus: &Prometheus,
        title: &str,
        query: &str,
        instant: bool,
        seconds: u64,
    ) -> Self {
        let mut series = if instant {
            prometheus.query(query).await
        } else {
            prometheus.query_range(query, seconds).await
        };
        for one in &mut series {
            if instant {
                one["values"] = json!([one["value"]]);
            }
        }
        Self { title: format!("{title}: {query}"), series, instant }
    }

    /// Every value that is a number; NaN is what is drawn as a gap.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let values = self.series.iter().flat_map(|series| list(series, "/values"));
        values
            .filter_map(|value| text(value, "/1").parse().ok())
            .filter(|value: &f64| value.is_finite())
            .collect()
    }

    /// The last value of each series.
    pub(crate) fn latest(&self) -> Vec<f64> {
        let last = |series: &Value| text(list(series, "/values").last()?, "/1").parse().ok();
        self.series.iter().filter_map(last).collect()
    }
}
