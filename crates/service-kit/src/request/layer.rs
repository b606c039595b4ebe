//! [`RequestLayer`]: around all routes of a service, so that each request has its ID and its place in a trace.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use opentelemetry::context::FutureExt as _;
use tower::{Layer, Service};

use super::{CURRENT, Current, REQUEST_ID, RequestId};
use crate::trace;

/// Gives every request an ID and, if traces are on and it is sampled, a span. The outermost layer of a router.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct RequestLayer;

impl RequestLayer {
    /// The layer.
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = Requests<S>;

    fn layer(&self, inner: S) -> Requests<S> {
        Requests { inner }
    }
}

/// The service that [`RequestLayer`] makes.
#[derive(Debug, Clone)]
pub struct Requests<S> {
    inner: S,
}

impl<S> Service<Request> for Requests<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (id, served) = (RequestId::of(request.headers()), trace::serve(&request));
        let span = served.span.clone();
        let (method, path) = if tracing::enabled!(tracing::Level::DEBUG) {
            (request.method().clone(), request.uri().path().to_owned())
        } else {
            Default::default()
        };
        let header = id.header();
        let inner = self.inner.call(request);
        let answer = CURRENT.scope(Current { id, served }, async move {
            let mut response = inner.await?;
            tracing::debug!(%method, path, status = response.status().as_u16(), "answered");
            response.headers_mut().insert(REQUEST_ID, header);
            Ok(response)
        });
        match span {
            None => Box::pin(answer),
            Some(span) => Box::pin(async move {
                let response = answer.with_context(span.clone()).await?;
                trace::answered(&span, response.status());
                Ok(response)
            }),
        }
    }
}
