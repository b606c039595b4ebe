//! A server and a stream of a test's own, workers with quick settings, and a look at what they did.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use prometheus::{Registry, TextEncoder};
use redis::{FromRedisValue, aio::MultiplexedConnection};
use stream_core::{
    ConnectSettings, Connector, Delivery, DrainReport, Entry, EventStream, Fields, Handler, Outcome,
    PendingFilter, PendingRow, Projection, RangeQuery, StartAt, StreamId, StreamKey, Worker, WorkerControl,
    WorkerError, WorkerSettings,
};
use testkit::{RedisServer, eventually};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The group of every test that needs only one.
pub(crate) const GROUP: &str = "g";

/// Longer than anything takes on a busy machine; a test that waits so long has failed.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// Idle times that tests set rather than wait for.
pub(crate) const MIN_IDLE: Duration = Duration::from_millis(300);

pub(crate) struct Bench {
    pub(crate) server: RedisServer,
    pub(crate) connector: Connector,
    pub(crate) stream: EventStream,
    raw: MultiplexedConnection,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::on(RedisServer::start().await).await
    }

    /// With the group, reading from the beginning.
    pub(crate) async fn with_group() -> Self {
        let bench = Self::start().await;
        bench.stream.ensure_group(GROUP, StartAt::Beginning).await.expect("the group is created");
        bench
    }

    pub(crate) async fn on(server: RedisServer) -> Self {
        let connector = connector(&server);
        let key = StreamKey::new(server.unique_stream("orders")).expect("a valid key");
        let stream = EventStream::new(connector.commands().expect("a connection"), key);
        let raw = server.connection().await;
        Self { server, connector, stream, raw }
    }

    /// Sends a command as it is; `$stream` stands for the stream's key.
    pub(crate) async fn cmd<T: FromRedisValue>(&self, line: &str) -> T {
        let mut words = line.split(' ').map(|word| word.replace("$stream", self.stream.key().as_str()));
        let mut cmd = redis::cmd(&words.next().expect("a command"));
        words.for_each(|word| {
            cmd.arg(word);
        });
        match cmd.query_async(&mut self.raw.clone()).await {
            Ok(reply) => reply,
            Err(error) => panic!("{line}: {error}"),
        }
    }

    /// Connects anew, after a restart.
    pub(crate) async fn reconnect(&mut self) {
        self.raw = self.server.connection().await;
    }

    pub(crate) async fn append(&self, count: usize) -> Vec<StreamId> {
        let fields = (0..count).map(|n| [("n", n.to_string()), ("order_id", format!("o-{n}"))]);
        let results = self.stream.append_batch(fields).await;
        results.into_iter().map(|result| result.expect("the entry is stored")).collect()
    }

    /// Delivers the next entries to a consumer that will never ack them.
    pub(crate) async fn deliver_to(&self, consumer: &str, count: usize) {
        let line = format!("XREADGROUP GROUP {GROUP} {consumer} COUNT {count} STREAMS $stream >");
        self.cmd::<redis::Value>(&line).await;
    }

    /// Makes a pending row look as if it had been delivered so often, so long ago, to this consumer.
    pub(crate) async fn set_row(&self, consumer: &str, id: StreamId, deliveries: u64, idle: Duration) {
        let idle = idle.as_millis();
        let line =
            format!("XCLAIM $stream {GROUP} {consumer} 0 {id} IDLE {idle} RETRYCOUNT {deliveries} JUSTID");
        self.cmd::<redis::Value>(&line).await;
    }

    pub(crate) async fn rows(&self) -> Vec<PendingRow> {
        let filter = PendingFilter { count: 100_000, ..PendingFilter::default() };
        self.stream.pending(GROUP, &filter).await.expect("XPENDING")
    }

    /// ID, owner and deliveries of every pending row.
    pub(crate) async fn owners(&self) -> Vec<(StreamId, String, u64)> {
        let rows = self.rows().await;
        rows.into_iter().map(|row| (row.id, row.consumer, row.deliveries)).collect()
    }

    /// Waits until the group has read everything and nothing is pending.
    pub(crate) async fn settled(&self) {
        eventually(SOON, "everything is delivered and settled", async || {
            let newest = self.stream.info().await.map_err(|e| e.to_string())?.last_generated_id;
            let groups = self.stream.groups().await.map_err(|e| e.to_string())?;
            let group = groups.into_iter().find(|group| group.name == GROUP).ok_or("no group")?;
            let done = group.pending == 0 && group.last_delivered_id >= newest;
            if done { Ok(()) } else { Err(format!("{group:?}")) }
        })
        .await;
    }

    pub(crate) fn dead_letter_stream(&self) -> EventStream {
        let key = StreamKey::new(self.stream.key().dead_letters(GROUP)).expect("a valid key");
        EventStream::new(self.stream.connection().clone(), key)
    }

    pub(crate) async fn dead_letters(&self) -> Vec<Entry> {
        self.dead_letter_stream().range(RangeQuery::default(), 10_000).await.expect("XRANGE").entries
    }

    /// `_dl_id` and `_dl_reason` of every dead letter.
    pub(crate) async fn dead(&self) -> Vec<(String, String)> {
        let letters = self.dead_letters().await;
        letters.iter().map(|letter| (text(letter, "_dl_id"), text(letter, "_dl_reason"))).collect()
    }

    pub(crate) fn worker(&self, settings: WorkerSettings) -> (Worker, Registry) {
        let registry = Registry::new();
        let worker = Worker::new(self.connector.clone(), self.stream.clone(), GROUP, settings, &registry);
        (worker.expect("a worker"), registry)
    }

    pub(crate) fn run(&self, settings: WorkerSettings, handler: impl Handler) -> Running {
        let (worker, registry) = self.worker(settings);
        Running::start(worker, registry, handler)
    }

    pub(crate) fn project(&self, settings: WorkerSettings, projection: impl Projection) -> Running {
        let (worker, registry) = self.worker(settings);
        let control = worker.control();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(worker.run_projection(projection, 100, shutdown.clone()));
        Running { shutdown, task, control, registry }
    }
}

