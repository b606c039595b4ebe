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
        "Exit codes: 0 done, 1 failed",
    ] {
        assert!(help.contains(line), "{line:?} in:\n{help}");
    }
}

#[test]
fn each_help_names_its_flags() {
    let expected: [(&str, &[&str]); 6] = [
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
        ("pending", &["<GROUP>", "--consumer", "--min-idle", "--count", "[default: 50]", "--json"]),
    ];
    for (subcommand, words) in expected {
        let help = orderflow(&[subcommand, "--help"]).success();
        for word in words {
            assert!(help.contains(word), "{word:?} in:\n{help}");
        }
    }
}

#[test]
fn wrong_usage_is_exit_2() {
    let wrong: [&[&str]; 9] = [
        &[],
        &["nonsense"],
        &["produce"],
        &["produce", "--type", "order.paid"],
        &["produce", "--random", "1", "--file", "x"],
        &["tail", "--from", "yesterday"],
        &["pending"],
        &["pending", "g", "--min-idle", "5"],
        &["up", "--no-reset"],
    ];
    for args in wrong {
        let stderr = orderflow(args).failure(2);
        assert!(stderr.contains("Usage: orderflow") || stderr.contains("--help"), "{args:?}: {stderr}");
    }
}

#[test]
fn a_wrong_configuration_is_exit_78_with_every_mistake() {
    for subcommand in [&["up"][..], &["groups"], &["tail"], &["pending", "g"], &["produce", "--random", "1"]]
    {
        let flags = ["--set", "worker.block=x", "--set", "shutdown.grce=1s"];
        let stderr = orderflow(&[subcommand, &flags].concat()).failure(78);
        assert!(stderr.starts_with("orderflow: the configuration cannot be used:\n"), "{stderr}");
        assert_eq!(stderr.lines().count(), 3, "{stderr}");
    }
}
