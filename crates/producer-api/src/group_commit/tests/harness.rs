//! A queue and writers whose pipelines are answered by the test, and what they counted.

use std::{
    ops::{Range, RangeInclusive},
    sync::Arc,
    time::Duration,
};

use order_events::{Amount, EventType, EventTypes, OrderEvent};
use prometheus::{Registry, TextEncoder};
use service_kit::config::Durability;
use stream_core::StreamId;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use super::super::{
    Failure, Limits, Outcome, Queue, Ticket, Writers, Written, sink::Appended, sink::Sink, start,
};
use crate::{admission::Admission, dedup::NewEvent, metrics::Metrics};

/// No test waits so long unless something hangs.
const HANG: Duration = Duration::from_secs(10);

pub(super) struct Harness {
    queue: Arc<Queue>,
    writers: Option<Writers>,
    calls: mpsc::UnboundedReceiver<Call>,
    registry: Registry,
}

/// One pipeline that waits for its answer.
pub(super) struct Call {
    pub(super) orders: Vec<String>,
    answer: oneshot::Sender<Vec<Outcome>>,
}

#[derive(Clone)]
struct Scripted(mpsc::UnboundedSender<Call>);

impl Sink for Scripted {
    async fn append(&self, events: &[&NewEvent], _: Instant) -> Appended {
        let (answer, answered) = oneshot::channel();
        let orders = events.iter().map(|new| new.event.order_id.clone()).collect();
        assert!(self.0.send(Call { orders, answer }).is_ok(), "the test is over");
        Appended { outcomes: answered.await.expect("an answer"), ..Appended::default() }
    }
}

impl Call {
    pub(super) fn answer(self, outcomes: Vec<Outcome>) {
        assert!(self.answer.send(outcomes).is_ok(), "nobody waits for this pipeline");
    }

    /// Makes the writer panic.
    pub(super) fn panic(self) {
        drop(self.answer);
    }
}

impl Harness {
    pub(super) fn start(queue_capacity: usize, pipeline_events: usize, pipelines_in_flight: usize) -> Self {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry, &EventTypes::default()).unwrap();
        let (sender, calls) = mpsc::unbounded_channel();
        let limits = Limits { queue_capacity, pipeline_events };
        let sinks = std::iter::repeat_n(Scripted(sender), pipelines_in_flight);
        let admission = Admission::unlimited(metrics.clone());
        let mut writers = Writers::default();
        let queue = start(&mut writers, Durability::None, sinks, &limits, &admission, &metrics);
        Self { queue, writers: Some(writers), calls, registry }
    }

    /// Queues a request of so many events, whose orders are `<name>-<index>`.
    pub(super) fn submit(&self, name: &str, events: usize) -> Result<Ticket, Failure> {
        self.submit_sized(name, events, 100 * events)
    }

    pub(super) fn submit_sized(&self, name: &str, events: usize, bytes: usize) -> Result<Ticket, Failure> {
        let events =
            orders(name, 0..events).into_iter().map(|order| NewEvent { event: event(order), key: None });
        self.queue.submit(events.collect(), bytes, far())
    }

    /// The same for those who wait for room.
    pub(super) fn submit_by(
        &self,
        name: &str,
        deadline: Instant,
    ) -> impl Future<Output = Result<Ticket, Failure>> + use<> {
        let new = NewEvent { event: event(format!("{name}-0")), key: None };
        let queue = Arc::clone(&self.queue);
        async move { queue.submit_by(vec![new], 100, deadline).await }
    }

    /// The next pipeline.
    pub(super) async fn call(&mut self) -> Call {
        timeout(HANG, self.calls.recv()).await.expect("no pipeline was written").expect("writers that run")
    }

    /// Whether no further pipeline is being written, once every writer that can has run. The runtime has one
    /// thread, so that yielding lets them.
    pub(super) async fn no_call(&mut self) -> bool {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.calls.try_recv().is_err()
    }

    pub(super) fn close(&self) {
        self.queue.close();
    }

    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        self.stop_by(far()).await
    }

    pub(super) async fn stop_by(&mut self, deadline: Instant) -> anyhow::Result<()> {
        self.writers.take().expect("stopped once").finish(deadline).await
    }

    pub(super) async fn writers_failed(&mut self) -> anyhow::Error {
        timeout(HANG, self.writers.as_mut().expect("not stopped").failed()).await.expect("a failure")
    }

    /// Events counted with this outcome.
    pub(super) fn counted(&self, outcome: &str) -> u64 {
        self.metric(&format!("producer_events_total{{outcome=\"{outcome}\",type=\"order.paid\"}}"))
    }

    pub(super) fn metric(&self, series: &str) -> u64 {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
    }
}

/// A deadline that no test reaches unless something hangs.
pub(super) fn far() -> Instant {
    Instant::now() + HANG
}

pub(super) fn id(seq: u64) -> Written {
    Written { id: StreamId::new(5, seq), replayed: false }
}

/// Outcomes of stored events.
pub(super) fn ids(seqs: RangeInclusive<u64>) -> Vec<Outcome> {
    seqs.map(|seq| Ok(id(seq))).collect()
}

pub(super) fn orders(name: &str, indexes: Range<usize>) -> Vec<String> {
    indexes.map(|index| format!("{name}-{index}")).collect()
}

fn event(order_id: String) -> OrderEvent {
    OrderEvent {
        event_type: EventType::Paid,
        order_id,
        customer: "alice".to_owned(),
        amount: Amount::MAX,
        ts_ms: 1,
        ts_ms_is_receipt: false,
        extra: Vec::new(),
        metadata: Vec::new(),
    }
}
