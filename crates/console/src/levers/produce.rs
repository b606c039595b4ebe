//! Made-up events, sent through producer-api as any application would.

use axum::http::StatusCode;
use order_events::sample::SampleEvents;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service_kit::Problem;
use utoipa::ToSchema;

use crate::{app::App, clock, problems};

/// Most events of one request.
pub(crate) const COUNT_MAX: u64 = 500;

/// What to produce.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Produce {
    /// How many, from 1 to 500.
    #[schema(minimum = 1, maximum = 500)]
    pub(crate) count: u64,
    /// The type of all of them; random if left out.
    #[serde(rename = "type")]
    pub(crate) event_type: Option<String>,
}

/// What was produced.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Production {
    /// Events that are stored.
    pub(crate) produced: usize,
    /// Their IDs.
    pub(crate) ids: Vec<String>,
    /// Events that are not, or of which it is not known; left out if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<usize>,
}

/// Sends made-up events; the producer's refusal is passed on.
pub(crate) async fn produce(app: &App, produce: &Produce) -> Result<Production, Problem> {
    if !(1..=COUNT_MAX).contains(&produce.count) {
        return Err(problems::invalid_body(format!("count: allowed are 1 to {COUNT_MAX}")));
    }
    let events = made_up(produce, &app.settings.stream.event_types);
    let answer = app.producer.send(Method::POST, &["v1", "events"], None, Some(&events)).await?;
    let body = answer.json();
    match answer.status {
        StatusCode::CREATED => {
            let ids = texts(body["ids"].as_array().into_iter().flatten());
            Ok(Production { produced: ids.len(), ids, failed: None })
        }
        StatusCode::MULTI_STATUS => {
            let results = body["results"].as_array().into_iter().flatten();
            let ids = texts(results.map(|result| &result["id"]));
            let failed = (produce.count as usize).saturating_sub(ids.len());
            Ok(Production { produced: ids.len(), ids, failed: Some(failed) })
        }
        _ => Err(answer.problem()),
    }
}

fn texts<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<String> {
    values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

fn made_up(produce: &Produce, types: &[String]) -> Value {
    let mut samples = SampleEvents::new(|| fastrand::u64(..));
    let now_ms = clock::now_ms();
    let event = |_| {
        let event = samples.next_event(now_ms);
        // The configured types, which need not be the ones that samples have.
        let random = || types.get(fastrand::usize(..types.len().max(1))).map_or("", String::as_str);
        let event_type = produce.event_type.as_deref().unwrap_or_else(random);
        json!({
            "type": event_type, "order_id": event.order_id, "customer": event.customer,
            "amount": event.amount.to_string(),
        })
    };
    (0..produce.count).map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_type_is_that_of_all_events() {
        let types = ["order.placed", "order.refunded"].map(str::to_owned);
        let chosen = made_up(&Produce { count: 50, event_type: Some("order.paid".to_owned()) }, &types);
        assert_eq!(chosen.as_array().unwrap().len(), 50);
        assert!(chosen.as_array().unwrap().iter().all(|event| event["type"] == "order.paid"));
        let random = made_up(&Produce { count: 500, event_type: None }, &types);
        for name in &types {
            assert!(random.as_array().unwrap().iter().any(|event| event["type"] == **name), "{name}");
        }
    }
}
