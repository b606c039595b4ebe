//! The levers: one handler each around the operations of [`crate::levers`].

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use service_kit::Problem;
use utoipa::ToSchema;

use super::extract::{Body, OptionalBody, Params, Path};
use crate::{
    app::App,
    levers::{
        consumers::{self, Added, Claim, ClaimReport, HandedOver, Remove, Removed},
        group::{self, Obeyed, Order},
        produce::{self, Produce, Production},
        reset::{self, Reset},
        trim::{self, Trim, Trimmed},
    },
};

type Answer<T> = Result<Json<T>, Problem>;
/// Group and consumer.
type Consumer = Path<(String, String)>;

/// Sends made-up events through producer-api.
#[utoipa::path(post, path = "/api/produce", tag = "levers", request_body = Produce, responses(
    (status = 200, body = Production),
    (status = 207, description = "only some were stored", body = Production),
    (status = 429, description = "the stream is at a hard cap of retention"),
    (status = 502, description = "producer-api does not answer"),
    (status = 503, description = "the producer's refusal"),
))]
pub(super) async fn produce(State(app): State<App>, Body(body): Body<Produce>) -> Result<Response, Problem> {
    let produced = produce::produce(&app, &body).await?;
    let status = if produced.failed.is_some() { StatusCode::MULTI_STATUS } else { StatusCode::OK };
    Ok((status, Json(produced)).into_response())
}

/// A consumer to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Add {
    name: String,
    /// The ID of the process that is to run it; that with the fewest consumers if left out.
    process: Option<String>,
}

/// Adds a consumer to a running process of the group.
#[utoipa::path(post, path = "/api/groups/{group}/consumers", tag = "levers",
    params(("group" = String, Path)), request_body = Add, responses(
    (status = 201, body = Added),
    (status = 404, description = "no such group or process"),
    (status = 409, description = "`/problems/consumer-exists`"),
    (status = 422, description = "not a name"),
    (status = 503, description = "no process of the group runs"),
))]
pub(super) async fn add(
    State(app): State<App>,
    Path(group): Path<String>,
    Body(Add { name, process }): Body<Add>,
) -> Result<(StatusCode, Json<Added>), Problem> {
    consumers::check_name(&name)?;
    let added = consumers::add(&app, &group, &name, process.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(added)))
}

/// Removes a consumer, alive or dead; its entries go to a peer.
#[utoipa::path(delete, path = "/api/groups/{group}/consumers/{consumer}", tag = "levers",
    params(("group" = String, Path), ("consumer" = String, Path), Remove), responses(
    (status = 200, body = Removed),
    (status = 404, description = "no such group or consumer"),
    (status = 409, description = "`/problems/no-peer`, `/problems/not-a-peer`, `/problems/consumer-busy`"),
))]
pub(super) async fn remove(
    State(app): State<App>,
    Path((group, consumer)): Consumer,
    Params(Remove { to }): Params<Remove>,
) -> Answer<Removed> {
    Ok(Json(consumers::remove(&app, &group, &consumer, to.as_deref()).await?))
}

/// Stops the reads and claims of a consumer.
#[utoipa::path(post, path = "/api/groups/{group}/consumers/{consumer}/pause", tag = "levers",
    params(("group" = String, Path), ("consumer" = String, Path)), responses(
    (status = 204, description = "paused"),
    (status = 404, description = "no such group or consumer"),
    (status = 409, description = "`/problems/consumer-not-alive`"),
))]
pub(super) async fn pause(
    State(app): State<App>,
    Path((group, consumer)): Consumer,
) -> Result<StatusCode, Problem> {
    consumers::pause(&app, &group, &consumer, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a pause of a consumer.
#[utoipa::path(post, path = "/api/groups/{group}/consumers/{consumer}/resume", tag = "levers",
    params(("group" = String, Path), ("consumer" = String, Path)), responses(
    (status = 204, description = "reading again"),
    (status = 404, description = "no such group or consumer"),
    (status = 409, description = "`/problems/consumer-not-alive`"),
))]
pub(super) async fn resume(
    State(app): State<App>,
    Path((group, consumer)): Consumer,
) -> Result<StatusCode, Problem> {
    consumers::pause(&app, &group, &consumer, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How many deliveries to drop.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DropNext {
    count: u64,
}

/// How many deliveries will be dropped.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Queued {
    queued: u64,
}

/// Lets a consumer drop its next deliveries, as if its process had died.
#[utoipa::path(post, path = "/api/groups/{group}/consumers/{consumer}/drop-next", tag = "levers",
    params(("group" = String, Path), ("consumer" = String, Path)), request_body = DropNext, responses(
    (status = 200, body = Queued),
    (status = 403, description = "`/problems/fault-injection-off`"),
    (status = 404, description = "no such group or consumer"),
))]
pub(super) async fn drop_next(
    State(app): State<App>,
    Path((group, consumer)): Consumer,
    Body(DropNext { count }): Body<DropNext>,
) -> Answer<Queued> {
    Ok(Json(Queued { queued: consumers::drop_next(&app, &group, &consumer, count).await? }))
}

