//! deploy/prometheus: what promtool says of it, and that no alert lacks a test or a section of the runbook.

use std::collections::BTreeSet;

use e2e::{promtool, succeeded};

use crate::tools::{read, repository, yaml_files};

const ALERTS: &str = "deploy/prometheus/rules/alerts.yml";

/// The values of a key in a YAML file, wherever it stands. The files are ours: one key a line, or a flow map.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let found = text.lines().filter_map(|line| line.split_once(&format!("{key}: ")));
    found.map(|(_, rest)| rest.split([',', '}']).next().unwrap_or(rest).trim()).collect()
}

/// Each alert with its block of text.
fn alerts(text: &str) -> Vec<(&str, &str)> {
    let blocks = text.split("- alert: ").skip(1);
    blocks.map(|block| (block.lines().next().expect("a name"), block)).collect()
}

/// The anchors of a Markdown file's headings, as its readers make them.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let headings = markdown.lines().filter(|line| line.starts_with('#'));
    let texts = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    texts.map(|text| text.replace(' ', "-")).collect()
}

#[test]
fn promtool_takes_configuration_and_rules() {
    succeeded(
        &promtool(["check", "config", path(&repository("deploy/prometheus/prometheus.yml"))], ""),
        "config",
    );
    for file in yaml_files("deploy/prometheus/rules") {
        succeeded(&promtool(["check", "rules", "--lint-fatal", path(&file)], ""), path(&file));
    }
}

#[test]
fn alerts_fire_and_do_not_fire_as_their_tests_say() {
    for file in yaml_files("deploy/prometheus/tests") {
        succeeded(&promtool(["test", "rules", path(&file)], ""), path(&file));
    }
}

#[test]
fn every_alert_is_tested_both_ways() {
    let (mut fires, mut does_not) = (BTreeSet::new(), BTreeSet::new());
    for file in yaml_files("deploy/prometheus/tests") {
        let text = std::fs::read_to_string(&file).expect("a test file");
        for check in text.split("- eval_time: ").flat_map(|part| part.split("- {eval_time: ")).skip(1) {
            let name = values(check, "alertname")[0].to_owned();
            if check.contains("exp_alerts: []") && !check.contains("exp_labels") {
                does_not.insert(name);
            } else {
                fires.insert(name);
            }
        }
    }
    let text = read(ALERTS);
    let all: BTreeSet<String> = alerts(&text).into_iter().map(|(name, _)| name.to_owned()).collect();
    assert!(all.len() >= 12, "{all:?}");
    assert_eq!(fires, all, "each alert is seen to fire");
    assert_eq!(does_not, all, "each alert is seen not to fire");
}

#[test]
fn every_alert_says_what_it_means_and_leads_to_the_runbook() {
    let (text, sections) = (read(ALERTS), anchors(&read("docs/RUNBOOK.md")));
    for (name, block) in alerts(&text) {
        for part in ["severity: ", "summary: ", "description: ", "runbook_url: "] {
            assert_eq!(block.matches(part).count(), 1, "{name}: {part}");
        }
        let severity = values(block, "severity")[0];
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        let url = values(block, "runbook_url")[0];
        let anchor = url.strip_prefix("docs/RUNBOOK.md#").unwrap_or_else(|| panic!("{name}: {url}"));
        assert_eq!(anchor, name.to_lowercase());
        assert!(sections.contains(anchor), "docs/RUNBOOK.md has no section {name}");
    }
}

#[test]
fn compose_runs_what_is_tested_here() {
    let compose = read("docker-compose.yml");
    for mount in ["./deploy/prometheus/prometheus.yml:", "./deploy/prometheus/rules:"] {
        assert!(compose.contains(mount), "{mount}");
    }
    // Each job is a service of the compose file, asked at the ops port that the service listens on there.
    let scraped = read("deploy/prometheus/prometheus.yml");
    let defaults = read("crates/service-kit/src/config/defaults.toml");
    for job in scraped.lines().filter(|line| line.contains("dns_sd_configs")) {
        let name = values(job, "names")[0].trim_matches(['[', ']']);
        assert!(compose.contains(&format!("\n  {name}:\n")), "{name}");
        assert!(defaults.contains(&format!(":{}\"", values(job, "port")[0])), "{job}");
    }
}

fn path(path: &std::path::Path) -> &str {
    path.to_str().expect("a path of text")
}
