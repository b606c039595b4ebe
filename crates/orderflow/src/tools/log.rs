//! `orderflow log`: what a running service logs, and changing it without a restart.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use clap::{Subcommand, ValueEnum};
use serde_json::json;
use service_kit::{
    Settings,
    admin_client::{AdminClient, AdminError, LogAnswer},
    config::ConfigArgs,
};

use crate::{
    configuration::Configuration,
    durations,
    output::{printable, result},
};

/// Arguments of `orderflow log`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what a service logs
    Show(Show),
    /// Change what a service logs, for good or for a while
    Set(Set),
    /// Have a service log what its configuration says
    Reset(Show),
}

/// Arguments of `orderflow log show` and `orderflow log reset`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Its ops port is asked, with the admin.token of the configuration (that of an `orderflow up` in this directory is found by \
itself).

Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration")]
struct Show {
    #[command(flatten)]
    target: Target,
}

/// Arguments of `orderflow log set`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A restart brings the configured filter back. Its ops port is asked, with the admin.token of the configuration (that of an \
`orderflow up` in this directory is found by itself).

Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration")]
struct Set {
    /// A level, and directives for parts: e.g. debug, or `info,stream_core=debug`
    filter: String,

    /// Go back to the configured filter after this time, 1s to 24h, e.g. 10m
    #[arg(long = "for", value_name = "DURATION", value_parser = durations::parse)]
    lasting: Option<Duration>,

    #[command(flatten)]
    target: Target,
}

/// Which process.
#[derive(Debug, clap::Args)]
struct Target {
    /// The service, at the ops port that the configuration gives it
    #[arg(long, value_name = "NAME", required_unless_present = "address", conflicts_with = "address")]
    service: Option<ServiceName>,

    /// The ops port of one replica, as host:port, or `https://host:port` with TLS
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,

    /// Print the service's answer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ServiceName {
    ProducerApi,
    NotificationsWorker,
    AnalyticsWorker,
    Reaper,
    Console,
}

impl ServiceName {
    /// Its ops port as this machine reaches it.
    fn address(self, settings: &Settings) -> String {
        let listen = match self {
            Self::ProducerApi => settings.producer.ops_listen,
            Self::NotificationsWorker => settings.notifications.ops_listen,
            Self::AnalyticsWorker => settings.analytics.ops_listen,
            Self::Reaper => settings.reaper.ops_listen,
            Self::Console => settings.console.ops_listen,
        };
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let ip = if listen.ip().is_unspecified() { loopback } else { listen.ip() };
        format!("{}://{}", settings.tls.ops_scheme(), SocketAddr::new(ip, listen.port()))
    }
}

/// Runs the subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let target = match &args.command {
        Command::Show(Show { target })
        | Command::Reset(Show { target })
        | Command::Set(Set { target, .. }) => target,
    };
    let Configuration { settings, .. } = &Configuration::load_for_tool(&target.config)?;
    let address = match (&target.address, target.service) {
        (Some(address), _) => address.clone(),
        (None, Some(service)) => service.address(settings),
        (None, None) => anyhow::bail!("--service or --address is needed"),
    };
    let client = AdminClient::new(&settings.admin.token, &settings.tls)?;
    let answer = match &args.command {
        Command::Show(_) => client.log(&address).await,
        Command::Reset(_) => client.reset_log(&address).await,
        Command::Set(Set { filter, lasting, .. }) => {
            // Never longer than asked for.
            let lasting = lasting.map(|lasting| format!("{}ms", lasting.as_millis()));
            client.set_log(&address, filter, lasting.as_deref()).await
        }
    };
    show(&answer.map_err(explain)?, target.json)?;
    Ok(ExitCode::SUCCESS)
}

fn show(answer: &LogAnswer, as_json: bool) -> anyhow::Result<()> {
    let LogAnswer { filter, configured, reverts_in_seconds, .. } = answer;
    if as_json {
        return result(json!({
            "filter": filter, "configured": configured, "reverts_in_seconds": reverts_in_seconds,
        }));
    }
    let filter = printable(filter);
    match reverts_in_seconds {
        Some(seconds) => {
            let wait = durations::short(Duration::from_secs(*seconds));
            result(format_args!("{filter} (for another {wait}, then {})", printable(configured)))
        }
        None if filter == *configured => result(filter),
        None => result(format_args!("{filter} (configured: {})", printable(configured))),
    }
}

/// Says what to do.
fn explain(error: AdminError) -> anyhow::Error {
    match error {
        AdminError::NotAnAddress { address, reason } => {
            anyhow::anyhow!("{:?} is not an address: {reason}; expected host:port", printable(&address))
        }
        AdminError::NoToken { address } => anyhow::anyhow!(
            "the service at {address} asks for its admin.token; set ORDERFLOW__ADMIN__TOKEN (or \
             ORDERFLOW__ADMIN__TOKEN__FILE) to it"
        ),
        AdminError::Unreachable { address, reason, .. } => {
            anyhow::anyhow!("no service answers at {address}: {reason}")
        }
        AdminError::Refused { address, problem } => anyhow::anyhow!(
            "the service at {address} answers {}: {}",
            problem.status().as_u16(),
            printable(problem.message())
        ),
        error => anyhow::Error::new(error),
    }
}
