//! What is told once everything is ready: every address, and what to try.

use std::{fmt::Write as _, path::Path};

use service_kit::Settings;

use super::{
    plan::{Plan, RedisChoice},
    service::SERVICES,
};
use service_kit::ops::dialable;

/// The block of text.
pub(super) fn text(plan: &Plan, settings: &Settings, data_dir: Option<&Path>) -> String {
    let producer = dialable(settings.producer.listen);
    let analytics = dialable(settings.analytics.listen);
    let console = dialable(settings.console.listen);
    let redis = settings.redis.url.masked();
    let stream = &settings.stream.key;
    let (own, tools) = match (plan.redis(), data_dir) {
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
         console        http://{console}/  (in a browser)\n  \
         producer API   http://{producer}/v1/events\n  \
         analytics API  http://{analytics}/v1/analytics/summary\n"
    );
    for (index, service) in SERVICES.iter().enumerate() {
        let label = if index == 0 { "metrics" } else { "" };
        let ops = dialable((service.ops.addr)(settings));
        // Writing to a String cannot fail.
        _ = writeln!(text, "  {label:<13}  http://{ops}/metrics  ({})", service.name);
    }
    let worker = dialable(settings.notifications.ops_listen);
    let token = match (plan.own_token(), data_dir) {
        (None, _) => "the configured admin.token".to_owned(),
        (Some(_), Some(dir)) => format!("admin_token in {}/up.json; the tools below find it", dir.display()),
        (Some(token), None) => format!("ORDERFLOW__ADMIN__TOKEN={token}"),
    };
    _ = writeln!(text, "  levers         http://{worker}/admin/worker, and of analytics-worker  ({token})");
    _ = write!(
        text,
        "  Redis          {redis}{own}\n  \
         stream         {stream}\n\n\
         Try:\n  \
         curl -s http://{producer}/v1/events -H 'content-type: application/json' \\\n    \
         -d '{{\"type\":\"{event_type}\",\"order_id\":\"o-1001\",\"customer\":\"alice\",\"amount\":\"49.50\"}}'\n  \
         curl -s http://{analytics}/v1/analytics/summary\n  \
         {program} produce --random 1000 --url http://{producer}\n  \
         {program} groups{tools}\n  \
         {program} consumers{tools}\n"
    );
    text
}
