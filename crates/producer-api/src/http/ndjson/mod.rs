//! `POST /v1/events` with `application/x-ndjson`: one event a line in, one result a line out, while it arrives.

mod batch;
mod framing;
mod import;

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt as _, stream};
use service_kit::{Problem, auth::Caller};
use tokio::{
    sync::{Semaphore, mpsc},
    task::{JoinError, JoinHandle},
    time::timeout_at,
};

use self::import::Import;
use super::{encoding::Encoding, media_type, problems, publish::Wishes};
use crate::app::App;

/// Results that may wait for the client, in batches.
const RESULTS_WAITING: usize = 2;

/// How long to wait before lines are tried again after none could be stored.
const PAUSE: Duration = Duration::from_millis(250);

/// Bounds of NDJSON requests.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Most bytes of a line.
    pub(crate) line_bytes: usize,
    /// Most lines that are written together.
    pub(crate) batch_lines: usize,
    /// How long a client may be silent or deaf.
    pub(crate) idle_timeout: Duration,
    /// One permit for each request that may be under way.
    pub(crate) requests: Arc<Semaphore>,
}

/// Answers as soon as something of the body is there: before that a failure has a status of its own, after it the
/// problem of a line.
pub(super) async fn import(
    app: App,
    request: Request,
    encoding: Encoding,
    wishes: Wishes,
) -> Result<Response, Problem> {
    let deadline = app.deadline();
    let permit = Arc::clone(&app.ndjson().requests).try_acquire_owned();
    let permit = permit.map_err(|_| problems::too_many_imports())?;
    let caller = Caller::of(request.extensions());
    let mut chunks = encoding.decode(request.into_body());
    // The body must be asked for before the answer begins, for those who wait for `100 Continue`.
    let first = match timeout_at(deadline, chunks.next()).await {
        Ok(first) => first.transpose().map_err(|fault| fault.problem())?,
        Err(_) => return Err(problems::body_timeout()),
    };
    let (answer, batches) = mpsc::channel(RESULTS_WAITING);
    let task = tokio::spawn(Import { app, chunks, answer, caller, permit, wishes }.run(first));
    let results = Results { batches, task: Some(task) };
    let body = Body::from_stream(stream::unfold(results, Results::next));
    Ok(([(header::CONTENT_TYPE, media_type::NDJSON)], body).into_response())
}

/// Where results come from; nowhere any more once the task has ended.
struct Results {
    batches: mpsc::Receiver<Bytes>,
    task: Option<JoinHandle<()>>,
}

impl Results {
    /// The next results. If the task did not come to its end the answer breaks off: it must not look complete.
    async fn next(mut self) -> Option<(Result<Bytes, JoinError>, Self)> {
        if let Some(results) = self.batches.recv().await {
            return Some((Ok(results), self));
        }
        let error = self.task.take()?.await.err()?;
        Some((Err(error), self))
    }
}
