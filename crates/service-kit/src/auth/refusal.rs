//! [`Refusal`]: why a request is not let in, as an answer (RFC 6750, RFC 9457).

use std::time::Duration;

use axum::{
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;

use super::Scope;
use crate::Problem;

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It presents nothing.
    Missing,
    /// It presents two different credentials.
    Ambiguous,
    /// What it presents is not known here.
    Unknown,
    /// Its key was right until this moment.
    Expired(Timestamp),
    /// Its key is right, but not for this.
    MissingScope(Scope),
    /// Too much that is wrong came from its address; the next may come after this time.
    Slowed(Duration),
}

impl Refusal {
    /// The `WWW-Authenticate` of the answer, if it has one.
    pub fn challenge(&self) -> Option<String> {
        let parameters = match self {
            Self::Missing => String::new(),
            Self::Ambiguous => ", error=\"invalid_request\"".to_owned(),
            Self::Unknown | Self::Expired(_) => ", error=\"invalid_token\"".to_owned(),
            Self::MissingScope(scope) => format!(", error=\"insufficient_scope\", scope=\"{scope}\""),
            Self::Slowed(_) => return None,
        };
        Some(format!("Bearer realm=\"orderflow\"{parameters}"))
    }

    /// The body of the answer.
    pub fn problem(&self) -> Problem {
        let how = "send an API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`";
        match self {
            Self::Missing => {
                Problem::new(StatusCode::UNAUTHORIZED, "/problems/unauthorized", "A key is needed")
                    .detail(how)
            }
            Self::Ambiguous => Problem::new(
                StatusCode::BAD_REQUEST,
                "/problems/ambiguous-credentials",
                "More than one key was sent",
            )
            .detail("`Authorization` and `X-API-Key` differ, or one of them was sent twice; send one key"),
            Self::Unknown => {
                Problem::new(StatusCode::UNAUTHORIZED, "/problems/unauthorized", "A key is needed")
                    .detail(format!("the key that was sent is not known here; {how}"))
            }
            Self::Expired(at) => {
                Problem::new(StatusCode::UNAUTHORIZED, "/problems/key-expired", "The key has expired")
                    .detail(format!("it expired at {at}; ask for another one"))
                    .with("expired_at", at.to_string())
            }
            Self::MissingScope(scope) => {
                Problem::new(StatusCode::FORBIDDEN, "/problems/insufficient-scope", "The key is not for this")
                    .detail(format!("the key has not the scope {scope:?}", scope = scope.as_str()))
                    .with("scope", scope.as_str())
            }
            Self::Slowed(wait) => Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "/problems/too-many-attempts",
                "Too many wrong keys",
            )
            .detail("too many wrong keys came from this address; wait a moment, then send the right one")
            .retry_after(*wait),
        }
    }

    /// The answer with another body.
    pub fn answer(&self, problem: Problem) -> Response {
        let challenge: Option<[(HeaderName, String); 1]> =
            self.challenge().map(|challenge| [(header::WWW_AUTHENTICATE, challenge)]);
        match challenge {
            Some(challenge) => (challenge, problem).into_response(),
            None => problem.into_response(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.answer(self.problem())
    }
}
