//! What --help and wrong usage say.

use crate::common::orderflow;

#[test]
fn help_lists_every_subcommand_and_the_exit_codes() {
    let help = orderflow(&["--help"]).success();
    for line in [
        "  up ",
        "  produce ",
        "  tail ",
        "  groups ",
        "  pending ",
        "  doctor ",
        "  dlq ",
        "  analytics ",
        "Exit codes: 0 done, 1 failed",
    ] {
        assert!(help.contains(line), "{line:?} in:\n{help}");
    }
}

#[test]
fn each_help_names_its_flags() {
    let filters: &[&str] =
        &["--type", "--order-id", "--reason", "--entry", "--since", "--until", "older-than"];
    let expected: [(&str, &[&str]); 15] = [
        (
            "up",
            &[
                "--demo",
                "--no-reset",
                "--redis-url <URL>",
                "--redis-host <HOST>",
                "--redis-port <PORT>",
                "--stream-key <KEY>",
                "--maxlen <N>",
                "--claim-idle-ms <MS>",
                "--embedded-redis-port <PORT>",
                "--config <FILE>",
                "--set <SECTION.KEY=VALUE>",
                "Nothing is ever wiped without --demo",
                "ORDERFLOW_REDIS_SERVER",
            ],
        ),
        (
            "produce",
            &["--type", "--order-id", "--customer", "--amount", "--field", "--ts-ms", "--file", "--random"],
        ),
        ("produce", &["--keep-going", "--url", "--retry-for", "  4   some events may or may not have been"]),
        ("doctor", &["--json", "--strict", "  0   nothing is wrong", "  1   a problem"]),
        ("tail", &["--from <ID|start>", "--json"]),
        ("dlq", &["  ls ", "  show ", "  redrive ", "  purge "]),
        (
            "dlq ls",
            &["[GROUP]", "--oldest-first", "--from", "--count", "--scan", "--json", "Exit codes: 0 done"],
        ),
        ("dlq ls", filters),
        ("dlq show", &["<GROUP>", "<ID>", "--json", "Exit codes: 0 done"]),
        (
            "dlq redrive",
            &["[IDS]", "--all", "--rate", "--dry-run", "--json", "  3    some could not be sent back"],
        ),
        ("dlq redrive", filters),
        (
            "dlq purge",
            &["[IDS]", "--all", "--rate", "--dry-run", "--yes", "  3    some of the IDs were not there"],
        ),
        ("dlq purge", filters),
        ("analytics", &["summary", "rebuild"]),
        ("pending", &["<GROUP>", "--consumer", "--min-idle", "--count", "[default: 50]", "--json"]),
    ];
    for (subcommand, words) in expected {
        let help =
            orderflow(&[&subcommand.split(' ').collect::<Vec<_>>()[..], &["--help"]].concat()).success();
        for word in words {
            assert!(help.contains(word), "{word:?} in:\n{help}");
        }
    }
}

#[test]
fn the_help_of_a_rebuild_says_what_it_does_and_how_it_ends() {
    let help = orderflow(&["analytics", "rebuild", "--help"]).success();
    for word in
        ["--accept-loss", "--abort", "--json", "stopping the command does not stop", "  3   refused: events"]
    {
        assert!(help.contains(word), "{word:?} in:\n{help}");
    }
}

#[test]
fn wrong_usage_is_exit_2() {
    let wrong: [&[&str]; 18] = [
        &[],
        &["nonsense"],
        &["produce"],
        &["produce", "--type", "order.paid"],
        &["produce", "--random", "1", "--file", "x"],
        &["tail", "--from", "yesterday"],
        &["pending"],
        &["pending", "g", "--min-idle", "5"],
        &["up", "--no-reset"],
        &["dlq"],
        &["dlq", "show", "g"],
        &["dlq", "ls", "g", "--reason", "boredom"],
        &["dlq", "ls", "g", "--since", "yesterday"],
        &["dlq", "redrive", "g"],
        &["dlq", "redrive", "g", "5-1", "--all"],
        &["dlq", "purge", "g", "--all", "--reason", "poison"],
        &["analytics"],
        &["analytics", "rebuild", "--abort", "--accept-loss"],
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
