//! [`Crew`]: the consumers of a running worker, and the commands that change them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{self, JoinError, JoinSet},
    time::timeout,
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
    operations::{self, Member},
    process::Process,
};
use crate::{Connector, EventStream, NameError};

/// How much longer than the wait for a name's lease the start of a consumer that was added may take.
const START_MARGIN: Duration = Duration::from_secs(5);
/// Orders that may wait for an engine, which takes each of them up at once.
const ORDERS_MAX: usize = 16;
/// The longest name of a consumer, in characters.
const NAME_MAX: usize = 200;

type Reply<T> = oneshot::Sender<Result<T, ControlError>>;

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
}

/// A consumer's entry in the list of the crew: a name is in it from the moment it is wanted until its consumer has
/// ended, so that no two consumers of one name are ever started.
struct Entry {
    member: Member,
    stop: CancellationToken,
    adding: Option<Reply<()>>,
    leaving: Option<Leaving>,
}

/// A removal under way.
struct Leaving {
    reply: Reply<Removed>,
    heir: Option<String>,
}

/// What an operation came to, as far as the crew has to know.
enum Done {
    Answered,
    Started { name: String, in_time: bool },
    HeirChosen { name: String, to: Option<String>, result: Result<Option<String>, ControlError> },
    HandedOver { to: String },
}

