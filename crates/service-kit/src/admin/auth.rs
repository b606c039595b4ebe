//! Who may pull the levers: whoever presents the token, or an API key with the scope `admin`.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    Problem,
    auth::{Authenticator, Caller, Refusal, Scope, address, charged},
    config::Secret,
    token::{BearerToken, bearer},
};

/// The token, if there is one, and the keys.
#[derive(Clone)]
pub(super) struct Auth {
    token: Option<Arc<BearerToken>>,
    keys: Authenticator,
}

impl Auth {
    pub(super) fn new(token: &Secret, keys: &Authenticator) -> Self {
        Self { token: BearerToken::new(token).map(Arc::new), keys: keys.clone() }
    }

    /// Who it is: somebody with the token is nobody in particular.
    #[expect(clippy::result_large_err, reason = "the refusal is the answer")]
    fn admit(&self, request: &Request) -> Result<Caller, Response> {
        let from = address(request.extensions());
        let bearer = bearer(request.headers());
        match &self.token {
            Some(token) if bearer.is_some_and(|presented| token.is(presented)) => {
                return Ok(Caller::default());
            }
            None if !self.keys.is_required() => return Err(disabled().into_response()),
            _ => {}
        }
        let refusal = if self.keys.is_required() {
            match self.keys.admit(request.headers(), from, Scope::Admin) {
                Ok(caller) => return Ok(caller),
                Err(refusal) => refusal,
            }
        } else {
            self.refuse(bearer, from)
        };
        let problem = match &refusal {
            Refusal::Missing | Refusal::Unknown => refusal.problem().detail(self.remedy()),
            _ => refusal.problem(),
        };
        Err(refusal.answer(problem))
    }

    /// Where there are no keys, everything but the token is wrong.
    fn refuse(&self, bearer: Option<&str>, from: Option<IpAddr>) -> Refusal {
        match bearer.filter(|presented| !presented.is_empty()) {
            Some(_) => self.keys.wrong(from),
            None => self.keys.missing(from),
        }
    }

    fn remedy(&self) -> &'static str {
        match (&self.token, self.keys.is_required()) {
            (Some(_), false) => "send the service's admin.token as `Authorization: Bearer TOKEN`",
            (Some(_), true) => {
                "send the service's admin.token, or an API key with the scope admin, as `Authorization: Bearer TOKEN`"
            }
            (None, _) => "send an API key with the scope admin as `Authorization: Bearer KEY`",
        }
    }
}

fn disabled() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "/problems/admin-disabled", "The admin routes are disabled").detail(
        "set admin.token (ORDERFLOW__ADMIN__TOKEN or ORDERFLOW__ADMIN__TOKEN__FILE), or an API key with the scope \
         admin (auth.keys), to enable them",
    )
}

/// Lets a request through that may pull levers, and logs those that change something.
pub(super) async fn authorize(State(auth): State<Auth>, request: Request, next: Next) -> Response {
    let caller = match auth.admit(&request) {
        Ok(caller) => caller,
        Err(refused) => return refused,
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = charged(caller.clone(), request, next).await;
    if method != Method::GET {
        let (status, key) = (response.status().as_u16(), caller.id());
        tracing::info!(%method, path, status, key, "an operator has pulled a lever");
    }
    response
}
