//! What can be seen of a dashboard without running anything. Grafana's schema is `make dashboards`' to check.

use std::collections::HashSet;

use serde_json::Value;

use crate::board::{Board, boards, directory, list, text};

/// The more panels, the less is seen.
const PANELS_MAX: usize = 13;

#[test]
fn every_panel_says_what_it_is_and_whence() {
    let source = std::fs::read_to_string(directory().join("provisioning/datasources/prometheus.yml"))
        .expect("the data source is provisioned");
    let uid = source.lines().find_map(|line| line.trim().strip_prefix("uid: ")).expect("it has a uid");
    let boards = boards();
    assert_eq!(boards.len(), 6);
    let uids: HashSet<_> = boards.iter().map(|board| text(&board.json, "/uid")).collect();
    assert_eq!(uids.len(), boards.len(), "each dashboard has a uid of its own");
    for board in &boards {
        let panels = board.panels();
        assert!(panels.len() <= PANELS_MAX, "{}: {} panels", board.name, panels.len());
        let ids: HashSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "{}: each panel has an ID of its own", board.name);
        for panel in panels {
            let place = format!("{}: {}", board.name, panel["title"]);
            assert!(text(panel, "/description").len() > 20, "{place} has a description");
            assert!(!text(panel, "/fieldConfig/defaults/unit").is_empty(), "{place} has a unit");
            assert!(
                !list(panel, "/fieldConfig/defaults/thresholds/steps").is_empty(),
                "{place} has thresholds"
            );
            let targets = list(panel, "/targets");
            let refs: HashSet<_> = targets.iter().map(|target| text(target, "/refId")).collect();
            assert_eq!(refs.len(), targets.len(), "{place}: each query has a letter of its own");
            for target in targets {
                assert!(
                    panel["type"] == "table" || !text(target, "/legendFormat").is_empty(),
                    "{place} has a legend"
                );
                assert_eq!(text(target, "/datasource/uid"), uid, "{place}");
            }
            assert_eq!(text(panel, "/datasource/uid"), uid, "{place}");
        }
        for sourced in board.variables().iter().filter(|it| it["type"] == "query").chain(board.annotations())
        {
            assert_eq!(text(sourced, "/datasource/uid"), uid, "{}: {sourced}", board.name);
        }
    }
}

#[test]
fn panels_stand_side_by_side() {
    for board in boards() {
        let mut taken = HashSet::new();
        for panel in board.panels() {
            let number = |name: &str| panel["gridPos"][name].as_u64().expect("a place");
            let (x, y, w, h) = (number("x"), number("y"), number("w"), number("h"));
            assert!(w > 0 && h > 0 && x + w <= 24, "{}: {} is beside the grid", board.name, panel["title"]);
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{}: {} lies over another", board.name, panel["title"]);
            }
        }
    }
}

/// The headings of the runbook, as links name them.
fn anchors() -> HashSet<String> {
    let runbook =
        std::fs::read_to_string(directory().join("../../docs/RUNBOOK.md")).expect("there is a runbook");
    let headings = runbook.lines().filter_map(|line| line.strip_prefix("## "));
    headings.map(|heading| heading.trim().to_lowercase().replace(' ', "-")).collect()
}

#[test]
fn links_lead_somewhere() {
    let anchors = anchors();
    for board in boards() {
        let names: HashSet<_> = board.variables().iter().map(|variable| text(variable, "/name")).collect();
        let links = board.panels().iter().flat_map(|panel| list(panel, "/links"));
        for link in links.chain(list(&board.json, "/links")).filter(|link| link["type"] != "dashboards") {
            let url = text(link, "/url");
            let base = url.strip_prefix("${").and_then(|rest| rest.split_once('}')).map(|(name, _)| name);
            assert!(base.is_some_and(|base| names.contains(base)), "{}: {url}", board.name);
            let anchor = url.strip_prefix("${runbook}#");
            assert!(anchor.is_none_or(|anchor| anchors.contains(anchor)), "{}: {url}", board.name);
        }
        let to_others = list(&board.json, "/links").iter().find(|link| link["type"] == "dashboards");
        let tag = &to_others.expect("a link to the other dashboards")["tags"][0];
        assert!(list(&board.json, "/tags").contains(tag), "{}: the others find it by {tag}", board.name);
        assert!(has_link(&board, "${runbook}#") && has_link(&board, "${console}/"), "{}", board.name);
    }
}

fn has_link(board: &Board, start: &str) -> bool {
    let all =
        board.panels().iter().flat_map(|panel| list(panel, "/links")).chain(list(&board.json, "/links"));
    all.filter_map(|link| link["url"].as_str()).any(|url| url.starts_with(start))
}

/// Colours, words and thresholds say the same thing wherever a value has words for it.
#[test]
fn unknown_has_a_word() {
    let is_lag = |panel: &&Value| {
        panel["targets"].to_string().contains("stream_group_lag_known")
            && panel["type"] == "stat"
            && panel["title"] == "Lag"
    };
    let boards = boards();
    let panel = boards.iter().flat_map(Board::panels).find(is_lag).expect("the overview shows lag");
    let words = &panel["fieldConfig"]["defaults"]["mappings"][0]["options"]["-1"];
    assert_eq!(words["text"], "unknown");
}