pub(super) struct Crew<P> {
    plan: Plan<P>,
    isolation: Isolation,
    claim_auto: bool,
    entries: BTreeMap<String, Entry>,
    tasks: JoinSet<Result<Departure, NameError>>,
    names: HashMap<task::Id, String>,
    operations: JoinSet<Done>,
    shutdown: CancellationToken,
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
                Some(command) = commands.recv() => self.on_command(command),
                // The consumers end by themselves; without any, this does.
                () = self.shutdown.cancelled(), if self.tasks.is_empty() => {}
            }
        }
        self.failure.map_or(Ok(self.total), Err)
    }

    fn start(&mut self, name: &str, adding: Option<Reply<()>>) {
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
    fn pass_position_on(&self) {
        if let Some(next) = self.entries.values().find(|entry| entry.leaving.is_none()) {
            next.member.context.levers.records_position.store(true, Ordering::Relaxed);
        }
    }

    fn tell_heir(&mut self, heir: &str) {
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

    fn start_timeout(&self) -> Duration {
        self.plan.settings.lease_ttl + START_MARGIN
    }

    /// A consumer that runs.
    fn running(&self, name: &str) -> Result<&Entry, ControlError> {
        let entry = self.entries.get(name).ok_or_else(|| ControlError::UnknownConsumer(name.to_owned()))?;
        let doing = match entry.member.state() {
            ConsumerState::Starting => "starting",
            _ if entry.leaving.is_some() => "leaving",
            ConsumerState::Leaving => "leaving",
            _ => return Ok(entry),
        };
        Err(ControlError::Busy { consumer: name.to_owned(), doing })
    }

    fn running_names(&self) -> Vec<String> {
        self.entries.keys().filter(|name| self.running(name).is_ok()).cloned().collect()
    }

    fn on_command(&mut self, command: Command) {
        if self.shutdown.is_cancelled() && !matches!(command, Command::Status { .. }) {
            // The reply is dropped, which says that the worker does not run any more.
            return;
        }
        match command {
            Command::Status { reply } => {
                let members: Vec<Member> = self.entries.values().map(|entry| entry.member.clone()).collect();
                let (group, claim_auto) = (self.plan.group.to_string(), self.claim_auto);
                self.answer(reply, async move { Ok(operations::status(group, claim_auto, members).await) });
            }
            Command::Pause { consumer, paused, reply } => {
                let members = match &consumer {
                    Some(name) => self.running(name).map(|entry| vec![entry.member.clone()]),
                    None => Ok(self.entries.values().map(|entry| entry.member.clone()).collect()),
                };
                self.answer(reply, async move { operations::pause(members?, paused).await });
            }
            Command::Claiming { auto, reply } => {
                self.claim_auto = auto;
                for entry in self.entries.values() {
                    entry.member.context.levers.switches.send_modify(|switches| switches.claim_auto = auto);
                }
                _ = reply.send(Ok(()));
            }
            Command::Add { consumer, reply } => self.add(&consumer, reply),
            Command::Remove { consumer, to, reply } => self.remove(consumer, to, reply),
            Command::Claim { consumer, claim, within, reply } => {
                let member = self.running(&consumer).map(|entry| entry.member.clone());
                self.answer(reply, async move { operations::claim(&member?, claim, within).await });
            }
            Command::Handover { consumer, to, reply } => self.hand_over(&consumer, to, reply),
            Command::DropNext { consumer, count, reply } => {
                let allowed = self.plan.settings.fault_injection;
                let member = self.running(&consumer).map(|entry| entry.member.clone());
                self.answer(reply, async move {
                    let member = member?;
                    if allowed {
                        operations::drop_next(&member, count).await
                    } else {
                        Err(ControlError::FaultInjectionOff)
                    }
                });
            }
        }
    }

    fn answer<T: Send + 'static>(
        &mut self,
        reply: Reply<T>,
        operation: impl Future<Output = Result<T, ControlError>> + Send + 'static,
    ) {
        self.operations.spawn(async move {
            // Whoever asked for it may have gone.
            _ = reply.send(operation.await);
            Done::Answered
        });
    }

    fn add(&mut self, name: &str, reply: Reply<()>) {
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        let refusal = if name.is_empty() || name.chars().count() > NAME_MAX || name.contains(odd) {
            ControlError::InvalidName(name.to_owned())
        } else if self.entries.contains_key(name) {
            ControlError::Exists(name.to_owned())
        } else {
            self.start(name, Some(reply));
            let Some(entry) = self.entries.get(name) else { return };
            let mut state = entry.member.context.levers.state.subscribe();
            let (name, within) = (name.to_owned(), self.start_timeout());
            self.operations.spawn(async move {
                let started = state.wait_for(|state| *state != ConsumerState::Starting);
                let in_time = timeout(within, started).await.is_ok();
                Done::Started { name, in_time }
            });
            return;
        };
        _ = reply.send(Err(refusal));
    }

    fn remove(&mut self, name: String, to: Option<String>, reply: Reply<Removed>) {
        let is_heir = |entry: &Entry| {
            entry.leaving.as_ref().is_some_and(|leaving| leaving.heir.as_deref() == Some(name.as_str()))
        };
        let refusal = match self.running(&name) {
            Err(refusal) => refusal,
            Ok(_) if to.as_deref() == Some(name.as_str()) => ControlError::NotAPeer(name),
            Ok(_) if self.entries.values().any(is_heir) => {
                ControlError::Busy { consumer: name, doing: "being handed another's entries" }
            }
            Ok(_) => {
                if let Some(entry) = self.entries.get_mut(&name) {
                    entry.leaving = Some(Leaving { reply, heir: None });
                }
                return self.choose_heir(name, to);
            }
        };
        _ = reply.send(Err(refusal));
    }

    fn choose_heir(&mut self, name: String, to: Option<String>) {
        let Some(entry) = self.entries.get(&name) else { return };
        let (context, peers) = (Arc::clone(&entry.member.context), self.running_names());
        self.operations.spawn(async move {
            let result = operations::choose_heir(&context, to.as_deref(), &peers).await;
            Done::HeirChosen { name, to, result }
        });
    }

    fn hand_over(&mut self, name: &str, to: String, reply: Reply<super::HandedOver>) {
        let is_leaving = self.entries.contains_key(&to) && self.running(&to).is_err();
        let member = match self.running(name) {
            Ok(_) if name == to || is_leaving => Err(ControlError::NotAPeer(to.clone())),
            member => member.map(|entry| entry.member.clone()),
        };
        self.operations.spawn(async move {
            let result = match member {
                Ok(member) => operations::hand_over(&member, &to).await,
                Err(error) => Err(error),
            };
            _ = reply.send(result);
            Done::HandedOver { to }
        });
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Answered => {}
            Done::HandedOver { to } => self.tell_heir(&to),
            Done::Started { name, in_time } => {
                let Some(entry) = self.entries.get_mut(&name) else { return };
                if !in_time || entry.member.state() == ConsumerState::Starting {
                    // Its end tells whoever added it.
                    entry.stop.cancel();
                } else if let Some(reply) = entry.adding.take() {
                    self.plan.ready.send_modify(|ready| ready.wanted += 1);
                    _ = reply.send(Ok(()));
                }
                self.pass_position_on_if_nobody_does();
            }
            Done::HeirChosen { name, to, result } => self.on_heir(name, to, result),
        }
    }

    fn pass_position_on_if_nobody_does(&self) {
        let records = |entry: &Entry| entry.member.context.levers.records_position.load(Ordering::Relaxed);
        if !self.entries.values().any(records) {
            self.pass_position_on();
        }
    }

    fn on_heir(&mut self, name: String, to: Option<String>, result: Result<Option<String>, ControlError>) {
        if let Ok(Some(heir)) = &result
            && self.entries.contains_key(heir)
            && self.running(heir).is_err()
        {
            // It has begun to leave meanwhile.
            return self.choose_heir(name, to);
        }
        let Some(entry) = self.entries.get_mut(&name) else { return };
        let Some(leaving) = &mut entry.leaving else { return };
        match result {
            Ok(heir) => {
                if let Some(heir) = &heir {
                    // Set once: a consumer leaves once.
                    _ = entry.member.context.levers.heir.set(heir.as_str().into());
                }
                leaving.heir = heir;
                self.plan.ready.send_modify(|ready| ready.wanted = ready.wanted.saturating_sub(1));
                entry.stop.cancel();
            }
            Err(error) => {
                if let Some(leaving) = entry.leaving.take() {
                    _ = leaving.reply.send(Err(error));
                }
            }
        }
    }
}
