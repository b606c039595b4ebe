//! What is refused at start, and what is never shown.

use std::process::Command;

use crate::receiver::{NEW_SECRET, SECRET};

fn run(settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_notifications-worker"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.contains("REDIS") || name.starts_with("ORDERFLOW")) {
            command.env_remove(name);
        }
    }
    for (key, value) in settings {
        command.env(format!("ORDERFLOW__{key}"), value);
    }
    let output = command.arg("--print-config").output().expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

#[test]
fn secrets_are_not_printed() {
    let endpoints = format!(
        "[{{name = \"crm\", url = \"https://crm.example:8443/hooks/t0ken?key=t0ken\", secrets = [\"{SECRET}\", \"{NEW_SECRET}\"]}}]"
    );
    let (code, printed) = run(&[
        ("NOTIFICATIONS__CHANNELS", "smtp,webhook"),
        ("SMTP__HOST", "mail.example"),
        ("SMTP__FROM", "orders@shop.example"),
        ("SMTP__TO", "ops@shop.example"),
        ("SMTP__USERNAME", "orderflow"),
        ("SMTP__PASSWORD", "s3cret"),
        ("WEBHOOK__ENDPOINTS", &endpoints),
    ]);
    assert_eq!(code, Some(0), "{printed}");
    for secret in ["s3cret", "t0ken", &SECRET[6..], &NEW_SECRET[6..]] {
        assert!(!printed.contains(secret), "{printed}");
    }
    let endpoints =
        "endpoints = [{ name = \"crm\", url = \"https://crm.example:8443/***\", secrets = [\"***\", \"***\"]";
    assert!(printed.contains(endpoints) && printed.contains("password = \"***\""), "{printed}");
}

#[test]
fn mistakes_are_told_at_once_without_secrets() {
    let endpoints = "[{name = \"a b\", url = \"ftp://user:s3cret@host/\", secrets = [\"s3cret\"], timeout = \"soon\", colour = 1}, {url = \"https://host/\"}]";
    let (code, told) = run(&[
        ("NOTIFICATIONS__CHANNELS", "smtp,webhook"),
        ("SMTP__USERNAME", "orderflow"),
        ("SMTP__PASSWORD", "s3cret"),
        ("SMTP__SECURITY", "none"),
        ("NOTIFICATIONS__BREAKER_FAILURES", "6"),
        ("WEBHOOK__ENDPOINTS", endpoints),
    ]);
    assert_eq!(code, Some(78), "{told}");
    for expected in [
        "smtp.host (default): is needed by the channel smtp",
        "smtp.from (default): is needed by the channel smtp",
        "smtp.to (default): is empty, and so is smtp.to_field",
        "would send smtp.password in the clear",
        "6 is above worker.max_deliveries",
        "webhook.endpoints[0].timeout",
        "webhook.endpoints[0].colour",
        "webhook.endpoints[1].name",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    assert!(!told.contains("s3cret"), "{told}");
    let endpoints = "[{name = \"a b\", url = \"ftp://user:s3cret@host/\", secrets = [\"s3cret\"]}]";
    let (code, told) = run(&[("WEBHOOK__ENDPOINTS", endpoints)]);
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("has a secret that cannot be used") && !told.contains("s3cret"), "{told}");
    let (code, told) = run(&[("WEBHOOK__ENDPOINTS", "whsec_s3cret")]);
    assert!(
        code == Some(78) && told.contains("is not a list of tables") && !told.contains("s3cret"),
        "{told}"
    );
}