impl Bench {
    pub(crate) fn redrive_stream(&self) -> EventStream {
        self.stream.redrive(GROUP)
    }

    /// Sends an entry back to the group as a redrive does; returns its ID in the redrive stream.
    pub(crate) async fn send_back(&self, id: StreamId, count: u64, fields: &Fields) -> StreamId {
        let stream = self.redrive_stream();
        stream.ensure_group(GROUP, StartAt::Beginning).await.expect("the redrive group");
        let (id, count) = (id.to_string(), count.to_string());
        let told: [(&[u8], &[u8]); 2] =
            [(b"_redrive_of", id.as_bytes()), (b"_redrive_count", count.as_bytes())];
        stream.append(told.into_iter().chain(fields.iter())).await.expect("appended")
    }

    /// Waits until nothing is left in the redrive stream, pending or not.
    pub(crate) async fn redriven(&self) {
        let stream = self.redrive_stream();
        eventually(SOON, "the redrive stream is empty", async || {
            let length: u64 = self.cmd(&format!("XLEN {}", stream.key())).await;
            let pending = stream.pending_summary(GROUP).await.map_err(|error| error.to_string())?.count;
            if (length, pending) == (0, 0) {
                Ok(())
            } else {
                Err(format!("{length} entries, {pending} pending"))
            }
        })
        .await;
    }
}

pub(crate) fn connector(server: &RedisServer) -> Connector {
    let settings = ConnectSettings { url: server.url(), ..ConnectSettings::default() };
    Connector::new(settings).expect("a valid URL")
}

pub(crate) fn text(entry: &Entry, field: &str) -> String {
    String::from_utf8_lossy(entry.fields.get(field).unwrap_or(b"<none>")).into_owned()
}

/// Settings under which everything that waits waits for tenths of a second.
pub(crate) fn quick(consumer: &str) -> WorkerSettings {
    WorkerSettings {
        consumers: vec![consumer.to_owned()],
        host: "test".to_owned(),
        block: Duration::from_millis(100),
        claim_min_idle: MIN_IDLE,
        claim_interval: Duration::from_millis(50),
        retry_base: Duration::from_millis(20),
        drain_timeout: Duration::from_secs(5),
        lease_ttl: Duration::from_secs(1),
        lease_renew_interval: Duration::from_millis(200),
        ..WorkerSettings::default()
    }
}

/// A worker that runs.
pub(crate) struct Running {
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Result<DrainReport, WorkerError>>,
    pub(crate) control: WorkerControl,
    registry: Registry,
}

impl Running {
    pub(crate) fn start(worker: Worker, registry: Registry, handler: impl Handler) -> Self {
        let (shutdown, control) = (CancellationToken::new(), worker.control());
        let task = tokio::spawn(worker.run_handler(handler, shutdown.clone()));
        Self { shutdown, task, control, registry }
    }

    pub(crate) async fn drain(self) -> DrainReport {
        self.shutdown.cancel();
        self.end().await.expect("the worker drains")
    }

    pub(crate) async fn end(self) -> Result<DrainReport, WorkerError> {
        tokio::time::timeout(SOON, self.task).await.expect("the worker ends").expect("no panic")
    }

    /// Dies without a word, as far as a task can: nothing is acked or released any more.
    pub(crate) async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// The value of a metric's first series whose line contains `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> u64 {
        let lines = TextEncoder::new().encode_to_string(&self.registry.gather()).expect("metrics");
        let line = lines.lines().find(|line| line.starts_with(name) && line.contains(label));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("the metric exists")
    }
}

/// A handler made of a closure.
pub(crate) struct On<F>(pub(crate) F);

impl<F, R> Handler for On<F>
where
    F: Fn(Delivery) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send,
{
    async fn handle(&self, delivery: &Delivery) -> Outcome {
        (self.0)(delivery.clone()).await
    }
}

pub(crate) fn retry(reason: &str) -> Outcome {
    Outcome::Retry { reason: reason.to_owned(), after: None }
}

/// The deliveries that handlers were given, in order.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Delivery>>>);

impl Seen {
    pub(crate) fn note(&self, delivery: &Delivery) {
        self.0.lock().expect("no panic while locked").push(delivery.clone());
    }

    pub(crate) fn all(&self) -> Vec<Delivery> {
        self.0.lock().expect("no panic while locked").clone()
    }

    /// IDs and delivery counts, in the order of handling.
    pub(crate) fn counts(&self) -> Vec<(StreamId, u64)> {
        self.all().into_iter().map(|delivery| (delivery.id, delivery.deliveries)).collect()
    }

    pub(crate) fn ids(&self) -> Vec<StreamId> {
        self.all().into_iter().map(|delivery| delivery.id).collect()
    }

    pub(crate) async fn reaches(&self, count: usize) {
        eventually(SOON, "enough deliveries were handled", async || {
            let seen = self.all().len();
            if seen >= count { Ok(()) } else { Err(format!("{seen} of {count}")) }
        })
        .await;
    }

    /// A handler that notes the delivery and acks.
    pub(crate) fn acking(&self) -> impl Handler + use<> {
        let seen = self.clone();
        On(move |delivery: Delivery| {
            seen.note(&delivery);
            async { Outcome::Ack }
        })
    }
}
