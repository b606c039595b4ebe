//! Flags, and a health check against a running ops port.

use std::net::SocketAddr;
use std::time::Duration;

use clap::error::ErrorKind;
use prometheus::Registry;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{Service, health, parse};
use crate::config::Settings;
use crate::http::{Listeners, Port};
use crate::ops::{self, Condition, OpsRoutes, Readiness};

const SERVICE: Service = Service {
    name: "reaper",
    version: "1.2.3",
    about: "Sweeps.",
    ops_listen_key: "reaper.ops_listen",
    ops_listen: |settings| settings.reaper.ops_listen,
    public_listen: None,
};

#[test]
fn flags_are_parsed() {
    let args = parse(
        &SERVICE,
        [
            "reaper",
            "--config",
            "a.toml",
            "--set",
            "a.b=1",
            "--set",
            "c.d=2",
            "--stream",
            "s",
            "--print-config",
        ],
    )
    .unwrap();
    assert_eq!(args.config.set, ["a.b=1", "c.d=2"]);
    assert_eq!(args.config.config.as_deref(), Some("a.toml".as_ref()));
    assert_eq!(args.config.stream.as_deref(), Some("s"));
    assert!(args.print_config && !args.health_check);
}

#[test]
fn version_and_help_name_the_service() {
    let version = parse(&SERVICE, ["reaper", "--version"]).unwrap_err();
    assert_eq!(version.kind(), ErrorKind::DisplayVersion);
    assert_eq!(version.to_string(), "reaper 1.2.3\n");
    let help = parse(&SERVICE, ["reaper", "--help"]).unwrap_err().to_string();
    assert!(help.starts_with("Sweeps.\n"), "{help}");
    assert_eq!(parse(&SERVICE, ["reaper", "--nonsense"]).unwrap_err().exit_code(), 2);
}

#[tokio::test]
async fn the_health_check_is_what_readyz_says() {
    let readiness = Readiness::new([Condition::Redis]);
    let router = ops::router("reaper", Registry::new(), readiness.clone(), OpsRoutes::default());
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let port = Port::ops(unspecified, SERVICE.ops_listen_key);
    let listener = Listeners::default().bind(port).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(listener.serve(router, stop.clone(), Duration::from_secs(5)));

    let unready = spawn_blocking(move || health::check(addr, &Settings::default().tls))
        .await
        .unwrap()
        .unwrap_err()
        .to_string();
    assert!(unready.contains("503") && unready.contains("redis: not checked yet"), "{unready}");
    readiness.set(Condition::Redis, Ok::<_, String>(()));
    spawn_blocking(move || health::check(addr, &Settings::default().tls)).await.unwrap().unwrap();

    stop.cancel();
    server.await.unwrap();
    let gone = spawn_blocking(move || health::check(addr, &Settings::default().tls))
        .await
        .unwrap()
        .unwrap_err()
        .to_string();
    assert!(gone.starts_with("no answer from http://127.0.0.1:"), "{gone}");
}
