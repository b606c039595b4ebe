//! The service against its own description: requests that Schemathesis makes of the OpenAPI document, valid and invalid
//! ones, each answered as the document says, none with a 5xx.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::client::Api;

/// What is not a rule of JSON Schema: that an event's time is at most 24 hours ahead of now, and that a key which was used
/// for one body is refused for another. Everything else that the document allows must be taken. Preferences of all kinds
/// are, and no replica is there to wait for.
const CONFIG: &str = r#"
[[operations]]
include-path = "/v1/events"
include-method = "POST"
checks.positive_data_acceptance.expected-statuses = ["2xx", "409", "422"]
parameters = { "header.Prefer" = "durability=none" }
"#;

/// Schemathesis: see deploy/scripts/ensure-schemathesis.sh.
fn program() -> PathBuf {
    if let Some(named) = env::var_os("SCHEMATHESIS_BIN") {
        return named.into();
    }
    // <target>/debug/producer-api
    let target = PathBuf::from(env!("CARGO_BIN_EXE_producer-api"));
    let target = target.ancestors().nth(2).expect("a target directory").to_owned();
    let program = target.join("schemathesis/bin/st");
    assert!(program.exists(), "Schemathesis is not there: make schemathesis");
    program
}

#[tokio::test]
async fn every_answer_is_as_the_document_says() {
    // Many requests on a busy machine: a deadline that passes is a 503, which is none of the service's mistakes here.
    let patient =
        [("producer.request_deadline", "20s"), ("worker.drain_timeout", "25s"), ("shutdown.grace", "30s")];
    let api = Api::with(testkit::RedisServer::start().await, &patient);
    let config = api.redis.dir().join("schemathesis.toml");
    std::fs::write(&config, CONFIG).expect("a file");
    let mut schemathesis = Command::new(program());
    schemathesis
        .arg("--config-file")
        .arg(&config)
        .args(["run", &format!("http://{}/openapi.json", api.addr)])
        // The tail never ends; its tests are in tail.rs.
        .args(["--exclude-path", "/v1/events/tail", "--phases", "examples,coverage,fuzzing", "--mode", "all"])
        .args(["--generation-deterministic", "--max-examples", "30", "--request-timeout", "30"])
        .args(["--continue-on-failure", "--no-color"])
        .current_dir(api.redis.dir())
        .stdin(Stdio::null());
    let running = tokio::task::spawn_blocking(move || schemathesis.output().expect("the program runs"));
    let output = running.await.expect("its output");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
    // That it found nothing must not be for lack of trying.
    assert!(said.contains("3 selected / 4 total"), "{said}");
    let stored = api.stored().await.len();
    assert!(stored > 20, "{stored} events were taken: {said}");
}
