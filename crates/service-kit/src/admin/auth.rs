//! Who may pull the levers: whoever presents the token.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{Problem, config::Secret};

/// The token, and how it is compared.
#[derive(Clone)]
pub(super) struct Auth(Option<Arc<Token>>);

struct Token {
    token: Secret,
    /// Keyed at random for this process: how long the comparison of two of its hashes takes tells nothing about the token.
    hasher: RandomState,
}

impl Auth {
    pub(super) fn new(token: &Secret) -> Self {
        let token = Token { token: token.clone(), hasher: RandomState::new() };
        Self((!token.token.is_empty()).then(|| Arc::new(token)))
    }
}

impl Token {
    fn is(&self, presented: &str) -> bool {
        let token = self.token.expose();
        self.hasher.hash_one(presented) == self.hasher.hash_one(token) && presented == token
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

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_is_the_token() {
        let Auth(Some(token)) = Auth::new(&Secret::new("0123456789abcdef")) else {
            panic!("there is a token")
        };
        assert!(token.is("0123456789abcdef"));
        for other in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF"] {
            assert!(!token.is(other), "{other}");
        }
        assert!(Auth::new(&Secret::new("")).0.is_none());
    }
}
