//! What is told once everything is ready: every address, and what to try.

use std::fmt::Write as _;

use serde_json::{Value, json};
use service_kit::Settings;

use super::{
    command_line::TOKEN_FILE_VARIABLE,
    plan::{Plan, RedisChoice},
    running::Running,
    service::SERVICES,
};
use service_kit::http::dialable;

/// The same for scripts.
pub(super) fn json(settings: &Settings, running: &Running) -> Value {
    let url = |listen| format!("{}://{}", settings.tls.public_scheme(), dialable(listen));
    let ops_url = |listen| format!("{}://{}", settings.tls.ops_scheme(), dialable(listen));
    let services = running.services().map(|(spec, pid)| {
        json!({
            "name": spec.name,
            "pid": pid,
            "url": spec.api.map(|api| url((api.addr)(settings))),
            "ops_url": ops_url((spec.ops.addr)(settings)),
        })
    });
    json!({
        "services": services.collect::<Vec<_>>(),
        "redis_url": settings.redis.url.masked(),
        "stream": settings.stream.key,
        "data_dir": running.data_dir(),
        "admin_token_file": running.token_file(),
    })
}

/// The block of text.
pub(super) fn text(plan: &Plan, settings: &Settings, running: &Running) -> String {
    let producer = dialable(settings.producer.listen);
    let analytics = dialable(settings.analytics.listen);
    let console = dialable(settings.console.listen);
    let (scheme, ops_scheme) = (settings.tls.public_scheme(), settings.tls.ops_scheme());
    let redis = settings.redis.url.masked();
    let stream = &settings.stream.key;
    let (own, tools) = match (plan.redis(), running.data_dir()) {
        (RedisChoice::Embedded { .. }, Some(dir)) => {
            (format!("  (own, data in {})", dir.display()), String::new())
        }
        _ => (String::new(), format!(" --redis-url '{redis}' --stream '{stream}'")),
    };
    let types = &settings.stream.event_types;
    let preferred = types.iter().find(|name| *name == "order.paid").or_else(|| types.first());
    let event_type = preferred.map_or("order.paid", String::as_str);

    let program = std::env::args().next().unwrap_or_else(|| "orderflow".to_owned());

    let mut text = format!(
        "\nOrderflow is up; Ctrl-C stops it.\n\n  \
         console        {scheme}://{console}/  (in a browser)\n  \
         producer API   {scheme}://{producer}/v1/events\n  \
         analytics API  {scheme}://{analytics}/v1/analytics/summary\n"
    );
    for (index, service) in SERVICES.iter().enumerate() {
        let label = if index == 0 { "metrics" } else { "" };
        let ops = dialable((service.ops.addr)(settings));
        // Writing to a String cannot fail.
        _ = writeln!(text, "  {label:<13}  {ops_scheme}://{ops}/metrics  ({})", service.name);
    }
    let worker = dialable(settings.notifications.ops_listen);
    let token = match (running.token_file(), running.data_dir()) {
        (None, _) => "the configured admin.token".to_owned(),
        (Some(file), Some(_)) => format!("token in {}; the tools below find it", file.display()),
        (Some(file), None) => format!("{TOKEN_FILE_VARIABLE}={}", file.display()),
    };
    _ = writeln!(
        text,
        "  levers         {ops_scheme}://{worker}/admin/worker, and of analytics-worker  ({token})"
    );
    _ = write!(
        text,
        "  Redis          {redis}{own}\n  \
         stream         {stream}\n\n\
         Try:\n  \
         curl -s {scheme}://{producer}/v1/events -H 'content-type: application/json' \\\n    \
         -d '{{\"type\":\"{event_type}\",\"order_id\":\"o-1001\",\"customer\":\"alice\",\"amount\":\"49.50\"}}'\n  \
         curl -s {scheme}://{analytics}/v1/analytics/summary\n  \
         {program} produce --random 1000 --url {scheme}://{producer}\n  \
         {program} groups{tools}\n  \
         {program} consumers{tools}\n"
    );
    text
}
