//! Every query of every dashboard, asked after an incident.

use std::time::{Duration, Instant};

use e2e::Prometheus;
use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    board::{Answer, Board, Values, boards, list, text},
    incident::{Incident, incident},
};

/// A busy machine answers a scrape late now and then.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_returns_data() {
    let began = Instant::now();
    let incident = incident().await;
    let seconds = began.elapsed().as_secs() + 2;
    let boards = boards();
    let mut empty = Vec::new();
    for board in &boards {
        // The last answers stay: those with everything chosen.
        for narrow in [Some("notifications"), None] {
            let values = board.values(&incident.prometheus, narrow).await;
            let answers = ask(board, &incident, &values, seconds).await;
            empty
                .extend(answers.iter().filter(|answer| !has_data(answer)).map(|answer| answer.title.clone()));
        }
    }
    assert!(empty.is_empty(), "these show nothing:\n{}", empty.join("\n"));
    shows_what_happened(&boards, &incident, seconds).await;
}

/// A figure that is shown must be a number; over time there may be gaps.
fn has_data(answer: &Answer) -> bool {
    let latest = answer.latest();
    !answer.numbers().is_empty() && (!answer.instant || latest.iter().all(|value| value.is_finite()))
}

/// Runs every query of the panels and annotations, and leaves the answers for those who draw pictures.
async fn ask(board: &Board, incident: &Incident, values: &Values, seconds: u64) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut kept = serde_json::Map::new();
    for panel in board.panels() {
        let mut of_panel = Vec::new();
        for target in list(panel, "/targets") {
            let query = values.fill(text(target, "/expr"));
            let title = format!("{}: {}", board.name, panel["title"]);
            let instant = target["instant"] == true;
            let answer = Answer::to(&incident.prometheus, &title, &query, instant, seconds).await;
            of_panel.push(json!({ "refId": target["refId"], "series": answer.series }));
            answers.push(answer);
        }
        kept.insert(panel["id"].to_string(), Value::from(of_panel));
    }
    for annotation in board.annotations() {
        let title = format!("{}: annotation {}", board.name, annotation["name"]);
        let query = values.fill(text(annotation, "/expr"));
        let answer = Answer::to(&incident.prometheus, &title, &query, false, seconds).await;
        kept.insert(text(annotation, "/name").to_owned(), Value::from(answer.series.clone()));
        answers.push(answer);
    }
    keep(&board.name, &Value::from(kept));
    answers
}

/// Writes answers to `<target directory>/dashboards/<dashboard>.json`.
fn keep(name: &str, answers: &Value) {
    let test = std::env::current_exe().expect("a running test has a path");
    let target = test.ancestors().nth(3).expect("tests run from target/<profile>/deps");
    let directory = target.join("dashboards");
    std::fs::create_dir_all(&directory).expect("the directory can be made");
    let path = directory.join(format!("{name}.json"));
    std::fs::write(&path, answers.to_string()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// What a panel's first query gives now.
async fn figure(prometheus: &Prometheus, board: &Board, title: &str) -> Vec<Value> {
    let panel = board.panels().iter().find(|panel| panel["title"] == title).expect("a panel of this title");
    let values = board.values(prometheus, None).await;
    prometheus.query(&values.fill(text(&panel["targets"][0], "/expr"))).await
}

/// The figures are those of the incident, not just any.
async fn shows_what_happened(boards: &[Board], incident: &Incident, seconds: u64) {
    let prometheus = &incident.prometheus;
    let board =
        |name: &str| boards.iter().find(|board| board.name == name).expect("a dashboard of this name");
    let overview = board("overview");
    let values = overview.values(prometheus, None).await;
    let panel = async |title: &str| figure(prometheus, overview, title).await;
    let of_group = |series: &[Value], group: &str| -> f64 {
        let series = series.iter().find(|series| series["metric"]["group"] == group);
        let series = series.unwrap_or_else(|| panic!("nothing of {group}"));
        text(series, "/value/1").parse().expect("a number")
    };
    let is = |found: f64, expected: f64| (found - expected).abs() < 1e-9;

    // A lag that is not known is told apart from none, and a threat from peace.
    let lag = panel("Lag").await;
    assert!(is(of_group(&lag, "third"), -1.0) && of_group(&lag, "analytics") >= 0.0, "{lag:?}");
    let threat = panel("Retention threatens").await;
    assert!(is(of_group(&threat, "analytics"), -1.0) && of_group(&threat, "third") > 0.0, "{threat:?}");
    let only = |series: Vec<Value>| -> f64 {
        assert_eq!(series.len(), 1, "{series:?}");
        text(&series[0], "/value/1").parse().expect("a number")
    };
    let lost = figure(prometheus, board("dead-letters"), "Lost, ever").await;
    for group in ["notifications", "analytics", "third"] {
        assert!(is(of_group(&lost, group), 0.0), "{lost:?}");
    }
    // As many as Prometheus itself names; of the third group's it is certain that they fire.
    eventually(SOON, "the panel counts what fires", async || {
        let (shown, firing) = (only(panel("Alerts").await), prometheus.firing().await);
        let unknown = ("OrderflowLagUnknown".to_owned(), "third".to_owned());
        let counted = is(shown, firing.len() as f64) && firing.contains(&unknown);
        if counted { Ok(()) } else { Err(format!("{shown} of {firing:?}")) }
    })
    .await;
    eventually(SOON, "the old leader alone does not answer", async || {
        let silent = only(panel("Processes not answering").await);
        if is(silent, 1.0) { Ok(()) } else { Err(silent) }
    })
    .await;
    assert!(is(only(panel("Active reaper").await), 1.0));
    assert!(is(only(panel("Dead letters").await), 6.0));
    assert_eq!(incident.pipeline.dead_letters("analytics").await.len(), 3);

    // Annotations: each service was deployed, and the role went from one reaper to the other.
    let marks = async |name: &str| {
        let annotation = overview.annotations().iter().find(|it| it["name"] == name).expect("an annotation");
        prometheus.query_range(&values.fill(text(annotation, "/expr")), seconds).await
    };
    let deploys = marks("Deploys").await;
    let mut services: Vec<_> = deploys.iter().map(|series| text(series, "/metric/service")).collect();
    services.sort_unstable();
    let expected = ["analytics-worker", "console", "notifications-worker", "producer-api", "reaper"];
    assert_eq!(services, expected);
    let leaders = marks("Reaper leader changes").await;
    let mine = leaders.iter().filter(|series| series["metric"]["instance"] == incident.successor.as_str());
    assert!(leaders.len() == 2 && mine.count() == 1, "{leaders:?}");
}
