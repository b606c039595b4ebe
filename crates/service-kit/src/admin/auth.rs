//! Who may pull the levers: whoever presents the token.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    Problem,
    config::Secret,
    token::{BearerToken, bearer},
};

/// The token, if there is one.
#[derive(Clone)]
pub(super) struct Auth(Option<Arc<BearerToken>>);

impl Auth {
    pub(super) fn new(token: &Secret) -> Self {
        Self(BearerToken::new(token).map(Arc::new))
    }
}

/// Lets a request through that presents the token, and logs those that change something.
pub(super) async fn authorize(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let Some(token) = auth.0 else {
        return Problem::new(
            StatusCode::FORBIDDEN,
            "/problems/admin-disabled",
            "The admin routes are disabled",
        )
        .detail("set admin.token (ORDERFLOW__ADMIN__TOKEN or ORDERFLOW__ADMIN__TOKEN__FILE) to enable them")
        .into_response();
    };
    if !bearer(request.headers()).is_some_and(|presented| token.is(presented)) {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "/problems/unauthorized", "A token is needed")
            .detail("send the service's admin.token as `Authorization: Bearer TOKEN`");
        return ([(header::WWW_AUTHENTICATE, "Bearer")], problem).into_response();
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if method != Method::GET {
        tracing::info!(%method, path, status = response.status().as_u16(), "an operator has pulled a lever");
    }
    response
}
