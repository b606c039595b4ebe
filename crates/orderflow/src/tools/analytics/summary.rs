//! `orderflow analytics summary`: the summary of analytics-worker's API.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use reqwest::Url;
use serde_json::Value;
use service_kit::{
    config::{ConfigArgs, Secret, Tls},
    http::dialable,
    http_client,
};

use crate::{
    address::is_loopback,
    api_key::{self, ApiKeyArgs},
    configuration::Configuration,
    output::{printable, result},
    table::{Column, render},
    terminal,
};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Added to the API's own deadline, which is part of its configuration and may be another's.
const DEADLINE_MARGIN: Duration = Duration::from_secs(5);

/// Arguments of `orderflow analytics summary`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration")]
pub(crate) struct Args {
    /// Only the last minutes up to now, by event time, e.g. 15m, 1h or 7d
    #[arg(long)]
    window: Option<String>,

    /// Where analytics-worker's API is, instead of at `analytics.listen`
    #[arg(long, value_name = "URL")]
    url: Option<Url>,

    /// Print the API's answer as it is instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    api_key: ApiKeyArgs,

    #[command(flatten, next_help_heading = "Settings")]
    config: ConfigArgs,
}

/// Runs the subcommand.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let settings = Configuration::load_for_tool(&args.config)?.settings;
    let base = match args.url {
        Some(url) => url,
        None => {
            Url::parse(&format!("{}://{}", settings.tls.public_scheme(), dialable(settings.analytics.listen)))
                .context("analytics.listen")?
        }
    };
    anyhow::ensure!(
        ["http", "https"].contains(&base.scheme()) && base.has_host(),
        "--url {base} cannot be used; allowed: http://host[:port] or https://host[:port]"
    );
    let mut url = Url::parse(&format!("{}/v1/analytics/summary", base.as_str().trim_end_matches('/')))
        .context("--url")?;
    if let Some(window) = &args.window {
        url.query_pairs_mut().append_pair("window", window);
    }
    let key = args.api_key.of(&settings);
    let timeout = settings.analytics.query_deadline + DEADLINE_MARGIN;
    let summary = get(url, &key, &settings.tls, timeout).await?;
    if args.json {
        result(summary)?;
    } else {
        result(table(&summary, terminal::width()))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn get(url: Url, key: &Secret, tls: &Tls, timeout: Duration) -> anyhow::Result<Value> {
    // A key goes where it was meant to, and nowhere else.
    let never = reqwest::redirect::Policy::none();
    let mut http =
        http_client::builder(tls)?.connect_timeout(CONNECT_TIMEOUT).timeout(timeout).redirect(never);
    if url.host_str().is_some_and(is_loopback) {
        // http_proxy in the environment is seldom meant for this machine.
        http = http.no_proxy();
    }
    let mut request = http.build().context("cannot set up HTTP")?.get(url.clone());
    if !key.is_empty() {
        request = request.bearer_auth(key.expose());
    }
    let answer = request.send().await;
    let unreachable =
        || format!("analytics-worker cannot be asked at {url}; start it, or say where it is with --url");
    let answer = answer.map_err(reqwest::Error::without_url).with_context(unreachable)?;
    let status = answer.status();
    let body: Value = answer.json().await.unwrap_or(Value::Null);
    if !status.is_success() {
        let detail = body["errors"][0]["message"].as_str().or(body["detail"].as_str());
        bail!(
            "analytics-worker answered {status}: {}",
            printable(detail.unwrap_or("no reason given")) + api_key::hint(status)
        );
    }
    anyhow::ensure!(body.is_object(), "{url} does not answer like analytics-worker");
    Ok(body)
}

fn table(summary: &Value, width: Option<usize>) -> String {
    let text = |value: &Value| match value {
        Value::Null => "unknown".to_owned(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    };
    let mut rows: Vec<[String; 3]> = Vec::new();
    for (name, sums) in summary["by_type"].as_object().into_iter().flatten() {
        rows.push([printable(name), text(&sums["count"]), text(&sums["amount"])]);
    }
    let columns = [Column::left("TYPE").cut_to(12), Column::right("EVENTS"), Column::right("AMOUNT")];
    let mut lines = vec![render(columns, &rows, width), String::new()];
    lines.push(format!("revenue    {}", text(&summary["revenue"])));
    lines.push(format!("events     {}", text(&summary["events"])));
    lines.push(format!("customers  {}", text(&summary["customers"])));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_known_is_not_shown_as_zero() {
        let summary = json!({
            "revenue": null, "events": null, "customers": 3,
            "by_type": {"order.paid": {"count": 2, "amount": "49.50"}},
        });
        assert_eq!(
            table(&summary, None),
            "TYPE        EVENTS  AMOUNT\norder.paid       2   49.50\n\n\
             revenue    unknown\nevents     unknown\ncustomers  3"
        );
    }
}
