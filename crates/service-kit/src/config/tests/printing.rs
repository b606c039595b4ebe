//! `--print-config`: valid TOML, sources, no secrets.

use super::super::{RedisUrl, Resolved, print};
use super::{args, env};

fn printed(set: &[&str], pairs: &[(&str, &str)]) -> String {
    Resolved::load(&args(set), env(pairs)).expect("a valid configuration").to_toml()
}

#[test]
fn each_value_has_its_source() {
    let toml = printed(
        &["worker.names=a,b", "notifications.templates.order.paid=Say \"hi\""],
        &[("ORDERFLOW__WORKER__BLOCK", "1500ms"), ("REDIS_URL", "redis://user:s3cret@host/0")],
    );
    for line in [
        "[redis]",
        "url = \"redis://user:***@host/0\" # REDIS_URL",
        "names = [\"a\", \"b\"] # --set worker.names",
        "block = \"1500ms\" # ORDERFLOW__WORKER__BLOCK",
        "templates = { \"order.paid\" = \"Say \\\"hi\\\"\" } # --set notifications.templates.order.paid",
        "minute_bucket_ttl = \"30d\" # default",
        "consumer_idle_dead_after = \"1h\" # default",
        "claim_auto = true # default",
        "read_count = 200 # default",
    ] {
        assert!(toml.lines().any(|printed| printed == line), "{line}\n{toml}");
    }
    assert!(!toml.contains("s3cret"), "{toml}");
}

#[test]
fn the_output_is_a_configuration_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("printed.toml");
    std::fs::write(&path, printed(&["worker.names=a,b"], &[])).unwrap();
    let again = super::ConfigArgs { config: Some(path), ..args(&[]) };
    assert_eq!(super::load(&again, &[]).unwrap().worker.names, ["a", "b"]);
}

#[test]
fn redis_urls_are_masked_wherever_they_are_shown() {
    for (url, shown) in [
        ("redis://host/", "redis://host/"),
        ("rediss://user:s3cret@host:6380/1", "rediss://user:***@host:6380/1"),
        ("unix:///run/redis.sock?user=u&pass=s3cret", "unix:///run/redis.sock?user=u&pass=***"),
        ("s3cret", "***"),
    ] {
        let url = RedisUrl::new(url);
        assert_eq!(url.to_string(), shown);
        assert_eq!(format!("{url:?}"), format!("{shown:?}"));
    }
}

#[test]
fn a_token_is_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "0123456789abcdef\n").unwrap();
    let from_file = [("ORDERFLOW__ADMIN__TOKEN__FILE", path.to_str().unwrap())];
    assert!(printed(&[], &from_file).contains("token = \"***\" # "));
    assert!(printed(&[], &[]).contains("token = \"\" # default"));
    let settings = super::load(&args(&[]), &from_file).unwrap();
    assert_eq!(settings.admin.token.expose(), "0123456789abcdef");
    assert!(!format!("{settings:?} {}", settings.admin.token).contains("0123"));
}

#[test]
fn credentials_are_told_by_their_name() {
    for key in ["admin.token", "smtp.password", "webhook.signing_secret", "redis.url"] {
        assert!(print::is_secret(key), "{key}");
    }
    assert!(!print::is_secret("worker.block"));
}

#[test]
fn keys_are_shown_by_the_beginning_of_their_hash() {
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let keys = format!(
        "[{{id=\"shop\",sha256=\"{sha256}\",scopes=[\"read\",\"produce\"],rate_per_second=5,burst=9}}]"
    );
    let toml = printed(&["console.api_key=0123456789abcdef"], &[("ORDERFLOW__AUTH__KEYS", &keys)]);
    let line = "keys = [{ id = \"shop\", sha256 = \"ba7816bf…\", scopes = [\"produce\", \"read\"], rate_per_second = 5.0, \
                burst = 9 }] # ORDERFLOW__AUTH__KEYS";
    assert!(toml.lines().any(|printed| printed == line), "{toml}");
    assert!(toml.contains("api_key = \"***\" # --set console.api_key"), "{toml}");
    assert!(!toml.contains("0123456789abcdef") && !toml.contains(&sha256[..16]), "{toml}");
    assert!(printed(&[], &[]).contains("keys = [] # default"));
}
