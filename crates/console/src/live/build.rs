//! [`Builder`]: looks at Redis and at every worker process, and puts together what they tell.

use std::collections::BTreeMap;

use service_kit::admin_client::{ConsumerAnswer, WorkerAnswer};
use stream_core::{
    ConsumerInfo, Error, EventStream, GroupInfo, GroupOverview, Overview, OverviewBounds, RegisteredConsumer,
};

use super::{
    recent::Recents,
    state::{
        ConsumerState, Counters, GroupState, ProcessState, Recent, RedisState, State, StreamState, Totals,
    },
};
use crate::{
    clock,
    entry_json::EntryJson,
    workers::{Asked, PROCESSES_MAX, Workers},
};

/// What is looked at; what is beyond is left out, and the state says so.
const BOUNDS: OverviewBounds = OverviewBounds { newest: 10, groups: 50, consumers: 1_000 };
/// Of each of the newest entries no more is sent every second.
const TAIL_BYTES_MAX: usize = 1_024;

/// Builds one state after the other.
#[derive(Debug)]
pub(crate) struct Builder {
    stream: EventStream,
    workers: std::sync::Arc<Workers>,
    recents: Recents,
    /// What is shown while Redis is away.
    last: State,
}

impl Builder {
    /// `stream` should have a connection of its own: a look delays nobody then.
    pub(crate) fn new(stream: EventStream, workers: std::sync::Arc<Workers>) -> Self {
        let redis = RedisState {
            available: false,
            reason: Some("not asked yet".to_owned()),
            address: stream.connection().address(),
        };
        let last = State {
            at_ms: clock::now_ms(),
            redis,
            stream: None,
            totals: Totals::default(),
            tail: Vec::new(),
            groups: Vec::new(),
            processes: Vec::new(),
            left_out: Vec::new(),
        };
        Self { stream, workers, recents: Recents::default(), last }
    }

    /// Looks now. That Redis is away is something to be seen, not an error.
    pub(crate) async fn look(&mut self) -> State {
        match self.try_look().await {
            Ok(state) => self.last = state,
            Err(error) => {
                self.last.redis.available = false;
                self.last.redis.reason = Some(error.to_string());
                self.last.at_ms = clock::now_ms();
            }
        }
        self.last.clone()
    }

    async fn try_look(&mut self) -> Result<State, Error> {
        let overview = self.stream.overview(BOUNDS).await?;
        let processes = self.workers.processes(&overview.registered);
        let left_out = left_out(&overview, processes.len());
        let asked = self.workers.ask(processes).await;
        let answers = asked.iter().filter_map(|asked| asked.answer.as_ref().ok());
        let recent = answers.flat_map(|answer| &answer.consumers).flat_map(|consumer| &consumer.recent);
        self.recents.learn(&self.stream, recent.filter_map(|it| it.id.parse().ok())).await?;

        let now_ms = clock::now_ms();
        let look = Look { now_ms, overview: &overview, asked: &asked, recents: &self.recents };
        let groups: Vec<_> = overview.groups.iter().map(|group| look.group(group)).collect();
        let counters = groups.iter().map(|group| group.totals).fold(Counters::default(), Counters::plus);
        let info = &overview.info;
        Ok(State {
            at_ms: now_ms,
            redis: RedisState { available: true, reason: None, address: self.stream.connection().address() },
            stream: Some(StreamState {
                key: self.stream.key().to_string(),
                length: info.length,
                first_id: info.first_entry.as_ref().map(|entry| entry.id.to_string()),
                last_id: info.last_entry.as_ref().map(|entry| entry.id.to_string()),
                last_generated_id: info.last_generated_id.to_string(),
                entries_added: info.entries_added,
            }),
            totals: Totals { produced: info.entries_added, counters },
            tail: overview.newest.iter().map(|entry| EntryJson::from(entry).cut(TAIL_BYTES_MAX)).collect(),
            groups,
            processes: asked.iter().map(|asked| look.process(asked)).collect(),
            left_out,
        })
    }
}

fn left_out(overview: &Overview, processes: usize) -> Vec<String> {
    let consumers: usize = overview.groups.iter().map(|group| group.consumers_left_out).sum();
    let registered = overview.registered_left_out;
    [
        (overview.groups_left_out, "groups"),
        (consumers.max(registered), "consumers"),
        (processes.saturating_sub(PROCESSES_MAX), "processes"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} more {what} are not shown"))
    .collect()
}

/// What was seen, from which the state is put together.
struct Look<'a> {
    now_ms: u64,
    overview: &'a Overview,
    asked: &'a [Asked],
    recents: &'a Recents,
}

/// All that is known of one consumer.
#[derive(Default)]
struct Known<'a> {
    info: Option<&'a ConsumerInfo>,
    registered: Option<(&'a RegisteredConsumer, bool)>,
    /// Its process, and what that says of it; the former without the latter if it does not answer.
    process: Option<(&'a Asked, Option<&'a ConsumerAnswer>)>,
}

