//! Sees to it that every port is free before anything is started.

use service_kit::{Settings, http};

use super::service::{Listen, SERVICES};

/// The error names every address that cannot be had, in the words that the service itself would use.
pub(super) async fn check(settings: &Settings) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    // All at once, so that two services with one port are found too.
    let mut listeners = Vec::new();
    for service in SERVICES {
        for Listen { key, addr } in service.api.into_iter().chain([service.ops]) {
            let addr = addr(settings);
            if addr.port() == 0 {
                problems.push(format!("{}: {key} = {addr} has no fixed port; set one", service.name));
                continue;
            }
            match http::bind(addr, key).await {
                Ok(listener) => listeners.push(listener),
                Err(error) => {
                    let error = anyhow::Error::new(error);
                    problems.push(format!("{}: {error:#}", service.name));
                }
            }
        }
    }
    anyhow::ensure!(
        problems.is_empty(),
        "nothing was started (does another `orderflow up` run, or did one that was killed leave its services behind?):\n{}",
        problems.join("\n")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn every_port_that_cannot_be_had_is_named_at_once() {
        let mut settings = Settings::default();
        let free = || std::net::SocketAddr::from(([127, 0, 0, 1], testkit::free_port()));
        for addr in [
            &mut settings.producer.listen,
            &mut settings.notifications.ops_listen,
            &mut settings.analytics.listen,
            &mut settings.analytics.ops_listen,
            &mut settings.console.listen,
            &mut settings.console.ops_listen,
        ] {
            *addr = free();
        }
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        settings.producer.ops_listen = taken.local_addr().unwrap();
        settings.reaper.ops_listen.set_port(0);
        let error = check(&settings).await.unwrap_err().to_string();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines.len(), 3, "{error}");
        assert!(lines[1].starts_with("producer-api: cannot listen on 127.0.0.1:"), "{error}");
        assert!(lines[1].contains("(producer.ops_listen): address already in use"), "{error}");
        assert!(lines[2].starts_with("reaper: reaper.ops_listen = 127.0.0.1:0 has no fixed port"), "{error}");
    }
}
