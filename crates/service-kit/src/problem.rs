//! RFC 9457 problem details as axum responses.

use std::{borrow::Cow, time::Duration};

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::request;

/// Media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error answer: what went wrong, in a form that programs can tell apart by its type.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    status: StatusCode,
    kind: Cow<'static, str>,
    title: Cow<'static, str>,
    detail: Option<String>,
    members: Map<String, Value>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem of a stable type: a relative reference such as `/problems/invalid-event`, and a
    /// title that is the same for every occurrence.
    pub fn new(
        status: StatusCode,
        kind: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (kind, title) = (kind.into(), title.into());
        Self { status, kind, title, detail: None, members: Map::new(), retry_after: None }
    }

    /// The problem that another service has answered with `status`, to be passed on or looked at. What does not say
    /// its type is `/problems/upstream`; what is no JSON object at all says nothing but its status.
    pub fn answered(status: StatusCode, body: &Value) -> Self {
        let text = |member: &str| body[member].as_str().map(str::to_owned);
        let kind = text("type").unwrap_or_else(|| "/problems/upstream".to_owned());
        let title = text("title").unwrap_or_else(|| "Another service refused".to_owned());
        let standard = ["type", "title", "status", "detail"];
        let members = body.as_object().into_iter().flatten();
        let members = members.filter(|(name, _)| !standard.contains(&name.as_str()));
        Self {
            detail: text("detail"),
            members: members.map(|(name, value)| (name.clone(), value.clone())).collect(),
            ..Self::new(status, kind, title)
        }
    }

    /// Says what is particular to this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a member of the problem type, e.g. `stored`; cannot replace a standard member.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// Adds `Retry-After`, in seconds rounded up and at least 1.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The type, e.g. `/problems/invalid-event`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What is particular to this occurrence, else its title: the one sentence to show where there is room for one.
    pub fn message(&self) -> &str {
        self.detail.as_deref().unwrap_or(&self.title)
    }

    /// What `Retry-After` says, in seconds.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|after| (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1))
    }

    /// The JSON object, also for problems inside a `207` answer.
    pub fn to_json(&self) -> Value {
        let mut object = self.members.clone();
        object.insert("type".to_owned(), self.kind.as_ref().into());
        object.insert("title".to_owned(), self.title.as_ref().into());
        object.insert("status".to_owned(), self.status.as_u16().into());
        if let Some(detail) = &self.detail {
            object.insert("detail".to_owned(), detail.as_str().into());
        }
        Value::Object(object)
    }

    /// The problem of a status that needs no type of its own.
    fn of_status(status: StatusCode) -> Self {
        let (kind, title) = match status {
            StatusCode::NOT_FOUND => ("/problems/not-found", "No such resource"),
            StatusCode::METHOD_NOT_ALLOWED => ("/problems/method-not-allowed", "Method not allowed"),
            StatusCode::PAYLOAD_TOO_LARGE => ("/problems/body-too-large", "Request body too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                ("/problems/unsupported-media-type", "Unsupported media type")
            }
            StatusCode::UNPROCESSABLE_ENTITY => ("/problems/invalid-body", "Invalid request body"),
            status if status.is_client_error() => ("/problems/bad-request", "Bad request"),
            _ => ("/problems/internal-error", "Internal error"),
        };
        Self::new(status, kind, title)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = self.to_json();
        // Whoever reports the problem can be helped by the log.
        request::with_current(|request| body["request_id"] = request.id.as_str().into());
        let body = body.to_string();
        let mut response = (self.status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Malformed JSON is `400`, JSON of another shape `422`, over the limit `413`, not JSON `415`.
impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let problem = Self::of_status(rejection.status()).detail(rejection.body_text());
        match rejection {
            JsonRejection::JsonSyntaxError(_) => {
                Self { kind: "/problems/malformed-json".into(), title: "Malformed JSON".into(), ..problem }
            }
            _ => problem,
        }
    }
}

/// A query string that does not fit is `400`.
impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        let problem = Self::of_status(rejection.status()).detail(rejection.body_text());
        Self { kind: "/problems/invalid-query".into(), title: "Invalid query".into(), ..problem }
    }
}

/// `404` for `Router::fallback`.
pub async fn not_found(uri: Uri) -> Problem {
    Problem::of_status(StatusCode::NOT_FOUND).detail(format!("there is nothing at {}", uri.path()))
}

/// `405` for `Router::method_not_allowed_fallback`; axum adds `Allow`.
pub async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::of_status(StatusCode::METHOD_NOT_ALLOWED).detail(format!("{} takes no {method}", uri.path()))
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::body::{Body, to_bytes};
    use axum::extract::FromRequest;
    use axum::http::Request;

    use super::*;

    async fn body(response: Response) -> Value {
        let bytes = to_bytes(response.into_body(), 64 * 1024).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_problem_is_problem_json_with_its_members() {
        let response = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "/problems/redis-away", "Redis is away")
            .detail("no reply within 2 s")
            .with("stored", "unknown")
            .with("status", "cannot replace a standard member")
            .retry_after(Duration::from_millis(1200))
            .into_response();

        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        let expected = serde_json::json!({
            "type": "/problems/redis-away",
            "title": "Redis is away",
            "status": 503,
            "detail": "no reply within 2 s",
            "stored": "unknown",
        });
        assert_eq!(body(response).await, expected);
    }

    #[tokio::test]
    async fn what_another_service_answered_is_passed_on() {
        let told = serde_json::json!({
            "type": "/problems/no-peer", "title": "Nobody", "status": 400, "detail": "nobody is there", "pending": 3,
        });
        let problem = Problem::answered(StatusCode::CONFLICT, &told);
        assert_eq!((problem.kind(), problem.message()), ("/problems/no-peer", "nobody is there"));
        let passed_on = body(problem.into_response()).await;
        assert_eq!((&passed_on["status"], &passed_on["pending"]), (&409.into(), &3.into()));
        let silent = Problem::answered(StatusCode::BAD_GATEWAY, &Value::Null);
        assert_eq!((silent.kind(), silent.message()), ("/problems/upstream", "Another service refused"));
    }

    #[tokio::test]
    async fn json_rejections_keep_their_status_and_get_a_type() {
        let cases = [
            ("application/json", "[1,", 400, "/problems/malformed-json"),
            ("application/json", "\"text\"", 422, "/problems/invalid-body"),
            ("text/plain", "1", 415, "/problems/unsupported-media-type"),
        ];
        for (content_type, text, status, kind) in cases {
            let request = Request::post("/").header("content-type", content_type).body(Body::from(text));
            let rejection = Json::<Vec<u32>>::from_request(request.unwrap(), &()).await.unwrap_err();
            let problem = Problem::from(rejection);
            assert_eq!((problem.status().as_u16(), problem.kind()), (status, kind));
        }
    }
}