impl<'a> Look<'a> {
    fn group(&self, group: &GroupOverview) -> GroupState {
        let GroupInfo { name, last_delivered_id, pending, .. } = &group.info;
        let answers: Vec<_> = self.of_group(name).filter_map(|asked| asked.answer.as_ref().ok()).collect();
        let any = |is: fn(&WorkerAnswer) -> bool| {
            (!answers.is_empty()).then(|| answers.iter().any(|answer| is(answer)))
        };
        let age = |id: stream_core::StreamId| self.now_ms.saturating_sub(id.ms);
        let consumers = self.consumers(group);
        GroupState {
            name: name.clone(),
            managed: group.has_totals || self.overview.registered.iter().any(|(it, _)| it.group == *name),
            last_delivered_id: last_delivered_id.to_string(),
            pending: *pending,
            lag: group.lag.known(),
            lag_ms: group.oldest_undelivered.map_or(0, age),
            oldest_pending_ms: group.oldest_pending.map(age),
            dead_letters: group.dead_letters,
            redrive_queued: group.redriving,
            totals: group.totals.into(),
            claim_auto: any(|answer| answer.claim_auto),
            claim_min_idle_ms: answers.iter().find_map(|answer| answer.claim_min_idle_ms),
            fault_injection: any(|answer| answer.fault_injection == Some(true)),
            consumers,
        }
    }

    fn of_group(&self, group: &str) -> impl Iterator<Item = &'a Asked> {
        self.asked.iter().filter(move |asked| asked.process.group == group)
    }

    /// Every consumer that the server, the registry or a process tells of.
    fn consumers(&self, group: &GroupOverview) -> Vec<ConsumerState> {
        let mut known: BTreeMap<&str, Known<'_>> = BTreeMap::new();
        for info in &group.consumers {
            known.entry(&info.name).or_default().info = Some(info);
        }
        for (registered, alive) in &self.overview.registered {
            if registered.group == group.info.name {
                known.entry(&registered.consumer).or_default().registered = Some((registered, *alive));
            }
        }
        for asked in self.of_group(&group.info.name) {
            for name in &asked.process.consumers {
                known.entry(name).or_default().process = Some((asked, None));
            }
            for consumer in asked.answer.iter().flat_map(|answer| &answer.consumers) {
                known.entry(&consumer.name).or_default().process = Some((asked, Some(consumer)));
            }
        }
        known.into_iter().take(BOUNDS.consumers).map(|(name, known)| self.consumer(name, &known)).collect()
    }

    fn consumer(&self, name: &str, known: &Known<'_>) -> ConsumerState {
        let alive = known.registered.is_some_and(|(_, alive)| alive);
        let answer = known.process.and_then(|(_, answer)| answer);
        let state = match (answer, known.process) {
            (Some(answer), _) => answer.state.clone(),
            (None, Some((asked, _))) if alive && asked.answer.is_err() => "unreachable".to_owned(),
            _ if known.registered.is_some() && !alive => "dead".to_owned(),
            _ => "unknown".to_owned(),
        };
        let told = known.registered.map(|(registered, _)| registered.counters);
        ConsumerState {
            name: name.to_owned(),
            state,
            alive,
            paused: answer.map(|answer| answer.paused),
            pending: known.info.map_or(0, |info| info.pending),
            idle_ms: known.info.map(|info| info.idle.as_millis() as u64),
            in_flight: answer.map(|answer| answer.in_flight),
            parked: answer.map(|answer| answer.parked),
            drop_next: answer.map(|answer| answer.drop_next),
            dropped: answer.map(|answer| answer.dropped),
            counters: answer.map(|answer| answer.counters).or(told).map(Counters::from),
            process: known.process.map(|(asked, _)| asked.process.id.clone()),
            recent: answer.iter().flat_map(|answer| &answer.recent).map(|it| self.recent(it)).collect(),
        }
    }

    fn recent(&self, recent: &service_kit::admin_client::RecentAnswer) -> Recent {
        let seen = self.recents.get(&recent.id);
        Recent {
            id: recent.id.clone(),
            event_type: seen.and_then(|seen| seen.event_type.clone()),
            fields: seen.map(|seen| seen.entry.fields.clone()),
            outcome: recent.outcome.clone(),
            attempt: recent.attempt,
            reason: recent.reason.clone(),
            at_ms: recent.at_ms,
        }
    }

    fn process(&self, Asked { process, answer }: &Asked) -> ProcessState {
        let told = self.overview.registered.iter().map(|(registered, _)| registered).filter(|registered| {
            registered.group == process.group && process.consumers.contains(&registered.consumer)
        });
        let told = told.map(|registered| Counters::from(registered.counters));
        let answered = answer.as_ref().ok();
        let counters = match answered {
            Some(answer) => answer
                .consumers
                .iter()
                .map(|consumer| consumer.counters.into())
                .fold(Counters::default(), Counters::plus),
            None => told.fold(Counters::default(), Counters::plus),
        };
        let mut consumers = match answered {
            Some(answer) => answer.consumers.iter().map(|consumer| consumer.name.clone()).collect(),
            None => process.consumers.clone(),
        };
        consumers.sort_unstable();
        ProcessState {
            id: process.id.clone(),
            host: process.host.clone(),
            pid: process.pid,
            group: process.group.clone(),
            address: process.address.clone(),
            reachable: answered.is_some(),
            reason: answer.as_ref().err().cloned(),
            started_ms: process.started_ms,
            claim_auto: answered.map(|answer| answer.claim_auto),
            fault_injection: answered.and_then(|answer| answer.fault_injection),
            claim_min_idle_ms: answered.and_then(|answer| answer.claim_min_idle_ms),
            consumers,
            counters,
        }
    }
}
