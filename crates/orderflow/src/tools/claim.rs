//! `orderflow claim`: lets a live consumer take idle entries over and handle them, now.

use std::{process::ExitCode, time::Duration};

use serde_json::{Map, Value};
use service_kit::config::ConfigArgs;

use super::live;
use crate::{
    admin_client,
    api_key::ApiKeyArgs,
    configuration::Configuration,
    durations,
    output::{entries, result},
    redis_access::Access,
};

/// Arguments of `orderflow claim`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The consumer's process does it, at the address that it has registered, with --api-key or the admin.token of the \
configuration (that of an `orderflow up` in this directory is found by itself).

Exit codes: 0 done (also if nothing was idle), 1 failed, 2 wrong usage, 78 wrong configuration")]
pub(crate) struct Args {
    /// The consumer group
    group: String,

    /// The live consumer that takes the entries over
    consumer: String,

    /// Only entries idle for at least this long, e.g. 5s; the worker's `claim_min_idle` if left out
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    min_idle: Option<Duration>,

    /// Only entries pending for this consumer
    #[arg(long, value_name = "NAME")]
    from: Option<String>,

    /// Print the worker's answer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    api_key: ApiKeyArgs,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

/// Runs the subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load_for_tool(&args.config)?;
    let access = Access::open(&configuration.settings)?;
    let Some(consumer) = live::registered(&access, &args.group, &args.consumer).await? else {
        return Err(live::not_alive(&access, &args.group, &args.consumer).await);
    };
    if let Some(from) = &args.from {
        live::consumer_exists(&access, &args.group, from).await?;
    }
    let mut body = Map::new();
    if let Some(min_idle) = args.min_idle {
        body.insert("min_idle_ms".to_owned(), (min_idle.as_millis() as u64).into());
    }
    if let Some(from) = args.from {
        body.insert("from".to_owned(), from.into());
    }
    let settings = &configuration.settings;
    let token = &args.api_key.for_workers(settings);
    let report = admin_client::pull(&consumer, token, &settings.tls, "claim", &Value::Object(body)).await?;
    if args.json {
        result(report)?;
    } else {
        let count = |member: &str| report[member].as_array().map_or(0, Vec::len);
        let number = |member: &str| report[member].as_u64().unwrap_or_default();
        let idle = durations::short(Duration::from_millis(number("min_idle_ms")));
        result(format_args!(
            "claimed {} idle for {idle}: {} processed, {} to be tried again, {} unfinished, {} dead letters, \
             {} whose payload was gone",
            entries(count("claimed") as u64),
            number("processed"),
            number("retried"),
            number("unfinished"),
            count("dead_lettered"),
            count("deleted"),
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
