//! The routes of the ops port.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use serde_json::json;
use tower_service::Service;

use super::Readiness;
use crate::Problem;
use crate::problem::{method_not_allowed, not_found};

/// Lets a service add routes, such as `/admin`, to its ops port once it has built what they need;
/// the ops server is up long before that. Clones share the routes.
#[derive(Debug, Clone, Default)]
pub struct OpsRoutes(Arc<RwLock<Mounted>>);

#[derive(Debug, Default)]
struct Mounted {
    /// Everything mounted so far.
    routes: Router,
    /// The same with answers to whatever else is asked for.
    served: Option<Router>,
}

impl OpsRoutes {
    /// Adds routes to those that are mounted.
    ///
    /// # Panics
    /// If a route is mounted already.
    pub fn mount(&self, more: Router) {
        let mut mounted = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let routes = mounted.routes.clone().merge(more);
        let served = routes.clone().fallback(not_found).method_not_allowed_fallback(method_not_allowed);
        *mounted = Mounted { routes, served: Some(served) };
    }

    fn served(&self) -> Option<Router> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).served.clone()
    }
}

#[derive(Debug, Clone)]
struct Ops {
    service: &'static str,
    registry: Registry,
    readiness: Readiness,
    routes: OpsRoutes,
}

/// `/livez`, `/readyz`, `/metrics` and whatever the service mounts.
pub fn router(service: &'static str, registry: Registry, readiness: Readiness, routes: OpsRoutes) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(mounted)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Ops { service, registry, readiness, routes })
}

async fn readyz(State(ops): State<Ops>) -> impl IntoResponse {
    let reasons = ops.readiness.reasons();
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "service": ops.service, "reasons": reasons })))
}

async fn metrics(State(ops): State<Ops>) -> Response {
    match TextEncoder::new().encode_to_string(&ops.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot encode the metrics");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Problem::new(status, "/problems/internal-error", "Internal error").into_response()
        }
    }
}

async fn mounted(State(ops): State<Ops>, request: Request) -> Response {
    match ops.routes.served() {
        Some(mut router) => {
            // A router is always ready, so that `poll_ready` can be left out.
            let result: Result<Response, Infallible> = router.call(request).await;
            result.into_response()
        }
        None => not_found(request.uri().clone()).await.into_response(),
    }
}
