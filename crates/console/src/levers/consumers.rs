//! The levers of one consumer: add, remove, pause, claim, hand over, drop the next deliveries.

use serde::{Deserialize, Serialize};
use service_kit::{
    Problem,
    admin_client::{ClaimAnswer, HandoverAnswer, RemovedAnswer},
    query::quoted,
};
use utoipa::{IntoParams, ToSchema};

use super::{
    dead,
    find::{Found, address_of, find},
};
use crate::{
    app::App,
    problems,
    workers::{Asked, Process},
};

/// A consumer that was added.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Added {
    pub(crate) group: String,
    pub(crate) name: String,
    /// The ID of the process that runs it.
    pub(crate) process: String,
}

/// Who gets a removed consumer's entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Remove {
    /// A live consumer of the group; any other one if left out.
    pub(crate) to: Option<String>,
}

/// What a removed consumer left.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Removed {
    /// Who has its entries now, if it had any.
    pub(crate) handed_over_to: Option<String>,
    pub(crate) handed_over: u64,
    /// Whether it is gone from the group. If not, entries are left that could not be handed over; anybody may claim them.
    pub(crate) deleted: bool,
}

impl From<RemovedAnswer> for Removed {
    fn from(RemovedAnswer { handed_over_to, handed_over, deleted, .. }: RemovedAnswer) -> Self {
        Self { handed_over_to, handed_over, deleted }
    }
}

/// Which idle entries to claim; everything may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claim {
    /// Only entries idle for so long; the worker's `claim_min_idle` if left out.
    pub(crate) min_idle_ms: Option<u64>,
    /// Only entries pending for this consumer.
    pub(crate) from: Option<String>,
}

/// What came of a claim.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClaimReport {
    /// The idle time from which on entries were claimed.
    pub(crate) min_idle_ms: u64,
    /// Entries that were taken over.
    pub(crate) claimed: Vec<String>,
    /// How many of them were handled and acked.
    pub(crate) processed: u64,
    /// How many of them failed and are tried again later.
    pub(crate) retried: u64,
    /// How many of them are still in flight.
    pub(crate) unfinished: u64,
    /// Entries that are dead letters now.
    pub(crate) dead_lettered: Vec<String>,
    /// Entries whose payload was gone; dead letters as well.
    pub(crate) deleted: Vec<String>,
}

impl From<ClaimAnswer> for ClaimReport {
    fn from(answer: ClaimAnswer) -> Self {
        let ClaimAnswer {
            min_idle_ms, claimed, processed, retried, unfinished, dead_lettered, deleted, ..
        } = answer;
        Self { min_idle_ms, claimed, processed, retried, unfinished, dead_lettered, deleted }
    }
}

/// What a handover moved.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HandedOver {
    pub(crate) moved: u64,
    /// Entries whose payload was gone; dead letters now.
    pub(crate) lost: Vec<String>,
    /// Entries that are being handled, and stay.
    pub(crate) kept: u64,
}

impl From<HandoverAnswer> for HandedOver {
    fn from(HandoverAnswer { moved, lost, kept, .. }: HandoverAnswer) -> Self {
        Self { moved, lost, kept }
    }
}

/// Adds a consumer, to the process asked for or to that of the group with the fewest consumers. Of two that add one
/// name at the same time one succeeds: within a process its list of names decides, between processes the name's lease.
pub(crate) async fn add(app: &App, group: &str, name: &str, process: Option<&str>) -> Result<Added, Problem> {
    if !app.workers.client().has_token() {
        return Err(problems::no_admin_token());
    }
    let registered = app.workers.registered().await?;
    if registered.iter().any(|(it, alive)| *alive && it.group == group && it.consumer == name) {
        return Err(problems::consumer_exists(name));
    }
    let mut processes = app.workers.processes(&registered);
    processes.retain(|process| process.group == group);
    if processes.is_empty() {
        let groups = app.stream.groups().await.map_err(|error| problems::redis(&error))?;
        let is_known = groups.iter().any(|known| known.name == group);
        return Err(if is_known { problems::no_process(group) } else { problems::unknown_group(group) });
    }
    if let Some(id) = process {
        processes.retain(|process| process.id == id);
        if processes.is_empty() {
            return Err(problems::unknown_process(group, id));
        }
    }
    let Process { id, address, .. } = with_fewest(app.workers.ask(processes).await)?;
    app.workers.client().add(&address, name).await.map_err(problems::worker)?;
    Ok(Added { group: group.to_owned(), name: name.to_owned(), process: id })
}

