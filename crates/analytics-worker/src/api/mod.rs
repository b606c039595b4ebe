//! The query API over HTTP.

mod params;
mod series;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, State, rejection::PathRejection},
    http::{StatusCode, Uri},
    routing::get,
};
use serde_json::{Value, json};
use service_kit::{
    Problem,
    auth::{Authenticator, read_only},
    problem,
    request::RequestLayer,
};
use stream_core::{Error, ErrorKind};

use crate::queries::Source;

/// How often failed queries are logged.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
struct Api {
    source: Source,
    deadline: Duration,
    /// When a failed query was logged last: clients may ask a thousand times a second.
    logged: Arc<Mutex<Option<Instant>>>,
}

impl Api {
    fn log_failure(&self, error: &Error) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            *logged = Some(Instant::now());
            tracing::warn!(%error, "a query failed");
        }
    }
}

/// The routes, each answered within `deadline`.
pub(crate) fn router(source: Source, deadline: Duration, auth: &Authenticator) -> Router {
    let routes = Router::new()
        .route("/v1/analytics/summary", get(summary))
        .route("/v1/analytics/customers/top", get(top_customers))
        .route("/v1/analytics/timeseries", get(timeseries))
        .route("/v1/analytics/orders/{order_id}", get(order))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(Api { source, deadline, logged: Arc::default() });
    auth.protect(routes, read_only).layer(RequestLayer::new())
}

type Answer = Result<Json<Value>, Problem>;

async fn summary(State(api): State<Api>, uri: Uri) -> Answer {
    let window_ms = params::window_ms(&uri)?;
    let summary = || async {
        let queries = api.source.queries().await?;
        match window_ms {
            Some(window_ms) => queries.summary_of_window(params::now_ms(), window_ms).await,
            None => queries.summary().await,
        }
    };
    answer(&api, summary).await.map(Json)
}

async fn top_customers(State(api): State<Api>, uri: Uri) -> Answer {
    let count = params::top_count(&uri)?;
    answer(&api, || async { api.source.queries().await?.top_customers(count).await }).await.map(Json)
}

async fn timeseries(State(api): State<Api>, uri: Uri) -> Answer {
    let (metric, query) = series::read(&uri, api.source.types())?;
    let points = answer(&api, || async { api.source.queries().await?.series(&query).await }).await?;
    let step_ms = query.step_minutes * crate::calendar::MINUTE_MS;
    Ok(Json(json!({ "metric": metric, "step_ms": step_ms, "points": points })))
}

async fn order(State(api): State<Api>, path: Result<Path<String>, PathRejection>, uri: Uri) -> Answer {
    let order_id = params::order_id(&uri, path)?;
    let unknown =
        "no event of this order was counted, or its last one is longer ago than analytics.order_ttl";
    let found = answer(&api, || async { api.source.queries().await?.order(&order_id).await }).await?;
    found.map(Json).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "/problems/unknown-order", "Unknown order").detail(unknown)
    })
}

/// Bounds a query, and says so if Redis could not answer it. One that found its connection closed is asked again, over
/// a new one: a connection that nobody has used since Redis was away is no reason for the client to come back later.
async fn answer<T, Q>(api: &Api, query: impl Fn() -> Q) -> Result<T, Problem>
where
    Q: Future<Output = Result<T, Error>>,
{
    let repeated = async {
        match query().await {
            Err(error) if error.kind() == ErrorKind::Connection => query().await,
            answered => answered,
        }
    };
    let unavailable = |detail: String| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "/problems/unavailable", "Redis is unavailable")
            .detail(detail)
            .retry_after(Duration::from_secs(1))
    };
    match tokio::time::timeout(api.deadline, repeated).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            api.log_failure(&error);
            Err(unavailable("the projections could not be read; try again".to_owned()))
        }
        Err(_) => Err(unavailable(format!("no answer within {:?} (analytics.query_deadline)", api.deadline))),
    }
}
