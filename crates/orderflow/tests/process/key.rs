//! key: what it prints is what the services take; and the key that a command presents.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, process::Stdio};

use serde_json::{Value, json};
use service_kit::{
    auth::Digest,
    config::{ConfigArgs, Resolved},
};

use crate::{
    common::{BINARY, Ended, command, orderflow, temp_dir},
    http::{Answer, Producer},
};

/// The keys of a file, by name and hash.
fn keys(file: &std::path::Path) -> Vec<(String, String)> {
    let args = ConfigArgs { config: Some(file.to_owned()), ..ConfigArgs::default() };
    let settings = Resolved::load(&args, []).unwrap().into_settings();
    settings.auth.keys.entries().iter().map(|key| (key.id.clone(), key.digest.to_hex())).collect()
}

#[test]
fn a_new_key_is_printed_once_with_its_entry() {
    let dir = temp_dir();
    let file = dir.path().join("printed.toml");
    let printed =
        orderflow(&["key", "new", "--id", "shop", "--scope", "produce", "--scope", "read"]).success();
    fs::write(&file, &printed).unwrap();
    let key =
        printed.lines().find_map(|line| line.strip_prefix("# ").filter(|it| it.starts_with("ofk_"))).unwrap();
    let random = key.strip_prefix("ofk_shop_").unwrap();
    assert_eq!(random.len(), 43, "256 bits");
    assert_eq!(keys(&file), [("shop".to_owned(), Digest::of(key.as_bytes()).to_hex())]);

    let json = orderflow(&["key", "new", "--id", "shop", "--scope", "read", "--json"]).success();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_ne!(json["key"], key);
    fs::write(&file, json["entry"].as_str().unwrap()).unwrap();
    assert_eq!(keys(&file)[0].1, json["sha256"]);
}

#[test]
fn entries_are_added_to_a_file_that_is_its_owners_alone() {
    let dir = temp_dir();
    let path = dir.path().join("keys.toml");
    let file = path.to_str().unwrap();
    for id in ["one", "two"] {
        let ended = orderflow(&["key", "new", "--id", id, "--scope", "admin", "--append", file]);
        let key = ended.success();
        let known = keys(&path);
        let (name, digest) = known.last().unwrap();
        assert_eq!((name.as_str(), digest), (id, &Digest::of(key.trim_end().as_bytes()).to_hex()));
        assert!(!fs::read_to_string(&path).unwrap().contains(key.trim_end()), "only the hash is kept");
    }
    assert_eq!(keys(&path).len(), 2);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_key_of_others_is_hashed_unless_it_could_be_guessed() {
    let hash = |key: &str| {
        let dir = temp_dir();
        let mut command = command(BINARY, dir.path());
        command.args(["key", "hash", "--id", "vault", "--scope", "read"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(key.as_bytes()).unwrap();
        Ended::from_output(child.wait_with_output().unwrap())
    };
    let key = "0123456789abcdef0123456789abcdef0123456789abcdef";
    let printed = hash(&format!("{key}\n")).success();
    assert!(printed.contains(&Digest::of(key.as_bytes()).to_hex()), "{printed}");
    for key in ["correct-horse-battery-staple", &"a".repeat(50), ""] {
        let told = hash(key).failure(1);
        assert!(told.contains("43") && (key.is_empty() || !told.contains(key)), "{told}");
    }
}

#[test]
fn the_key_is_presented_and_never_told() {
    const KEY: &str = "ofk_shop_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
    let flags = |url: &str| {
        [
            "produce",
            "--type",
            "order.paid",
            "--order-id",
            "o",
            "--customer",
            "c",
            "--amount",
            "1",
            "--url",
            url,
        ]
        .map(str::to_owned)
    };
    for (env, more) in [
        (None, &["--api-key", KEY][..]),
        (Some(("ORDERFLOW_API_KEY", KEY)), &[]),
        (Some(("ORDERFLOW__CLIENT__API_KEY", KEY)), &[]),
        (None, &[]),
    ] {
        let producer = Producer::start([]);
        let dir = temp_dir();
        let mut command = command(BINARY, dir.path());
        command.args(flags(&producer.url)).args(more).envs(env);
        Ended::of(&mut command).success();
        let expected = if env.is_some() || !more.is_empty() { Some(format!("Bearer {KEY}")) } else { None };
        assert_eq!(producer.authorizations(), [expected], "{env:?}");
    }

    let problem = json!({"type": "/problems/unauthorized", "title": "A key is needed", "detail": "send one"});
    let producer = Producer::start([Answer::Is(401, "", problem)]);
    let told =
        orderflow(&[&flags(&producer.url).each_ref().map(String::as_str)[..], &["--api-key", KEY]].concat())
            .failure(1);
    assert!(told.contains("401") && told.contains("ORDERFLOW_API_KEY") && !told.contains(KEY), "{told}");
    // It goes where it was meant to and nowhere else.
    let elsewhere = Producer::start([]);
    let location = Box::leak(format!("location: {}/v1/events\r\n", elsewhere.url).into_boxed_str());
    let producer = Producer::start([Answer::Is(307, location, json!({}))]);
    orderflow(&[&flags(&producer.url).each_ref().map(String::as_str)[..], &["--api-key", KEY]].concat())
        .failure(1);
    assert!(elsewhere.requests().is_empty() && elsewhere.authorizations().is_empty());
}
