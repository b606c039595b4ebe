//! What the crew does for a command without waiting for it in place.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};

use super::{
    context::Context,
    control::{ClaimNow, ClaimReport, ConsumerState, ConsumerStatus, ControlError, HandedOver, WorkerStatus},
    levers::{EngineStatus, Order},
    recent::merged,
    settings::WorkerSettings,
};
use crate::{Error, ErrorKind, EventStream};

/// Longest wait for what an engine answers at once.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How much longer than its BLOCK a read may take before a pause is not waited for any more.
const REST_MARGIN: Duration = Duration::from_secs(5);
/// Longest wait for what a claim came to.
const CLAIM_MAX: Duration = Duration::from_hours(24);
/// How much later than its own bound an engine may answer.
const CLAIM_MARGIN: Duration = Duration::from_secs(2);
/// Longest wait for a handover: that for a read under way, and for the scripts.
const HANDOVER_MAX: Duration = Duration::from_secs(30);

/// A running consumer as the crew holds it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) context: Arc<Context>,
    /// One for each engine: that of the stream, that of the redrive stream.
    pub(super) orders: Vec<mpsc::Sender<Order>>,
    pub(super) at_rest: Vec<watch::Receiver<bool>>,
}

impl Member {
    pub(super) fn state(&self) -> ConsumerState {
        *self.context.levers.state.borrow()
    }
}

/// Sends an order to an engine and waits for its answer.
async fn order<T>(
    orders: &mpsc::Sender<Order>,
    within: Duration,
    order: impl FnOnce(oneshot::Sender<T>) -> Order,
) -> Result<T, ControlError> {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        orders.send(order(reply)).await.map_err(|_| ControlError::NotRunning)?;
        answer.await.map_err(|_| ControlError::NotRunning)
    };
    timeout(within, asked).await.map_err(|_| ControlError::TimedOut(within))?
}

pub(super) async fn status(
    group: String,
    claim_auto: bool,
    settings: Arc<WorkerSettings>,
    members: Vec<Member>,
) -> WorkerStatus {
    let mut consumers = Vec::with_capacity(members.len());
    for member in members {
        let mut sum = EngineStatus::default();
        let state = member.state();
        // One that starts or leaves has nobody who could answer.
        let engines = if matches!(state, ConsumerState::Starting | ConsumerState::Leaving) { 0 } else { 2 };
        for orders in member.orders.iter().take(engines) {
            let status = order(orders, ANSWER_MAX, Order::Status).await.unwrap_or_default();
            sum.in_flight += status.in_flight;
            sum.parked += status.parked;
            sum.drop_next += status.drop_next;
            sum.dropped += status.dropped;
            sum.recent.extend(status.recent);
        }
        let EngineStatus { in_flight, parked, drop_next, dropped, recent } = sum;
        let paused = member.context.levers.switches.borrow().paused;
        let (name, counters) = (member.context.consumer.to_string(), member.context.metrics.counts.so_far());
        consumers.push(ConsumerStatus {
            name,
            state,
            paused,
            in_flight,
            parked,
            drop_next,
            dropped,
            counters,
            recent: merged(recent),
        });
    }
    WorkerStatus {
        group,
        claim_auto,
        claim_min_idle_ms: settings.claim_min_idle.as_millis() as u64,
        fault_injection: settings.fault_injection,
        consumers,
    }
}

/// Pauses or resumes. A pause is over its beginning when no read is under way.
pub(super) async fn pause(members: Vec<Member>, paused: bool) -> Result<(), ControlError> {
    for member in &members {
        member.context.levers.switches.send_modify(|switches| switches.paused = paused);
    }
    if !paused {
        return Ok(());
    }
    for mut member in members {
        let within = member.context.settings.block + REST_MARGIN;
        for orders in &member.orders {
            // When it answers, it has closed the gate to its reader. One that does not run yet or any more reads nothing.
            match order(orders, ANSWER_MAX, Order::Status).await {
                Ok(_) | Err(ControlError::NotRunning) => {}
                Err(error) if member.state() != ConsumerState::Starting => return Err(error),
                Err(_) => {}
            }
        }
        for at_rest in &mut member.at_rest {
            // An error says that the reader is gone.
            _ = timeout(within, at_rest.wait_for(|rests| *rests))
                .await
                .map_err(|_| ControlError::TimedOut(within))?;
        }
    }
    Ok(())
}