/// The process with the fewest consumers among those that answer.
pub(super) fn with_fewest(asked: Vec<Asked>) -> Result<Process, Problem> {
    let mut silent = Vec::new();
    let answered = asked.into_iter().filter_map(|Asked { process, answer }| match answer {
        Ok(answer) => Some((answer.consumers.len(), process)),
        Err(reason) => {
            silent.push(reason);
            None
        }
    });
    let fewest = answered.min_by_key(|(consumers, _)| *consumers).map(|(_, process)| process);
    fewest.ok_or_else(|| problems::nobody_answers(&silent))
}

/// Removes a consumer, alive or dead: its entries go to `to`, or to a live peer.
pub(crate) async fn remove(
    app: &App,
    group: &str,
    consumer: &str,
    to: Option<&str>,
) -> Result<Removed, Problem> {
    match find(app, group, consumer).await? {
        Found::Alive { address } => {
            let removed = app.workers.client().remove(&address, consumer, to).await;
            removed.map(Removed::from).map_err(problems::worker)
        }
        Found::Dead => dead::remove(app, group, consumer, to).await,
    }
}

/// Pauses a consumer, or lets it go on.
pub(crate) async fn pause(app: &App, group: &str, consumer: &str, paused: bool) -> Result<(), Problem> {
    let address = address_of(app, group, consumer).await?;
    app.workers.client().pause(&address, consumer, paused).await.map_err(problems::worker)
}

/// Lets a consumer drop its next deliveries; how many it is to drop in all.
pub(crate) async fn drop_next(app: &App, group: &str, consumer: &str, count: u64) -> Result<u64, Problem> {
    let address = address_of(app, group, consumer).await?;
    app.workers.client().drop_next(&address, consumer, count).await.map_err(problems::worker)
}

/// Lets a consumer claim idle entries and handle them, now.
pub(crate) async fn claim(
    app: &App,
    group: &str,
    consumer: &str,
    claim: &Claim,
) -> Result<ClaimReport, Problem> {
    let address = address_of(app, group, consumer).await?;
    let claimed =
        app.workers.client().claim(&address, consumer, claim.min_idle_ms, claim.from.as_deref()).await;
    claimed.map(ClaimReport::from).map_err(problems::worker)
}

/// Gives what is pending for a consumer, and not being handled, to another.
pub(crate) async fn hand_over(
    app: &App,
    group: &str,
    consumer: &str,
    to: &str,
) -> Result<HandedOver, Problem> {
    match find(app, group, consumer).await? {
        Found::Alive { address } => {
            let moved = app.workers.client().handover(&address, consumer, to).await;
            moved.map(HandedOver::from).map_err(problems::worker)
        }
        Found::Dead => {
            let moved = dead::hand_over(app, group, consumer, to).await?;
            let lost = moved.lost.iter().map(ToString::to_string).collect();
            Ok(HandedOver { moved: moved.moved, lost, kept: 0 })
        }
    }
}

/// Refuses what cannot be a name before anybody is asked.
pub(crate) fn check_name(name: &str) -> Result<(), Problem> {
    if name.is_empty() || name.contains('/') {
        return Err(problems::invalid_name(format!("{} cannot be a consumer's name", quoted(name))));
    }
    Ok(())
}
