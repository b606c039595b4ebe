//! Which layer wins, and how each is read.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::super::schema::DEFAULTS;
use super::super::{Channel, ConfigArgs, LogFormat, RetentionPolicy, Settings};
use super::{args, load, refused};

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("orderflow.toml");
    std::fs::write(&path, text).expect("a written file");
    (directory, path)
}

fn with_file(path: PathBuf) -> ConfigArgs {
    ConfigArgs { config: Some(path), ..ConfigArgs::default() }
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let settings = Settings::default();
    assert_eq!(settings.redis.url.expose(), "redis://127.0.0.1:6379/");
    assert_eq!(settings.worker.claim_min_idle, Duration::from_secs(5));
    assert_eq!(settings.retention.age, Duration::from_hours(7 * 24));
    assert_eq!(settings.retention.policy, RetentionPolicy::Guarded);
    let bounds = (settings.dead_letters.max_entries, settings.dead_letters.max_age);
    assert_eq!(bounds, (100_000, Duration::from_hours(30 * 24)));
    assert_eq!(settings.notifications.channels, [Channel::Log]);
    assert_eq!(settings.notifications.ops_listen.port(), 9102);
    assert!(settings.worker.names.is_empty());
}

#[test]
fn every_documented_key_is_a_setting_and_the_other_way_round() {
    let settings = Settings::default();
    let read: BTreeSet<_> = settings.entries().into_iter().flat_map(|(_, entries)| entries).collect();
    let mut read: BTreeSet<_> = read.into_iter().map(|(key, _)| key).collect();
    assert!(read.remove("notifications.templates"), "a free table, which has no keys of its own");
    let documented: BTreeSet<_> = DEFAULTS.keys().map(String::as_str).collect();
    assert_eq!(read, documented);
}

#[test]
fn every_documented_key_has_a_comment_above_it() {
    let mut above = "";
    for line in super::super::DEFAULTS_TOML.lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(above.starts_with('#'), "{line}");
        }
        above = line;
    }
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let (_directory, path) = file("[worker]\nread_count = 1\nconcurrency = 1\nmax_in_flight = 1\n");
    let environment = [
        ("ORDERFLOW__WORKER__CONCURRENCY", "2"),
        ("ORDERFLOW__WORKER__MAX_IN_FLIGHT", "2"),
        ("HOME", "/root"),
    ];
    let flags = ConfigArgs { set: args(&["worker.max_in_flight=3"]).set, ..with_file(path) };
    let worker = load(&flags, &environment).unwrap().worker;
    assert_eq!((worker.read_count, worker.concurrency, worker.max_in_flight), (1, 2, 3));
}

#[test]
fn redis_url_is_above_the_file_and_below_the_prefixed_variable() {
    let (_directory, path) = file("[redis]\nurl = \"redis://file/\"\n");
    let flags = with_file(path);
    let url = |environment: &[(&str, &str)]| {
        load(&flags, environment).map(|settings| settings.redis.url.expose().to_owned())
    };
    assert_eq!(url(&[]).unwrap(), "redis://file/");
    assert_eq!(url(&[("REDIS_URL", "")]).unwrap(), "redis://file/");
    assert_eq!(url(&[("REDIS_URL", "redis://plain/")]).unwrap(), "redis://plain/");
    let both = [("REDIS_URL", "redis://plain/"), ("ORDERFLOW__REDIS__URL", "redis://prefixed/")];
    assert_eq!(url(&both).unwrap(), "redis://prefixed/");
}

#[test]
fn named_flags_beat_everything() {
    let flags = ConfigArgs {
        redis_url: Some("redis://flag/".to_owned()),
        stream: Some("orders".to_owned()),
        log_format: Some("json".to_owned()),
        ..args(&["redis.url=redis://set/"])
    };
    let settings = load(&flags, &[("ORDERFLOW__STREAM__KEY", "environment")]).unwrap();
    assert_eq!(settings.redis.url.expose(), "redis://flag/");
    assert_eq!(settings.stream.key, "orders");
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn a_secret_is_read_from_the_file_that_a_variable_names() {
    let (_directory, path) = file("redis://:s3cret@host/\n");
    let path = path.to_str().unwrap();
    let settings = load(&args(&[]), &[("ORDERFLOW__REDIS__URL__FILE", path)]).unwrap();
    assert_eq!(settings.redis.url.expose(), "redis://:s3cret@host/");

    let both = [("ORDERFLOW__REDIS__URL__FILE", path), ("ORDERFLOW__REDIS__URL", "redis://host/")];
    assert_eq!(
        refused(&args(&[]), &both),
        [
            "redis.url.file (ORDERFLOW__REDIS__URL__FILE): is set together with ORDERFLOW__REDIS__URL; allowed: one of the two"
        ]
    );

    let missing = refused(&args(&[]), &[("ORDERFLOW__REDIS__URL__FILE", "/nowhere/url")]);
    assert!(missing[0].starts_with("redis.url (ORDERFLOW__REDIS__URL__FILE): cannot read /nowhere/url: "));
}

#[test]
fn text_from_the_environment_gets_the_type_of_the_setting() {
    let settings = load(
        &args(&[]),
        &[
            ("ORDERFLOW__WORKER__NAMES", "worker-a, worker-b"),
            ("ORDERFLOW__WORKER__CLAIM_AUTO", "false"),
            ("ORDERFLOW__WORKER__CLAIM_MIN_IDLE", "5000ms"),
            ("ORDERFLOW__RETENTION__GROUPS", ""),
            ("ORDERFLOW__NOTIFICATIONS__TEMPLATES__ORDER__PAID", "Paid {order_id}"),
        ],
    )
    .unwrap();
    assert_eq!(settings.worker.names, ["worker-a", "worker-b"]);
    assert!(!settings.worker.claim_auto);
    assert_eq!(settings.worker.claim_min_idle, Duration::from_secs(5));
    assert!(settings.retention.groups.is_empty());
    assert_eq!(settings.notifications.templates["order.paid"], "Paid {order_id}");
}

#[test]
fn templates_take_any_event_type() {
    let (_directory, path) =
        file("[notifications.templates]\n\"order.paid\" = \"Paid\"\nrefund = \"Back\"\n");
    let templates = load(&with_file(path), &[]).unwrap().notifications.templates;
    assert_eq!(templates["order.paid"], "Paid");
    assert_eq!(templates["refund"], "Back");
}

#[test]
fn a_broken_file_is_one_line_without_its_text() {
    let (_directory, path) = file("[redis]\nurl = \"redis://:s3cret@host/\n");
    let shown = path.display().to_string();
    let lines = refused(&with_file(path), &[("ORDERFLOW__WORKER__READ_COUNT", "0")]);
    assert!(
        lines[0].starts_with(&format!("--config ({shown}): TOML parse error at line 2, column ")),
        "{lines:?}"
    );
    assert!(!lines[0].contains("s3cret"), "{lines:?}");
    assert_eq!(lines[1], "worker.read_count (ORDERFLOW__WORKER__READ_COUNT): is 0; allowed: at least 1");

    let missing = refused(&with_file("/nowhere/orderflow.toml".into()), &[]);
    assert!(missing[0].starts_with("--config (/nowhere/orderflow.toml): cannot read the file: "));
}

#[test]
fn types_in_the_file_are_strict() {
    let (_directory, path) = file("[worker]\nread_count = \"200\"\nblock = 5\nclaim_auto = 1\nnames = [1]\n");
    let lines = refused(&with_file(path), &[]);
    assert_eq!(lines.len(), 4, "{lines:?}");
}
