//! [`Crew`]: the consumers of a running worker, and the commands that change them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{self, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    ConsumersReady, DrainReport, WorkerError, WorkerMetrics, WorkerSettings,
    consumer::{Departure, run_consumer},
    context::Context,
    control::{Command, ConsumerState, ControlError, Removed},
    health::WorkerHealth,
    isolation::Isolation,
    levers::{EngineLink, Levers, Order},
    operations::Member,
    process::Process,
    trace::Tracer,
};
use crate::{Connector, EventStream, NameError};

/// How much longer than the wait for a name's lease the start of a consumer that was added may take.
const START_MARGIN: Duration = Duration::from_secs(5);
/// Commands under way at once: of the slow ones there is one a consumer, the others take seconds at most.
const OPERATIONS_MAX: usize = 256;
/// Orders that may wait for an engine, which takes each of them up at once.
const ORDERS_MAX: usize = 16;

pub(super) type Reply<T> = oneshot::Sender<Result<T, ControlError>>;

/// What every consumer of the worker is made with.
pub(super) struct Plan<P> {
    pub(super) connector: Connector,
    pub(super) stream: EventStream,
    pub(super) group: Arc<str>,
    pub(super) settings: Arc<WorkerSettings>,
    pub(super) metrics: WorkerMetrics,
    pub(super) health: WorkerHealth,
    pub(super) ready: watch::Sender<ConsumersReady>,
    pub(super) process: Arc<P>,
    pub(super) tracer: Option<Arc<dyn Tracer>>,
}

/// A consumer's entry in the list of the crew: a name is in it from the moment it is wanted until its consumer has
/// ended, so that no two consumers of one name are ever started.
pub(super) struct Entry {
    pub(super) member: Member,
    pub(super) stop: CancellationToken,
    pub(super) adding: Option<Reply<()>>,
    pub(super) leaving: Option<Leaving>,
}

/// A removal under way.
pub(super) struct Leaving {
    pub(super) reply: Reply<Removed>,
    pub(super) heir: Option<String>,
}

/// What an operation came to, as far as the crew has to know.
pub(super) enum Done {
    Answered,
    Started { name: String, in_time: bool },
    HeirChosen { name: String, to: Option<String>, result: Result<Option<String>, ControlError> },
    HandedOver { to: String },
}

pub(super) struct Crew<P> {
    pub(super) plan: Plan<P>,
    isolation: Isolation,
    pub(super) claim_auto: bool,
    pub(super) entries: BTreeMap<String, Entry>,
    tasks: JoinSet<Result<Departure, NameError>>,
    names: HashMap<task::Id, String>,
    pub(super) operations: JoinSet<Done>,
    pub(super) shutdown: CancellationToken,
    total: DrainReport,
    failure: Option<WorkerError>,
}

impl<P: Process> Crew<P> {
    pub(super) fn new(plan: Plan<P>, shutdown: &CancellationToken) -> Self {
        Self {
            claim_auto: plan.settings.claim_auto,
            isolation: Isolation::new(),
            plan,
            entries: BTreeMap::new(),
            tasks: JoinSet::new(),
            names: HashMap::new(),
            operations: JoinSet::new(),
            // One consumer that cannot go on stops the others, in order.
            shutdown: shutdown.child_token(),
            total: DrainReport::default(),
            failure: None,
        }
    }

