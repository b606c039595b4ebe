//! The mark of a deploy, asked of made-up data in which one revision follows another.

use e2e::{promtool, succeeded};
use serde_json::{Value, json};

use crate::board::{boards, text};

/// A process's `build_info`, with values once in 15 s as promtool writes them (`1x3`: four of them; `_x3`: three times not scraped).
fn build_info(service: &str, instance: &str, revision: &str, values: &str) -> Value {
    let labels =
        format!("service=\"{service}\",instance=\"{instance}\",version=\"1.0.0\",revision=\"{revision}\"");
    json!({ "series": format!("build_info{{{labels}}}"), "values": values })
}

#[test]
fn a_deploy_is_marked_for_a_minute_and_a_restart_is_not() {
    let series = [
        // From 20 min on another revision of a replica, half a minute after the end of the one before, and at 25 min of its
        // peer: one deploy, not two.
        build_info("reaper", "r1", "old", "1x79 stale"),
        build_info("reaper", "r1", "new", "_x82 1x120"),
        build_info("reaper", "r2", "old", "1x98 stale"),
        build_info("reaper", "r2", "new", "_x101 1x100"),
        // At 30 min the only process of a service is away for two minutes, and comes back as it was.
        build_info("console", "c", "old", "1x119 stale _x8 1x80"),
    ];
    let new = "{service=\"reaper\", version=\"1.0.0\", revision=\"new\"}";
    let expected = [
        ("19m", vec![]),
        ("20m15s", vec![]),
        ("20m30s", vec![new]),
        ("21m15s", vec![new]),
        ("21m30s", vec![]),
        ("25m15s", vec![]),
        ("32m", vec![]),
        ("33m", vec![]),
    ];
    for board in boards() {
        let annotation =
            board.annotations().iter().find(|it| it["name"] == "Deploys").expect("an annotation");
        let expression = text(annotation, "/expr");
        let checks = expected.iter().map(|(time, marks)| {
            let marks: Value = marks.iter().map(|labels| json!({ "labels": labels, "value": 1 })).collect();
            json!({ "expr": expression, "eval_time": time, "exp_samples": marks })
        });
        let checks: Value = checks.collect();
        let test = json!({ "interval": "15s", "input_series": series, "promql_expr_test": checks });
        let file = tempfile::NamedTempFile::with_suffix(".yml").expect("a temporary file can be made");
        // JSON is YAML too.
        std::fs::write(file.path(), json!({ "tests": [test] }).to_string()).expect("the file can be written");
        let path = file.path().to_str().expect("a path of text");
        succeeded(&promtool(["test", "rules", path], ""), &board.name);
    }
}
