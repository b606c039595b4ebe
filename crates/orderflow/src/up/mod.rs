//! `orderflow up`: the whole pipeline on this machine, started, watched and stopped together.

mod announce;
mod command_line;
mod data_dir;
mod log;
mod plan;
mod ports;
mod programs;
mod readiness;
mod redis_server;
mod running;
mod service;
mod signals;
mod token;
mod token_file;

use std::process::ExitCode;

use anyhow::Context as _;
use service_kit::config::ConfigArgs;

use crate::output::{news, result};
use plan::{Plan, RedisChoice};
use programs::Programs;
use running::Running;
use signals::Signals;

/// Arguments of `orderflow up`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --redis-url, --redis-host, --redis-port, REDIS_URL, ORDERFLOW__REDIS__URL or redis.url in a file it starts a \
redis-server (or valkey-server) of its own: loopback only, append-only file, data in .orderflow/ of this directory. \
ORDERFLOW_REDIS_SERVER may name the program. Nothing is ever wiped without --demo.

The services (producer-api, notifications-worker, analytics-worker, reaper, console) are looked for beside this program, then \
in PATH. One that ends is reported and not started again. Ctrl-C or SIGTERM stops everything; a second one at once.

Exit codes: 0 stopped when asked to, 1 could not start, 2 wrong usage, 78 wrong configuration, 128 + the signal's \
number stopped at once.")]
pub(crate) struct Args {
    /// The settings of the Redis guide's demo: stream demo:events:orders, wiped at start; MAXLEN ~ 2000; consumers
    /// worker-a and worker-b (notifications) and worker-c (analytics); claiming left to the operator
    #[arg(long)]
    demo: bool,

    /// With --demo: keep the data of earlier runs
    #[arg(long, requires = "demo")]
    no_reset: bool,

    /// Use the Redis on this host instead of an own one
    #[arg(long, value_name = "HOST", conflicts_with = "redis_url")]
    redis_host: Option<String>,

    /// Use the Redis on this port instead of an own one
    #[arg(long, value_name = "PORT", conflicts_with = "redis_url", value_parser = clap::value_parser!(u16).range(1..))]
    redis_port: Option<u16>,

    /// Key of the event stream (the guide's name for --stream)
    #[arg(long, value_name = "KEY", conflicts_with = "stream")]
    stream_key: Option<String>,

    /// Keep about so many entries, read or not (retention.policy=maxlen)
    #[arg(long, value_name = "N")]
    maxlen: Option<u64>,

    /// Idle time after which a pending entry may be claimed, in milliseconds (`worker.claim_min_idle`)
    #[arg(long, value_name = "MS")]
    claim_idle_ms: Option<u64>,

    /// When everything is ready, print where it is as one JSON object instead of the addresses and what to try
    #[arg(long)]
    json: bool,

    /// Port of the own Redis
    #[arg(long, value_name = "PORT", default_value_t = 16_379, value_parser = clap::value_parser!(u16).range(1..))]
    embedded_redis_port: u16,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

/// Runs the subcommand until it is told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(&args)?;
    let programs = Programs::find()?;
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    // Before anything is started or wiped: another `orderflow up` may be at work.
    ports::check(plan.settings()).await?;

    let mut running = Running::default();
    let failure = tokio::select! {
        failure = start_and_watch(&plan, &programs, &mut running, args.json) => failure.err(),
        signal = signals.next() => {
            news(format_args!("orderflow: {signal}: stopping; a second one stops at once"));
            None
        }
    };
    // Told before the stop, which may take a while.
    if let Some(error) = &failure {
        news(format_args!("orderflow: {error:#}"));
    }
    let hurried = running.stop(plan.settings().shutdown.grace, &mut signals).await;
    Ok(match (failure, hurried) {
        (_, Some(signal)) => ExitCode::from(signal.exit_code()),
        (Some(_), None) => ExitCode::FAILURE,
        (None, None) => ExitCode::SUCCESS,
    })
}

/// Starts everything, tells when it is ready, then reports what ends. Returns only if it could not start.
async fn start_and_watch(
    plan: &Plan,
    programs: &Programs,
    running: &mut Running,
    json: bool,
) -> anyhow::Result<()> {
    let redis_url = match plan.redis() {
        RedisChoice::Embedded { port } => Some(running.start_redis(*port, plan.settings()).await?),
        RedisChoice::Named(url) => Some(url.clone()),
        RedisChoice::Configured => None,
    };
    let settings = plan.settings_with(redis_url.as_deref());
    plan.prepare_stream(&settings).await?;
    running.start_services(plan, programs, redis_url.as_deref())?;
    running.wait_until_ready(&settings).await?;
    result(if json {
        announce::json(&settings, running).to_string()
    } else {
        announce::text(plan, &settings, running)
    })?;
    running.report_ends().await;
    Ok(())
}