/// Lets a consumer claim idle entries, whoever held them, and handle them now.
#[utoipa::path(post, path = "/api/groups/{group}/consumers/{consumer}/claim", tag = "levers",
    params(("group" = String, Path), ("consumer" = String, Path)), request_body = Option<Claim>, responses(
    (status = 200, body = ClaimReport),
    (status = 404, description = "no such group or consumer"),
    (status = 422, description = "`/problems/min-idle-too-short`"),
))]
pub(super) async fn claim(
    State(app): State<App>,
    Path((group, consumer)): Consumer,
    OptionalBody(body): OptionalBody<Claim>,
) -> Answer<ClaimReport> {
    Ok(Json(consumers::claim(&app, &group, &consumer, &body).await?))
}

/// Who gets a consumer's entries.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HandOver {
    /// A live consumer of the group.
    to: String,
}

/// Gives a consumer's pending entries to another; what is being handled stays.
#[utoipa::path(post, path = "/api/groups/{group}/consumers/{consumer}/handover", tag = "levers",
    params(("group" = String, Path), ("consumer" = String, Path)), request_body = HandOver, responses(
    (status = 200, body = HandedOver),
    (status = 404, description = "no such group or consumer"),
    (status = 409, description = "`/problems/not-a-peer`"),
))]
pub(super) async fn hand_over(
    State(app): State<App>,
    Path((group, consumer)): Consumer,
    Body(HandOver { to }): Body<HandOver>,
) -> Answer<HandedOver> {
    Ok(Json(consumers::hand_over(&app, &group, &consumer, &to).await?))
}

/// Whether idle entries are claimed automatically.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Claiming {
    auto: bool,
}

/// Turns automatic claiming of a group on or off, in all of its processes.
#[utoipa::path(post, path = "/api/groups/{group}/claiming", tag = "levers",
    params(("group" = String, Path)), request_body = Claiming, responses(
    (status = 200, body = Obeyed),
    (status = 502, description = "a process does not answer; `obeyed` of `asked` did it"),
    (status = 503, description = "no process of the group runs"),
))]
pub(super) async fn claiming(
    State(app): State<App>,
    Path(group): Path<String>,
    Body(Claiming { auto }): Body<Claiming>,
) -> Answer<Obeyed> {
    Ok(Json(group::tell(&app, &group, Order::Claim(auto)).await?))
}

/// Pauses all consumers of a group.
#[utoipa::path(post, path = "/api/groups/{group}/pause", tag = "levers", params(("group" = String, Path)), responses(
    (status = 200, body = Obeyed),
    (status = 502, description = "a process does not answer; `obeyed` of `asked` did it"),
    (status = 503, description = "no process of the group runs"),
))]
pub(super) async fn pause_group(State(app): State<App>, Path(group): Path<String>) -> Answer<Obeyed> {
    Ok(Json(group::tell(&app, &group, Order::Pause(true)).await?))
}

/// Ends a pause of all consumers of a group.
#[utoipa::path(post, path = "/api/groups/{group}/resume", tag = "levers", params(("group" = String, Path)), responses(
    (status = 200, body = Obeyed),
    (status = 502, description = "a process does not answer; `obeyed` of `asked` did it"),
    (status = 503, description = "no process of the group runs"),
))]
pub(super) async fn resume_group(State(app): State<App>, Path(group): Path<String>) -> Answer<Obeyed> {
    Ok(Json(group::tell(&app, &group, Order::Pause(false)).await?))
}

/// Removes old entries, whoever still needs them.
#[utoipa::path(post, path = "/api/trim", tag = "levers", request_body = Trim, responses(
    (status = 200, body = Trimmed),
    (status = 422, description = "neither a length nor an ID, or both"),
))]
pub(super) async fn trim(State(app): State<App>, Body(body): Body<Trim>) -> Answer<Trimmed> {
    Ok(Json(trim::trim(&app, &body).await?))
}

/// Wipes the demo's stream and all that was made of it, and seeds its consumers anew.
#[utoipa::path(post, path = "/api/reset", tag = "levers", responses(
    (status = 200, body = Reset),
    (status = 403, description = "`/problems/not-a-demo`"),
    (status = 409, description = "`/problems/consumer-busy`, `/problems/rebuild-under-way`: nothing was wiped"),
))]
pub(super) async fn reset(State(app): State<App>) -> Answer<Reset> {
    Ok(Json(reset::reset(&app).await?))
}
