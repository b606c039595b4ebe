//! The bodies of a connection: what comes in must make progress, what goes out keeps its request open.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{BoxError, body::Body};
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::{
    activity::{Cut, OpenRequest},
    metrics::ListenerMetrics,
};

/// A request's body made no progress for `http.body_timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing of the body arrived for {} ms", .0.as_millis())]
pub struct BodyTimeout(
    /// How long nothing arrived.
    pub Duration,
);

/// Whether a body could not be read because its client went silent: [`BodyTimeout`] is among the causes.
pub fn is_body_timeout(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<BodyTimeout>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The body of a request. Only a client that is waited for can be late: a handler that does not read, because it is
/// busy with what it has, is no silence.
pub(super) struct RequestBody {
    incoming: Incoming,
    patience: Duration,
    metrics: ListenerMetrics,
    /// Made when the client is waited for first.
    silence: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, patience: Duration, metrics: ListenerMetrics) -> Self {
        Self { incoming, patience, metrics, silence: None, waiting: false }
    }
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(context) {
            this.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let silence = this.silence.get_or_insert_with(|| Box::pin(sleep(this.patience)));
        if !this.waiting {
            silence.as_mut().reset(Instant::now() + this.patience);
            this.waiting = true;
        }
        ready!(silence.as_mut().poll(context));
        this.metrics.cut(Cut::SlowBody);
        Poll::Ready(Some(Err(BodyTimeout(this.patience).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The body of an answer.
pub(super) struct AnswerBody {
    body: Body,
    request: OpenRequest,
}

impl AnswerBody {
    pub(super) fn new(body: Body, request: OpenRequest) -> Self {
        Self { body, request }
    }
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.request.wanted();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if matches!(frame, Some(Ok(_))) {
            self.request.given();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
