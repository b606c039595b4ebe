//! `orderflow produce`: sends events to producer-api over HTTP, in their order.

mod answer;
mod check;
mod client;
mod made;
mod progress;
mod send;
mod source;
mod tally;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::ArgGroup;
use reqwest::Url;
use service_kit::config::ConfigArgs;

use crate::{
    api_key::ApiKeyArgs,
    configuration::Configuration,
    durations,
    output::{news, result},
};
use check::Checker;
use client::Client;
use progress::Progress;
use send::Sender;
use source::Source;

/// Most events of one request.
const BATCH_MAX: usize = 500;

/// Some events broke the rules and were not sent.
pub(crate) const EXIT_REJECTED: u8 = 3;
/// Some events may or may not have been stored.
pub(crate) const EXIT_UNKNOWN: u8 = 4;

/// Arguments of `orderflow produce`.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("source").required(true).args(["event_type", "file", "random"])))]
#[command(after_help = "\
A refusal that says nothing was stored (429, 503 with stored: no) is tried again when the answer's Retry-After has \
passed. An answer that leaves it open (503 with stored: unknown, a broken connection) is reported and never \
repeated: the events may have been stored.

Exit codes:
  0   everything was sent
  1   producer-api cannot be reached, or refused; nothing more was sent
  2   wrong usage
  3   some events broke the rules (standard error says which); the others were
      sent with --keep-going
  4   some events may or may not have been stored (named on standard error)
  78  wrong configuration")]
pub(crate) struct Args {
    /// One event: its type, e.g. order.paid
    #[arg(long = "type", value_name = "TYPE", requires_all = ["order_id", "customer", "amount"])]
    event_type: Option<String>,

    /// One event: the order it happened to
    #[arg(long, value_name = "ID", requires = "event_type")]
    order_id: Option<String>,

    /// One event: whose order it is
    #[arg(long, value_name = "NAME", requires = "event_type")]
    customer: Option<String>,

    /// One event: the money in question, e.g. 49.50
    #[arg(long, requires = "event_type")]
    amount: Option<String>,

    /// One event: a further field; may be repeated
    #[arg(long = "field", value_name = "NAME=VALUE", requires = "event_type", value_parser = made::parse_field)]
    fields: Vec<(String, String)>,

    /// One event: when it happened, in Unix milliseconds; default: the time of receipt
    #[arg(long, value_name = "MS", requires = "event_type")]
    ts_ms: Option<String>,

    /// Many events: one JSON object a line (NDJSON); `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Made-up events: how many
    #[arg(long, value_name = "N")]
    random: Option<u64>,

    /// Skip events that break the rules instead of stopping before the batch (of up to 500) that holds one
    #[arg(long)]
    keep_going: bool,

    /// Where producer-api is; default: http:// and the setting producer.listen
    #[arg(long, value_name = "URL")]
    url: Option<Url>,

    /// Print what became of the events as a JSON object
    #[arg(long)]
    json: bool,

    /// How long to try again while nothing can be stored
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = durations::parse)]
    retry_for: Duration,

    #[command(flatten)]
    api_key: ApiKeyArgs,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

impl Args {
    fn source(&self, line_bytes_max: usize) -> anyhow::Result<Source> {
        if let Some(event_type) = &self.event_type {
            let required = [
                ("type", Some(event_type)),
                ("order_id", self.order_id.as_ref()),
                ("customer", self.customer.as_ref()),
                ("amount", self.amount.as_ref()),
                ("ts_ms", self.ts_ms.as_ref()),
            ];
            let given = required.into_iter().filter_map(|(name, value)| Some((name, value?.as_str())));
            let further = self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            return Ok(Source::one(made::event(given.chain(further))?));
        }
        match &self.file {
            Some(file) => Source::file(file, line_bytes_max),
            None => Ok(Source::random(self.random.unwrap_or_default())),
        }
    }
}

/// Runs the subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Configuration { settings, .. } = &Configuration::load_for_tool(&args.config)?;
    let client = Client::new(args.url.as_ref(), settings, args.api_key.of(settings))?;
    let checker = Checker::new(settings)?;
    // The brackets around a batch are part of the body.
    let body_bytes_max = settings.producer.body_limit_bytes.saturating_sub(2);
    let source = args.source(body_bytes_max)?;
    let progress = Progress::new(source.total());
    let mut sender = Sender::new(client, progress, args.keep_going, args.retry_for, body_bytes_max);

    let sent = send_all(source, &checker, &mut sender).await;
    let tally = sender.finish();
    sent?;
    if args.json {
        result(tally.json())?;
        return Ok(tally.exit_code());
    }
    match (args.event_type.is_some(), tally.last_id()) {
        (true, Some(id)) => result(id)?,
        (true, None) => {}
        (false, _) => result(tally.summary())?,
    }
    Ok(tally.exit_code())
}

/// Sends batch after batch until the source ends or something says stop.
async fn send_all(mut source: Source, checker: &Checker, sender: &mut Sender) -> anyhow::Result<()> {
    while let Some(batch) = source.next_batch().await? {
        let lines = batch.lines.len();
        let (valid, invalid) = checker.check(batch.lines);
        sender.reject(&invalid);
        if !invalid.is_empty() && !sender.keeps_going() {
            if lines > 1 {
                let (first, last) = (batch.first, batch.last);
                news(format_args!(
                    "stopped: nothing from {first} to {last} was sent; --keep-going skips what breaks the rules"
                ));
            }
            return Ok(());
        }
        if !sender.send(&valid, batch.done).await? {
            return Ok(());
        }
    }
    Ok(())
}
