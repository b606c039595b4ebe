//! `/api/session`, `/api/login`, `/api/logout`: what the page may do, and how somebody is let in.

use axum::{
    Json,
    extract::State,
    http::{Extensions, HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use service_kit::{
    Problem,
    auth::{Refusal, Scope, address},
    http::OverTls,
};
use utoipa::ToSchema;

use super::extract::Body;
use crate::{
    access::{COOKIE, Login},
    app::App,
};

/// What whoever asks may do here.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent answers")]
pub(super) struct Session {
    login_required: bool,
    logged_in: bool,
    read_only: bool,
    /// Whether a reset is possible.
    demo: bool,
    stream: String,
    version: &'static str,
    event_types: Vec<String>,
}

/// What may be done here; needs no login.
#[utoipa::path(get, path = "/api/session", tag = "session", responses((status = 200, body = Session)))]
pub(super) async fn session(State(app): State<App>, headers: HeaderMap) -> Json<Session> {
    let visitor = app.access.visitor(&headers);
    Json(Session {
        login_required: app.access.login_required(),
        logged_in: visitor.is_some(),
        read_only: visitor.map_or_else(|| app.access.read_only(), |visitor| visitor.read_only),
        demo: app.console().demo,
        stream: app.stream.key().to_string(),
        version: env!("CARGO_PKG_VERSION"),
        event_types: app.settings.stream.event_types.clone(),
    })
}

/// The token of the console, or an API key with the scope `admin`, or `read` to look only.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    token: String,
}

/// Begins a session: the answer's cookie is as good as the token.
#[utoipa::path(post, path = "/api/login", tag = "session", request_body = Credentials, responses(
    (status = 204, description = "logged in"),
    (status = 401, description = "another token"),
    (status = 403, description = "a key with neither the scope `admin` nor `read`"),
    (status = 429, description = "too many wrong tokens"),
))]
pub(super) async fn login(
    State(app): State<App>,
    headers: HeaderMap,
    extensions: Extensions,
    Body(Credentials { token }): Body<Credentials>,
) -> Result<Response, Problem> {
    let from = address(&extensions);
    match app.access.log_in(&token, from) {
        Login::Session(id) => {
            // Whoever terminates TLS before this console says so; a header that lies only makes the cookie stricter.
            let is_https = extensions.get::<OverTls>().is_some()
                || headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
            let secure = if is_https { "; Secure" } else { "" };
            // Without an age: it is the session that ends, `session_ttl` after it was used last.
            let cookie = format!("{COOKIE}={id}; HttpOnly; SameSite=Strict; Path=/{secure}");
            tracing::info!("somebody has logged in");
            Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
        }
        Login::NotNeeded => Ok(StatusCode::NO_CONTENT.into_response()),
        Login::WrongToken => {
            let from = from.map(tracing::field::display);
            tracing::warn!(from, "somebody has tried to log in with a wrong token");
            Err(Problem::new(StatusCode::UNAUTHORIZED, "/problems/wrong-token", "The token is wrong")
                .detail("this is neither console.token nor an API key that is known here"))
        }
        Login::MissingScope => Err(Refusal::MissingScope(Scope::Read).problem()),
        Login::TooMany(wait) => Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "/problems/too-many-logins",
            "Too many wrong tokens",
        )
        .detail("wait a moment, then try again")
        .retry_after(wait)),
        Login::NoRandomness => {
            tracing::error!("the system gives no random numbers; nobody can log in");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "/problems/internal-error", "Internal error"))
        }
    }
}

/// Ends the session.
#[utoipa::path(post, path = "/api/logout", tag = "session", responses((status = 204, description = "logged out")))]
pub(super) async fn logout(State(app): State<App>, headers: HeaderMap) -> Response {
    app.access.log_out(&headers);
    let cookie = format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}
