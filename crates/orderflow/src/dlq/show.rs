//! `orderflow dlq show`: one dead letter whole, and where its entry is now.

use std::process::ExitCode;

use serde::Serialize;
use service_kit::config::ConfigArgs;
use stream_core::{DeadLetter, Fields, StreamId, Whereabouts};

use super::text::{LetterJson, UnreadableJson, time_ms};
use crate::{
    configuration::Configuration,
    moment::{shown_age, shown_time},
    output::{printable, result},
    redis_access::Access,
};

/// Arguments of `orderflow dlq show`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed (also if there is no such dead letter), 2 wrong usage, 78 wrong configuration"
)]
pub(super) struct Args {
    /// The consumer group
    group: String,

    /// The dead letter's ID, as `orderflow dlq ls` lists it
    id: StreamId,

    /// Print a JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

#[derive(Debug, Serialize)]
struct ShownJson<'a> {
    #[serde(flatten)]
    letter: LetterJson<'a>,
    in_stream: bool,
    redriven_as: &'a [StreamId],
    redrives_unknown: bool,
}

/// Runs the subcommand.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load_for_tool(&args.config)?;
    let access = Access::open(&configuration.settings)?;
    let dead_letters = access.stream.dead_letters(&args.group);
    let found = dead_letters.get(args.id).await.map_err(|error| access.explain(&error))?;
    let Some(found) = found else {
        access.group_exists(&args.group).await?;
        let (group, id) = (&args.group, args.id);
        anyhow::bail!(
            "group {group} has no dead letter {id}: it was sent back, purged or dropped, or it is an entry's ID; \
             look with `orderflow dlq ls {group}` or `… --entry {id}`"
        );
    };
    let letter = match found {
        Ok(letter) => letter,
        Err(unreadable) if args.json => {
            result(serde_json::to_string(&UnreadableJson::from(&unreadable))?)?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(unreadable) => {
            let problem = &unreadable.problem;
            result(format_args!(
                "{} is no dead letter: {problem}; somebody else has written it",
                unreadable.id
            ))?;
            result(payload(&unreadable.fields))?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let whereabouts =
        dead_letters.whereabouts(letter.entry_id).await.map_err(|error| access.explain(&error))?;
    if args.json {
        let Whereabouts { in_stream, redriven_as, redrives_unknown } = &whereabouts;
        let (in_stream, redrives_unknown) = (*in_stream, *redrives_unknown);
        let letter = LetterJson::from(&letter);
        result(serde_json::to_string(&ShownJson { letter, in_stream, redriven_as, redrives_unknown })?)?;
    } else {
        result(human(&letter, &whereabouts))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn human(letter: &DeadLetter, whereabouts: &Whereabouts) -> String {
    let died = time_ms(letter);
    let story = [
        ("dead letter", letter.id.to_string()),
        ("entry", letter.entry_id.to_string()),
        ("group", printable(&letter.group)),
        ("consumer", printable(&letter.consumer)),
        ("died", format!("{} ({} ago)", shown_time(died), shown_age(died))),
        ("reason", printable(&letter.reason)),
        ("error", printable(&letter.error)),
        ("deliveries", letter.deliveries.to_string()),
        ("redrives", letter.redrives.to_string()),
        ("in stream", if whereabouts.in_stream { "yes" } else { "no: trimmed or deleted" }.to_owned()),
        ("redriving", redriving(whereabouts)),
    ];
    let story: Vec<_> = story.iter().map(|(name, value)| format!("{name:<12} {value}")).collect();
    format!("{}\n\n{}", story.join("\n"), payload(&letter.fields))
}

fn redriving(whereabouts: &Whereabouts) -> String {
    let ids: Vec<_> = whereabouts.redriven_as.iter().map(StreamId::to_string).collect();
    match (ids.is_empty(), whereabouts.redrives_unknown) {
        (true, false) => "no".to_owned(),
        (true, true) => "unknown: too much is being redriven to look through".to_owned(),
        (false, _) => format!("yes, as {}", ids.join(", ")),
    }
}

/// The fields in their order, one a line.
fn payload(fields: &Fields) -> String {
    if fields.is_empty() {
        return "no payload: it was removed while the entry was pending; it cannot be sent back".to_owned();
    }
    let names: Vec<_> = fields.iter().map(|(name, _)| printable(&String::from_utf8_lossy(name))).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(32);
    let values = fields.iter().map(|(_, value)| printable(&String::from_utf8_lossy(value)));
    let lines: Vec<_> =
        names.iter().zip(values).map(|(name, value)| format!("{name:<width$}  {value}")).collect();
    lines.join("\n")
}
