//! Forms in and `{"error":…}` out, as the guide's demo speaks.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{FromRequest, Request},
    http::{StatusCode, header},
    middleware::Next,
    response::Response,
};
use serde_json::json;
use service_kit::{Problem, problem};
use url::form_urlencoded;

/// The paths of the demo.
const PATHS: [&str; 9] = [
    "/state",
    "/produce",
    "/add-worker",
    "/remove-worker",
    "/crash",
    "/autoclaim",
    "/replay",
    "/trim",
    "/reset",
];
/// The largest problem that is translated, in bytes.
const PROBLEM_MAX: usize = 64 * 1024;

/// A form. What is not asked for is ignored, as the demo does.
pub(super) struct Form(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let is_form = content_type.is_none_or(|value| {
            value.as_bytes().to_ascii_lowercase().starts_with(b"application/x-www-form-urlencoded")
        });
        if !is_form {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "/problems/unsupported-media-type", "Unsupported media type")
                .detail("allowed: application/x-www-form-urlencoded"));
        }
        let body = Bytes::from_request(request, state).await.map_err(|rejection| {
            Problem::new(rejection.status(), "/problems/bad-request", "Bad request")
                .detail(rejection.body_text())
        })?;
        Ok(Self(form_urlencoded::parse(&body).into_owned().collect()))
    }
}

impl Form {
    /// A field's text without spaces around it; empty if it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
    }

    /// Texts that must not be empty.
    pub(super) fn required<const N: usize>(&self, names: [&'static str; N]) -> Result<[&str; N], Problem> {
        let texts = names.map(|name| self.text(name));
        if texts.iter().any(|text| text.is_empty()) {
            return Err(bad_request(format!("{} are required", names.join(" and "))));
        }
        Ok(texts)
    }

    pub(super) fn number(&self, name: &str, default: i64) -> Result<i64, Problem> {
        number(name, self.text(name), default)
    }
}

/// A number as the demo takes it; `default` for an empty text.
pub(super) fn number(name: &str, text: &str, default: i64) -> Result<i64, Problem> {
    if text.is_empty() {
        return Ok(default);
    }
    text.parse().map_err(|_| bad_request(format!("{name} must be a whole number")))
}

/// What the demo answers 400 to.
pub(super) fn bad_request(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "/problems/bad-request", "Bad request").detail(detail)
}

/// Answers problems of the demo's routes as the demo does. Around everything, so that refusals look like it as well.
pub(super) async fn translate(request: Request, next: Next) -> Response {
    let is_demo = PATHS.contains(&request.uri().path());
    let response = next.run(request).await;
    let is_problem = |response: &Response| {
        response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == problem::CONTENT_TYPE)
    };
    if !is_demo || !is_problem(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, PROBLEM_MAX).await.unwrap_or_default();
    let problem = Problem::answered(parts.status, &serde_json::from_slice(&body).unwrap_or_default());
    let error = json!({ "error": problem.message() }).to_string();
    parts.headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_trimmed_and_numbers_are_numbers() {
        let form = Form(vec![("group".to_owned(), " g ".to_owned()), ("count".to_owned(), "x".to_owned())]);
        assert_eq!(form.required(["group"]).unwrap(), ["g"]);
        assert_eq!(form.required(["group", "name"]).unwrap_err().status(), StatusCode::BAD_REQUEST);
        assert_eq!(form.number("maxlen", 7).unwrap(), 7);
        assert_eq!(form.number("count", 7).unwrap_err().status(), StatusCode::BAD_REQUEST);
    }
}
