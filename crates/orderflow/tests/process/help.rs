//! What --help and wrong usage say, and what is made of the definition of the command line.

use std::fs;

use crate::common::{BINARY, Ended, command, orderflow, temp_dir};

/// The help of a subcommand, and of those below it.
fn helps(subcommand: &[&str], found: &mut Vec<(String, String)>) {
    let dir = temp_dir();
    let mut help = command(BINARY, dir.path());
    let help = Ended::of(help.env("COLUMNS", "80").args(subcommand).arg("--help")).success();
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let names = listed.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then_some(name)
    });
    for name in names {
        helps(&[subcommand, &[name]].concat(), found);
    }
    found.push((subcommand.join("-"), help));
}

#[test]
fn every_help_is_as_it_was_read_last() {
    let mut found = Vec::new();
    helps(&[], &mut found);
    assert_eq!(found.len(), 30, "each subcommand has a snapshot");
    for (subcommand, help) in found {
        assert!(help.contains("Exit codes:"), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        insta::assert_snapshot!(format!("help-{subcommand}"), help);
    }
}

#[test]
fn every_shell_completes_the_subcommands_and_their_flags() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = orderflow(&["completions", shell]).success();
        for word in ["handover", "claim-idle-ms", "accept-loss", "redrive"] {
            assert!(script.contains(word), "{word} for {shell}");
        }
    }
}

#[test]
fn there_is_a_manual_page_for_every_subcommand() {
    let dir = temp_dir();
    let man = dir.path().join("man");
    let wrote = orderflow(&["man", "--dir", man.to_str().unwrap()]).success();
    assert!(wrote.starts_with("wrote 30 pages to "), "{wrote}");
    let page = fs::read_to_string(man.join("orderflow-dlq-purge.1")).unwrap();
    for line in [".TH orderflow-dlq-purge 1", ".SH NOTES", "Exit codes:", "\\fB\\-\\-dry\\-run\\fR"] {
        assert!(page.contains(line), "{line:?} in:\n{page}");
    }
    let top = orderflow(&["man"]).success();
    assert_eq!(top, fs::read_to_string(man.join("orderflow.1")).unwrap());
    let stderr = orderflow(&["man", "--dir", "/dev/null/man"]).failure(1);
    assert!(stderr.contains("cannot make /dev/null/man"), "{stderr}");
}

#[test]
fn wrong_usage_is_exit_2() {
    let wrong: [&[&str]; 35] = [
        &[],
        &["nonsense"],
        &["produce"],
        &["produce", "--type", "order.paid"],
        &["produce", "--random", "1", "--file", "x"],
        &["tail", "--from", "soon"],
        &["pending"],
        &["pending", "g", "--min-idle", "5"],
        &["up", "--no-reset"],
        &["dlq"],
        &["dlq", "show", "g"],
        &["dlq", "ls", "g", "--reason", "boredom"],
        &["dlq", "ls", "g", "--since", "soon"],
        &["dlq", "redrive", "g"],
        &["dlq", "redrive", "g", "5-1", "--all"],
        &["dlq", "purge", "g", "--all", "--reason", "poison"],
        &["analytics"],
        &["replay", "--from", "2", "--to", "1"],
        &["replay", "--force"],
        &["replay", "--count", "0"],
        &["import"],
        &["trim"],
        &["trim", "--maxlen", "5", "--min-id", "5-1"],
        &["trim", "--min-id", "x"],
        &["completions"],
        &["completions", "tcsh"],
        &["tail", "--count", "0"],
        &["log"],
        &["log", "show"],
        &["log", "set", "debug", "--service", "reaper", "--for", "5"],
        &["analytics", "rebuild", "--abort", "--accept-loss"],
        &["key"],
        &["key", "new", "--id", "a"],
        &["key", "new", "--id", "a b", "--scope", "read"],
        &["produce", "--random", "1", "--api-key", "a b"],
    ];
    for args in wrong {
        let stderr = orderflow(args).failure(2);
        assert!(stderr.contains("Usage: orderflow") || stderr.contains("--help"), "{args:?}: {stderr}");
    }
}

#[test]
fn a_wrong_configuration_is_exit_78_with_every_mistake() {
    for subcommand in [
        &["up"][..],
        &["groups"],
        &["tail"],
        &["pending", "g"],
        &["dlq", "ls"],
        &["produce", "--random", "1"],
    ] {
        let flags = ["--set", "worker.block=x", "--set", "shutdown.grce=1s"];
        let stderr = orderflow(&[subcommand, &flags].concat()).failure(78);
        assert!(stderr.starts_with("orderflow: the configuration cannot be used:\n"), "{stderr}");
        assert_eq!(stderr.lines().count(), 3, "{stderr}");
    }
}
