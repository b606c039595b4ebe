//! `orderflow handover`: gives one consumer's pending entries to another.

use std::process::ExitCode;

use serde_json::{Value, json};
use service_kit::{Settings, config::ConfigArgs};
use stream_core::{Handover, HandoverError};

use super::live;
use crate::{
    admin_client,
    api_key::ApiKeyArgs,
    configuration::Configuration,
    output::{entries, printable, result},
    redis_access::Access,
};

/// Arguments of `orderflow handover`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A live consumer's process does it itself, with --api-key or the admin.token of the configuration: what is being handled \
stays there. The entries of a dead consumer are moved in Redis. Delivery counts stay as they are, and the other consumer takes the \
entries up at once.

Exit codes: 0 done (also if nothing was pending), 1 failed, 2 wrong usage, 78 wrong configuration")]
pub(crate) struct Args {
    /// The consumer group
    group: String,

    /// The consumer that has the entries
    from: String,

    /// The live consumer that gets them
    to: String,

    /// Print the outcome as JSON
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
    let settings = &configuration.settings;
    let access = Access::open(settings)?;
    let moved = if let Some(from) = live::registered(&access, &args.group, &args.from).await? {
        if live::registered(&access, &args.group, &args.to).await?.is_none() {
            return Err(live::not_alive(&access, &args.group, &args.to).await);
        }
        let token = args.api_key.for_workers(settings);
        admin_client::pull(&from, &token, &settings.tls, "handover", &json!({ "to": args.to })).await?
    } else {
        from_dead(&access, settings, &args).await?
    };
    if args.json {
        result(moved)?;
    } else {
        let kept = moved["kept"].as_u64().unwrap_or_default();
        let lost = moved["lost"].as_array().map_or(0, Vec::len);
        result(format_args!(
            "{} of {} handed over to {}; {kept} being handled and kept, {lost} gone and dead letters now",
            entries(moved["moved"].as_u64().unwrap_or_default()),
            printable(&args.from),
            printable(&args.to),
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Moves in Redis what a dead consumer has left.
async fn from_dead(access: &Access, settings: &Settings, args: &Args) -> anyhow::Result<Value> {
    live::consumer_exists(access, &args.group, &args.from).await?;
    let idle = settings.worker.claim_min_idle / 2;
    match access.stream.hand_over_dead(&args.group, &args.from, &args.to, idle).await {
        Ok(Handover { moved, lost }) => Ok(json!({ "moved": moved, "lost": lost, "kept": 0 })),
        Err(HandoverError::Redis(error)) => Err(access.explain(&error)),
        Err(HandoverError::PeerGone(to)) => Err(live::not_alive(access, &args.group, &to).await),
        Err(error) => Err(error.into()),
    }
}
