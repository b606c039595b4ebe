//! `orderflow handover`: gives one consumer's pending entries to another.

use std::process::ExitCode;

use serde_json::{Value, json};
use service_kit::config::ConfigArgs;
use stream_core::{ErrorKind, Handover, HandoverError, HandoverRequest};

use super::live;
use crate::{
    admin_client,
    configuration::Configuration,
    output::{entries, printable, result},
    redis_access::Access,
};

/// Arguments of `orderflow handover`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A live consumer's process does it itself, with the admin.token of the configuration: what is being handled stays there. \
The entries of a dead consumer are moved in Redis. Delivery counts stay as they are, and the other consumer takes the \
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
        admin_client::pull(&from, &settings.admin.token, "handover", &json!({ "to": args.to })).await?
    } else {
        let idle = settings.worker.claim_min_idle / 2;
        let (group, from, to) = (&*args.group, &*args.from, &*args.to);
        from_dead(&access, &HandoverRequest { group, from, to, idle, only_if_dead: true }).await?
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

/// Moves the entries in the stream and in the group's redrive stream.
async fn from_dead(access: &Access, request: &HandoverRequest<'_>) -> anyhow::Result<Value> {
    let HandoverRequest { group, from, to, .. } = *request;
    live::consumer_exists(access, group, from).await?;
    // A success in which nothing moved would mislead.
    if from == to {
        return Err(live::not_alive(access, group, to).await);
    }
    let mut total = Handover::default();
    for stream in [access.stream.clone(), access.stream.redrive(group)] {
        match stream.handover(request).await {
            Ok(moved) => {
                total.moved += moved.moved;
                total.lost.extend(moved.lost);
            }
            Err(HandoverError::Redis(error)) if error.kind() == ErrorKind::NoGroup => {}
            Err(HandoverError::Redis(error)) => return Err(access.explain(&error)),
            Err(HandoverError::PeerGone(_)) => return Err(live::not_alive(access, group, to).await),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(json!({ "moved": total.moved, "lost": total.lost, "kept": 0 }))
}
