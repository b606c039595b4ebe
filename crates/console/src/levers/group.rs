//! The levers of a whole group: every process of it is asked.

use futures_util::future::join_all;
use serde::Serialize;
use service_kit::{
    Problem,
    admin_client::{AdminClient, AdminError},
};
use utoipa::ToSchema;

use crate::{app::App, problems, workers::Process};

/// How many processes have obeyed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Obeyed {
    pub(crate) processes: usize,
}

/// What a group can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Stop reading and claiming, or go on.
    Pause(bool),
    /// Claim idle entries by itself, or not.
    Claim(bool),
}

/// Tells every process of a group. If some cannot be reached, the problem says how many did it all the same.
pub(crate) async fn tell(app: &App, group: &str, order: Order) -> Result<Obeyed, Problem> {
    let registered = app.workers.registered().await?;
    let mut processes = app.workers.processes(&registered);
    processes.retain(|process| process.group == group);
    if processes.is_empty() {
        return Err(problems::no_process(group));
    }
    let results = tell_all(app, &processes, order).await;
    let asked = results.len();
    let mut failures: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    let obeyed = asked - failures.len();
    match failures.pop() {
        None => Ok(Obeyed { processes: obeyed }),
        Some(failure) => Err(problems::worker(failure).with("obeyed", obeyed).with("asked", asked)),
    }
}

/// Tells all of these processes, at once.
pub(super) async fn tell_all(app: &App, processes: &[Process], order: Order) -> Vec<Result<(), AdminError>> {
    join_all(processes.iter().map(|process| tell_one(app.workers.client(), &process.address, order))).await
}

async fn tell_one(client: &AdminClient, address: &str, order: Order) -> Result<(), AdminError> {
    match order {
        Order::Pause(paused) => client.pause_all(address, paused).await,
        Order::Claim(auto) => client.set_claiming(address, auto).await,
    }
}
