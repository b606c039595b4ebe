//! One handler a lever.

use std::time::Duration;

use axum::{
    Json,
    extract::{FromRequest, OptionalFromRequest, Path, Query, Request, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use stream_core::{ClaimNow, ClaimReport, HandedOver, Removed, WorkerControl, WorkerStatus};

use crate::Problem;

/// How long a claim waits for its entries; those that take longer are told as unfinished.
const CLAIM_WITHIN: Duration = Duration::from_secs(20);
/// Deliveries that one request may have dropped.
const DROP_MAX: u64 = 10_000;

type Control = State<WorkerControl>;
type Answer<T> = Result<T, Problem>;

/// A JSON body, or the problem with it.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Self(<Json<T> as FromRequest<S>>::from_request(request, state).await?.0))
    }
}

/// A JSON body that may be left out.
pub(super) struct OptionalBody<T>(T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = <Json<T> as OptionalFromRequest<S>>::from_request(request, state).await?;
        Ok(Self(body.map(|Json(body)| body).unwrap_or_default()))
    }
}

pub(super) async fn status(State(control): Control) -> Answer<Json<WorkerStatus>> {
    Ok(Json(control.status().await?))
}

pub(super) async fn pause_all(State(control): Control) -> Answer<StatusCode> {
    control.pause(None).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn resume_all(State(control): Control) -> Answer<StatusCode> {
    control.resume(None).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn pause(State(control): Control, Path(name): Path<String>) -> Answer<StatusCode> {
    control.pause(Some(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn resume(State(control): Control, Path(name): Path<String>) -> Answer<StatusCode> {
    control.resume(Some(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claiming {
    auto: bool,
}

pub(super) async fn claiming(State(control): Control, Body(body): Body<Claiming>) -> Answer<StatusCode> {
    control.set_claiming(body.auto).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Add {
    name: String,
}

pub(super) async fn add(State(control): Control, Body(Add { name }): Body<Add>) -> Answer<impl IntoResponse> {
    control.add_consumer(&name).await?;
    let location = [(header::LOCATION, "/admin/worker")];
    Ok((StatusCode::CREATED, location, Json(json!({ "name": name }))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remove {
    to: Option<String>,
}

pub(super) async fn remove(
    State(control): Control,
    Path(name): Path<String>,
    query: Result<Query<Remove>, QueryRejection>,
) -> Answer<Json<Removed>> {
    let Query(Remove { to }) = query?;
    Ok(Json(control.remove_consumer(&name, to.as_deref()).await?))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claim {
    min_idle_ms: Option<u64>,
    from: Option<String>,
}

pub(super) async fn claim(
    State(control): Control,
    Path(name): Path<String>,
    OptionalBody(Claim { min_idle_ms, from }): OptionalBody<Claim>,
) -> Answer<Json<ClaimReport>> {
    let claim = ClaimNow { min_idle: min_idle_ms.map(Duration::from_millis), from };
    Ok(Json(control.claim(&name, claim, CLAIM_WITHIN).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handover {
    to: String,
}

pub(super) async fn handover(
    State(control): Control,
    Path(name): Path<String>,
    Body(Handover { to }): Body<Handover>,
) -> Answer<Json<HandedOver>> {
    Ok(Json(control.handover(&name, &to).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DropNext {
    count: u64,
}

pub(super) async fn drop_next(
    State(control): Control,
    Path(name): Path<String>,
    Body(DropNext { count }): Body<DropNext>,
) -> Answer<impl IntoResponse> {
    if !(1..=DROP_MAX).contains(&count) {
        let problem =
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-body", "Invalid request body");
        return Err(problem.detail(format!("count: allowed are 1 to {DROP_MAX}")));
    }
    let queued = control.drop_next(&name, count).await?;
    Ok(Json(json!({ "queued": queued })))
}
