//! The settings, one struct a section; `defaults.toml` holds the defaults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::ConfigArgs;
use super::api_keys::ApiKeys;
use super::error::ConfigErrors;
use super::resolve::{Reader, Resolved};
use super::rows::WebhookEndpoint;
use super::types::{
    AuthMode, Channel, Durability, LogFormat, RedisUrl, RetentionPolicy, Secret, SmtpSecurity, Username,
};
use super::value::Setting;

/// A key and its value as TOML.
type Entry = (&'static str, String);

macro_rules! sections {
    ($($(#[$meta:meta])* $section:ident: $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $ty:ty,)+
    })+) => {
        /// Every setting of every service; a service uses the sections that concern it.
        ///
        /// `Default` gives the built-in defaults.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $($(#[$meta])* pub $section: $name,)+
        }

        impl Settings {
            pub(super) fn read(reader: &mut Reader<'_>) -> Self {
                Self { $($section: $name {
                    $($field: Setting::read(reader, concat!(stringify!($section), ".", stringify!($field))),)+
                },)+ }
            }

            /// Section by section, each key with its value as TOML.
            pub(super) fn entries(&self) -> Vec<(&'static str, Vec<Entry>)> {
                vec![$((stringify!($section), vec![
                    $((
                        concat!(stringify!($section), ".", stringify!($field)),
                        self.$section.$field.to_toml(),
                    ),)+
                ]),)+]
            }
        }

        $(
            $(#[$meta])*
            #[derive(Debug, Clone)]
            pub struct $name {
                $($(#[$field_meta])* pub $field: $ty,)+
            }
        )+
    };
}

sections! {
    /// How to reach Redis.
    redis: Redis {
        /// Where Redis is; the one value that differs in every deployment.
        url: RedisUrl,
        /// Who we are, where the URL does not say it.
        username: Username,
        /// Proof of it, apart from the URL so that it can be rotated alone.
        password: Secret,
        /// Authorities that may have signed the server's certificate; empty means those of the system.
        tls_ca: PathBuf,
        /// Our certificate, for a server that asks for one.
        tls_cert: PathBuf,
        /// Its private key.
        tls_key: PathBuf,
        /// Bounds a connection attempt, so that an unreachable host is noticed and retried.
        connect_timeout: Duration,
        /// Bounds an ordinary command, so that a half-open socket never hangs a caller.
        response_timeout: Duration,
        /// Added to `worker.block` as the reply timeout of a blocking read, which must outlast it.
        blocking_margin: Duration,
        /// Lets a service start although the eviction policy could remove the stream.
        allow_eviction: bool,
    }

    /// What the ports of every service bear of their clients.
    http: Http {
        /// Bounds the open connections of a port; further clients wait in the system's queue.
        max_connections: usize,
        /// Bounds the time for a request's head, so that a client that drips it holds no connection.
        header_timeout: Duration,
        /// Bounds how long a connection is kept between requests.
        idle_timeout: Duration,
        /// Bounds the silence within a body, not its whole: an import may last for hours.
        body_timeout: Duration,
        /// Bounds how long a client may take nothing of what is sent to it.
        write_timeout: Duration,
        /// Bounds the headers of a request, in bytes; beyond it 431.
        max_header_bytes: usize,
        /// Bounds path and query of a request, in bytes; beyond it 414.
        max_uri_bytes: usize,
        /// Bounds the requests at the same time on one HTTP/2 connection.
        http2_max_streams: usize,
    }

    /// TLS of this process's ports, and of its own HTTP clients.
    tls: Tls {
        /// Certificate of the ports and the chain to its authority; empty serves them in the clear.
        cert: PathBuf,
        /// The certificate's private key.
        key: PathBuf,
        /// Authorities whose certificates clients of the public port must show; empty asks for none.
        client_ca: PathBuf,
        /// Whether the ops port speaks TLS as well.
        ops: bool,
        /// Bounds a handshake, so that a client that is silent in it holds no connection.
        handshake_timeout: Duration,
        /// How often changed files are looked for; a handshake looks as well.
        reload_interval: Duration,
        /// Authorities that our own HTTP clients trust; empty means those of the system.
        ca: PathBuf,
        /// Certificate that our own HTTP clients show where they are asked for one.
        client_cert: PathBuf,
        /// Its private key.
        client_key: PathBuf,
    }

    /// The stream that carries the events.
    stream: Stream {
        /// Key of the stream; all other keys are derived from it.
        key: String,
        /// The closed set of event types that producers accept and metrics are labelled with.
        event_types: Vec<String>,
    }

    /// producer-api.
    producer: Producer {
        /// Where clients send events.
        listen: SocketAddr,
        /// Where health and metrics are served, apart from the public port.
        ops_listen: SocketAddr,
        /// Bounds the memory one request can take, in bytes.
        body_limit_bytes: usize,
        /// Bounds the time until a client has its answer, whatever Redis does.
        request_deadline: Duration,
        /// Bounds the events waiting to be written; full means 503 instead of growing memory.
        queue_capacity: usize,
        /// Bounds the events of one pipeline, so that one reply does not take too long.
        batch_max: usize,
        /// Pipelines written at the same time: hides the round trip without flooding Redis.
        pipelines_in_flight: usize,
        /// How long an `Idempotency-Key` is remembered: as long as clients may retry.
        idempotency_window: Duration,
        /// Bounds the keys that are remembered at the same time, and so the memory they take in Redis.
        idempotency_keys_max: u64,
        /// How long the producers' own event IDs are remembered.
        event_id_window: Duration,
        /// Bounds the event IDs that are remembered at the same time.
        event_ids_max: u64,
        /// What a request without `Prefer: durability=…` waits for.
        durability: Durability,
        /// How many replicas shall have an event that asks for one.
        durability_replicas: u32,
        /// Bounds the wait for replicas or the disk, so that there is time left to say what became of it.
        durability_timeout: Duration,
        /// Bounds the connections that listen to the live tail.
        tail_subscribers_max: usize,
        /// Bounds the events that a subscriber of the tail may be behind before it is dropped.
        tail_buffer: usize,
        /// Bounds the memory of the same, which all subscribers share, in bytes.
        tail_buffer_bytes: usize,
        /// Lets both ends of a silent tail notice a broken connection.
        tail_heartbeat: Duration,
        /// Bounds the memory of all NDJSON requests together.
        ndjson_requests_max: usize,
        /// How long a client may be silent, or deaf, in an NDJSON request, which has no deadline as a whole.
        ndjson_idle_timeout: Duration,
    }

    /// The worker runtime of notifications-worker and analytics-worker.
    worker: Worker {
        /// Consumers in this process; 0 is one for each core. See `names`.
        consumers: usize,
        /// Explicit consumer names, which override `consumers`; empty names them after the host.
        names: Vec<String>,
        /// COUNT of a read: more amortises round trips, less spreads entries over consumers.
        read_count: usize,
        /// BLOCK of a read: how long an idle consumer waits in Redis before it looks around.
        block: Duration,
        /// Bounds the entries one consumer holds, so that a crash leaves little to recover.
        max_in_flight: usize,
        /// Bounds the handlers running at once in one consumer.
        concurrency: usize,
        /// Bounds one handler call, so that a stuck one cannot occupy its slot for ever.
        handler_timeout: Duration,
        /// Idle time after which a pending entry counts as orphaned and is claimed.
        claim_min_idle: Duration,
        /// How often to look for orphaned entries.
        claim_interval: Duration,
        /// Whether to claim by itself; an operator can claim by hand either way.
        claim_auto: bool,
        /// Failed attempts after which an entry goes to the dead letters.
        max_deliveries: u64,
        /// Wait after the first failed attempt: long enough for a hiccup to pass.
        retry_base: Duration,
        /// How many times longer each further wait is, so that a lasting failure costs little.
        retry_factor: f64,
        /// Bounds the waits, so that an entry is tried soon after a lasting failure has ended.
        retry_cap: Duration,
        /// Share of a wait that chance takes off or adds, so that failures of one moment are not retried in one moment.
        retry_jitter: f64,
        /// Bounds the entries that wait for another attempt; at the bound reading stops, not the retries.
        max_parked: usize,
        /// Bounds the drain at shutdown; must end before the process is killed.
        drain_timeout: Duration,
        /// How long a consumer name outlives a holder that no longer renews it.
        lease_ttl: Duration,
        /// How often names and entries in flight are renewed.
        lease_renew_interval: Duration,
        /// Address of the ops port as peers can dial it; empty means `ops_listen`.
        advertise: String,
    }

    /// notifications-worker.
    notifications: Notifications {
        /// Where health and metrics are served.
        ops_listen: SocketAddr,
        /// Where each notification is sent.
        channels: Vec<Channel>,
        /// Message text by event type, instead of the built-in one.
        templates: BTreeMap<String, String>,
        /// Directory of templates by event type, instead of the built-in ones and of `templates`.
        templates_dir: String,
        /// How long it is remembered to whom an entry was sent.
        sent_ttl: Duration,
        /// Failures in a row after which a channel is left alone for a while.
        breaker_failures: u64,
        /// For how long, at first.
        breaker_open: Duration,
        /// For how long at most, when it goes on failing.
        breaker_open_max: Duration,
        /// Certificates of further authorities that mail and webhook servers may have theirs from.
        ca_file: String,
    }

    /// The channel `smtp`: e-mail.
    smtp: Smtp {
        /// The server that takes the mail.
        host: String,
        /// Its port; 0 is the usual one for `security`.
        port: u16,
        /// How the connection is protected.
        security: SmtpSecurity,
        /// Who logs in; empty for nobody.
        username: String,
        /// With what.
        password: Secret,
        /// The sender of every mail.
        from: String,
        /// Who gets a mail about every event.
        to: Vec<String>,
        /// Name of an event's field that holds a further recipient; empty for none.
        to_field: String,
        /// Bounds the sending of one mail, the connection included.
        timeout: Duration,
        /// Bounds the mails that are sent at the same time: a slow server holds up no more than so many.
        concurrency: usize,
    }

    /// The channel `webhook`: signed HTTP requests.
    webhook: Webhook {
        /// Bounds the requests to one endpoint at the same time.
        concurrency: usize,
        /// Who is told.
        endpoints: Vec<WebhookEndpoint>,
    }

    /// analytics-worker.
    analytics: Analytics {
        /// Where the query API is served.
        listen: SocketAddr,
        /// Where health and metrics are served, apart from the public port.
        ops_listen: SocketAddr,
        /// Bounds the events of one script, which blocks Redis while it runs.
        batch_max: usize,
        /// How long minute resolution is kept after a bucket's last write.
        minute_bucket_ttl: Duration,
        /// How long an order's state is kept after its last event.
        order_ttl: Duration,
        /// Bounds the history kept of one order, in events.
        history_max: usize,
        /// Bounds the time until a query has its answer.
        query_deadline: Duration,
    }

    /// reaper.
    reaper: Reaper {
        /// Where health and metrics are served.
        ops_listen: SocketAddr,
        /// Time between sweeps.
        interval: Duration,
        /// How long the active reaper keeps its role without renewing it.
        lease_ttl: Duration,
        /// Idle time after which a consumer that never had a lease counts as dead.
        consumer_idle_dead_after: Duration,
    }

    /// console.
    console: Console {
        /// Where the page and its API are served.
        listen: SocketAddr,
        /// Where health and metrics are served, apart from the public port.
        ops_listen: SocketAddr,
        /// What whoever uses it must present; without one nobody has to.
        token: Secret,
        /// What it presents to producer-api, to analytics-worker and, without `admin.token`, to the workers.
        api_key: Secret,
        /// Whether it only shows.
        read_only: bool,
        /// Whether it may wipe the stream.
        demo: bool,
        /// Consumers that a reset leaves there, as `group/consumer`.
        seed_consumers: Vec<String>,
        /// Names that it may be called by where no token protects it.
        allowed_hosts: Vec<String>,
        /// The producer-api that events are sent to.
        producer_url: String,
        /// The analytics-worker that is asked for figures.
        analytics_url: String,
        /// Bounds the connections that stay open: one slow page after another must not pile up.
        subscribers_max: usize,
        /// Bounds the entries held for a subscriber that is slower than the stream.
        subscriber_buffer: usize,
        /// Bounds the time until a request has its answer, whatever Redis and the workers do.
        request_deadline: Duration,
        /// How long a session outlives its last request.
        session_ttl: Duration,
    }

    /// What bounds the stream.
    retention: Retention {
        /// Which of the bounds applies.
        policy: RetentionPolicy,
        /// Entries that policy `maxlen` keeps, approximately.
        maxlen: u64,
        /// Age up to which the policies `age` and `guarded` keep entries.
        age: Duration,
        /// Groups that policy `guarded` waits for, however long.
        groups: Vec<String>,
        /// How long policy `guarded` waits for any other group without a sign of life.
        stale_group_after: Duration,
        /// Share of `maxmemory` from which on producers are answered 429.
        hard_cap_memory_percent: u64,
        /// Length of the stream from which on producers are answered 429.
        hard_cap_entries: u64,
    }

    /// What bounds each group's dead letters; the reaper enforces it.
    dead_letters: DeadLetters {
        /// Dead letters that a group keeps; the oldest beyond them are dropped and counted. 0 keeps any number.
        max_entries: u64,
        /// How long a dead letter is kept; older ones are dropped and counted. Zero keeps them for ever.
        max_age: Duration,
    }

    /// The routes under `/admin` on the ops port of each worker.
    admin: Admin {
        /// What a caller must present as `Authorization: Bearer`; without one the routes answer 403.
        token: Secret,
        /// Whether deliveries may be dropped on request, as if the process had died: for demos and tests.
        fault_injection: bool,
    }

    /// Who may use the APIs: keys with scopes, beside `admin.token` and `console.token`.
    auth: Auth {
        /// Whether callers need a key.
        mode: AuthMode,
        /// The keys, hashed.
        keys: ApiKeys,
        /// A file with more of them, read again whenever it changes; empty where there is none.
        keys_file: String,
        /// Bounds what all callers together may ask for where no key is needed; 0: nothing does.
        anonymous_rate_per_second: f64,
    }

    /// The command `orderflow` as a client of the services.
    client: Client {
        /// What it presents to them.
        api_key: Secret,
    }

    /// Logging.
    log: Log {
        /// Lines for people or for collectors.
        format: LogFormat,
        /// What is logged, as `tracing` directives; `RUST_LOG` overrides it.
        filter: String,
    }

    /// Stopping.
    shutdown: Shutdown {
        /// Time between SIGTERM and SIGKILL where the service runs; draining must fit into it.
        grace: Duration,
    }
}

impl Settings {
    /// Reads the settings from the defaults, the file, the process environment and the flags.
    ///
    /// # Errors
    /// Every mistake at once; see [`ConfigErrors`].
    pub fn load(args: &ConfigArgs) -> Result<Self, ConfigErrors> {
        Resolved::load(args, std::env::vars_os()).map(Resolved::into_settings)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Resolved::load(&ConfigArgs::default(), []).expect("the built-in defaults are valid").into_settings()
    }
}