    /// Runs the consumers of the settings, and whatever commands make of them, until shut down.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
    ) -> Result<DrainReport, WorkerError> {
        for name in self.plan.settings.consumers.clone() {
            self.start(&name, None);
        }
        self.pass_position_on();
        while !(self.shutdown.is_cancelled() && self.tasks.is_empty()) {
            tokio::select! {
                Some(result) = self.tasks.join_next_with_id() => self.on_end(result),
                Some(done) = self.operations.join_next() => match done {
                    Ok(done) => self.on_done(done),
                    // Whoever waited for it is told by the reply that was dropped.
                    Err(error) => tracing::error!(%error, "an operation on a consumer panicked"),
                },
                Some(command) = commands.recv(), if self.operations.len() < OPERATIONS_MAX => {
                    self.on_command(command);
                }
                // The consumers end by themselves; without any, this does.
                () = self.shutdown.cancelled(), if self.tasks.is_empty() => {}
            }
        }
        self.plan.health.tell_left_out(&self.plan.group, true);
        self.failure.map_or(Ok(self.total), Err)
    }

    pub(super) fn start(&mut self, name: &str, adding: Option<Reply<()>>) {
        let levers = Arc::new(Levers::new(self.claim_auto));
        let context = Arc::new(Context {
            stream: self.plan.stream.clone(),
            group: Arc::clone(&self.plan.group),
            consumer: name.into(),
            settings: Arc::clone(&self.plan.settings),
            metrics: self.plan.metrics.of_consumer(),
            health: self.plan.health.clone(),
            isolation: self.isolation.clone(),
            levers,
            tracer: self.plan.tracer.clone(),
        });
        let (orders, receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::channel(ORDERS_MAX)).unzip();
        let rests = [watch::Sender::new(true), watch::Sender::new(true)];
        let at_rest = rests.iter().map(watch::Sender::subscribe).collect();
        let mut links =
            receivers.into_iter().zip(rests).map(|(orders, at_rest)| EngineLink { orders, at_rest });
        let (Some(own), Some(redrive)) = (links.next(), links.next()) else { return };
        let stop = self.shutdown.child_token();
        let task = self.tasks.spawn(run_consumer(
            Arc::clone(&context),
            [own, redrive],
            self.plan.connector.clone(),
            Arc::clone(&self.plan.process),
            self.plan.ready.clone(),
            stop.clone(),
        ));
        self.names.insert(task.id(), name.to_owned());
        let member = Member { context, orders, at_rest };
        self.entries.insert(name.to_owned(), Entry { member, stop, adding, leaving: None });
    }

    fn on_end(&mut self, result: Result<(task::Id, Result<Departure, NameError>), JoinError>) {
        let (id, result) = match result {
            Ok((id, result)) => (id, result.map_err(Some)),
            Err(panic) => (panic.id(), Err(None)),
        };
        let Some(entry) = self.names.remove(&id).and_then(|name| self.entries.remove(&name)) else { return };
        if entry.member.context.levers.records_position.load(Ordering::Relaxed) {
            self.pass_position_on();
        }
        match (result, entry.adding, entry.leaving) {
            (Ok(departure), _, Some(leaving)) => {
                if let Some(heir) = &departure.removed.handed_over_to {
                    self.tell_heir(heir);
                }
                // Whoever asked for it may have gone.
                _ = leaving.reply.send(Ok(departure.removed));
            }
            (Ok(departure), None, None) => self.total = self.total.plus(departure.drained),
            (Ok(_), Some(reply), None) => {
                let within = self.start_timeout();
                let ended = self.shutdown.is_cancelled();
                let error = if ended { ControlError::NotRunning } else { ControlError::TimedOut(within) };
                _ = reply.send(Err(error));
            }
            (Err(Some(error)), Some(reply), _) => {
                _ = reply.send(Err(match error {
                    NameError::Redis(error) => ControlError::Redis(error),
                    taken @ NameError::Taken { .. } => ControlError::Taken(taken),
                }));
            }
            (Err(error), ..) => {
                self.shutdown.cancel();
                self.failure.get_or_insert(error.map_or(WorkerError::Panicked, WorkerError::Name));
            }
        }
    }

    /// Lets one of the consumers record the group's position.
    pub(super) fn pass_position_on(&self) {
        if let Some(next) = self.entries.values().find(|entry| entry.leaving.is_none()) {
            next.member.context.levers.records_position.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn tell_heir(&mut self, heir: &str) {
        if let Some(entry) = self.entries.get(heir) {
            let orders = entry.member.orders.clone();
            self.operations.spawn(async move {
                for orders in orders {
                    // One that has ended needs not be told.
                    _ = orders.send(Order::TakeGiven).await;
                }
                Done::Answered
            });
        }
    }

    pub(super) fn start_timeout(&self) -> Duration {
        self.plan.settings.lease_ttl + START_MARGIN
    }

    /// A consumer that runs.
    pub(super) fn running(&self, name: &str) -> Result<&Entry, ControlError> {
        let entry = self.entries.get(name).ok_or_else(|| ControlError::UnknownConsumer(name.to_owned()))?;
        let doing = match entry.member.state() {
            ConsumerState::Starting => "starting",
            _ if entry.leaving.is_some() => "leaving",
            ConsumerState::Leaving => "leaving",
            _ => return Ok(entry),
        };
        Err(ControlError::Busy { consumer: name.to_owned(), doing })
    }

    /// Every consumer, and whether it can take over what another leaves: it runs, and its name is leased.
    pub(super) fn heirs(&self) -> Vec<(String, bool)> {
        let can =
            |name: &str| self.running(name).is_ok_and(|entry| entry.member.state() == ConsumerState::Running);
        self.entries.keys().map(|name| (name.clone(), can(name))).collect()
    }
}