pub(super) async fn claim(
    member: &Member,
    claim: ClaimNow,
    within: Duration,
) -> Result<ClaimReport, ControlError> {
    let settings = &member.context.settings;
    let min_idle = claim.min_idle.unwrap_or(settings.claim_min_idle);
    if min_idle < settings.given_idle() {
        return Err(ControlError::MinIdleTooShort { asked: min_idle, least: settings.given_idle() });
    }
    let within = within.min(CLAIM_MAX);
    let deadline = Instant::now() + within;
    let ask = |orders| {
        let from = claim.from.clone();
        order(orders, within + CLAIM_MARGIN, move |reply| Order::Claim { min_idle, from, deadline, reply })
    };
    let [own, redrive] = &member.orders[..] else { return Err(ControlError::NotRunning) };
    let (own, redrive) = tokio::join!(ask(own), ask(redrive));
    let report = own??.plus(redrive??);
    Ok(ClaimReport { min_idle_ms: min_idle.as_millis() as u64, ..report })
}

pub(super) async fn hand_over(member: &Member, to: &str) -> Result<HandedOver, ControlError> {
    let alive = member.context.stream.consumers_alive(&member.context.group, &[to]).await?;
    if alive != [true] {
        return Err(ControlError::NotAPeer(to.to_owned()));
    }
    let mut total = HandedOver::default();
    for orders in &member.orders {
        let to = to.to_owned();
        let moved = order(orders, HANDOVER_MAX, move |reply| Order::Handover { to, reply }).await??;
        total.moved += moved.moved;
        total.lost.extend(moved.lost);
        total.kept += moved.kept;
    }
    Ok(total)
}

pub(super) async fn drop_next(member: &Member, count: u64) -> Result<u64, ControlError> {
    let Some(orders) = member.orders.first() else { return Err(ControlError::NotRunning) };
    order(orders, ANSWER_MAX, move |reply| Order::DropNext { count, reply }).await?
}

/// Who gets the entries of a consumer that is to leave: `to`, else one of this process's other consumers (`crew` tells
/// which of them can), else any live one of the group elsewhere. `None` if there is nobody, and nothing to get.
pub(super) async fn choose_heir(
    context: &Context,
    to: Option<&str>,
    crew: &[(String, bool)],
) -> Result<Option<String>, ControlError> {
    let Context { stream, group, consumer, .. } = context;
    if let Some(to) = to {
        let is_alive = stream.consumers_alive(group, &[to]).await? == [true];
        return if is_alive { Ok(Some(to.to_owned())) } else { Err(ControlError::NotAPeer(to.to_owned())) };
    }
    if let Some((here, _)) = crew.iter().find(|(name, can)| *can && **name != **consumer) {
        return Ok(Some(here.clone()));
    }
    let registered = stream.registered_consumers().await?;
    let others: Vec<&str> = registered
        .iter()
        .filter(|other| *other.group == **group)
        // Those of this process that hold their names and cannot are about to leave.
        .filter(|other| !crew.iter().any(|(name, _)| *name == other.consumer))
        .map(|other| other.consumer.as_str())
        .collect();
    let alive = stream.consumers_alive(group, &others).await?;
    if let Some((there, _)) = others.iter().zip(alive).find(|(_, alive)| *alive) {
        return Ok(Some((*there).to_owned()));
    }
    let pending = pending_for(stream, group, consumer).await?
        + pending_for(&stream.redrive(group), group, consumer).await?;
    if pending == 0 {
        Ok(None)
    } else {
        Err(ControlError::NoPeer { consumer: consumer.to_string(), pending })
    }
}

async fn pending_for(stream: &EventStream, group: &str, consumer: &str) -> Result<u64, Error> {
    match stream.pending_summary(group).await {
        Ok(summary) => {
            let of_it = summary.consumers.into_iter().find(|(name, _)| name == consumer);
            Ok(of_it.map_or(0, |(_, pending)| pending))
        }
        Err(error) if error.kind() == ErrorKind::NoGroup => Ok(0),
        Err(error) => Err(error),
    }
}
