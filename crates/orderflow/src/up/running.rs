//! Everything that `orderflow up` has started: its readiness, its ends, and how it is stopped.

use std::{
    future::poll_fn,
    path::Path,
    process::ExitStatus,
    task::Poll,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use service_kit::{
    Settings,
    config::{LogFormat, Tls},
};
use tokio::time::{sleep, timeout};

use super::{
    command_line,
    log::LogLines,
    plan::Plan,
    programs::Programs,
    readiness::Prober,
    redis_server::RedisServer,
    service::{SERVICES, Service, ServiceSpec},
    signals::{Signals, Stop},
    token_file::TokenFile,
};
use crate::output::news;

/// Beyond the services' own grace, in which they drain: signals and exits take a moment too.
const STOP_MARGIN: Duration = Duration::from_secs(2);
/// How long Redis may take to write its file to the disk.
const REDIS_STOP: Duration = Duration::from_secs(10);
/// The same when somebody is in a hurry.
const REDIS_STOP_HURRIED: Duration = Duration::from_secs(1);
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two lines that say what is still waited for.
const STILL_WAITING: Duration = Duration::from_secs(10);

/// The processes, each registered here before anything else is awaited, so that none is ever forgotten.
#[derive(Debug, Default)]
pub(super) struct Running {
    redis: Option<RedisServer>,
    services: Vec<Service>,
    /// Of the run's own admin token, for as long as the services may need it.
    token_file: Option<TokenFile>,
}

/// The end of a process.
struct End {
    name: &'static str,
    status: String,
}

impl Running {
    /// Starts a Redis and waits until it answers; its URL.
    pub(super) async fn start_redis(&mut self, port: u16, settings: &Settings) -> anyhow::Result<String> {
        let redis = self.redis.insert(RedisServer::spawn(port).await?);
        redis.wait_until_ready(settings).await?;
        news(format_args!("orderflow: Redis is ready at {}", redis.url()));
        Ok(redis.url())
    }

    /// The services, each with its process ID.
    pub(super) fn services(&self) -> impl Iterator<Item = (&ServiceSpec, Option<u32>)> {
        self.services.iter().map(|service| (&service.spec, service.pid()))
    }

    /// Where the run's own admin token can be read.
    pub(super) fn token_file(&self) -> Option<&Path> {
        self.token_file.as_ref().map(TokenFile::path)
    }

    /// The data directory, if there is an embedded Redis.
    pub(super) fn data_dir(&self) -> Option<&Path> {
        self.redis.as_ref().map(|redis| redis.dir.path())
    }

    pub(super) fn start_services(
        &mut self,
        plan: &Plan,
        programs: &Programs,
        redis_url: Option<&str>,
    ) -> anyhow::Result<()> {
        if let Some(token) = plan.own_token() {
            let file = TokenFile::write(self.data_dir(), token).context("cannot write the admin token")?;
            self.token_file = Some(file);
        }
        let token_file = self.token_file.as_ref().map(TokenFile::path);
        let width = SERVICES.iter().map(|spec| spec.name.len()).max().unwrap_or_default();
        for (index, (spec, program)) in SERVICES.into_iter().zip(programs.iter()).enumerate() {
            // A line of JSON names its service itself and must stay JSON.
            let lines = if plan.settings().log.format == LogFormat::Json {
                LogLines::plain()
            } else {
                LogLines::named(spec.name, width, index)
            };
            let argv = plan.argv(&spec);
            let service = Service::start(spec, program, &argv, redis_url, token_file, &lines)?;
            let pid = service.pid().unwrap_or_default();
            let by_hand = command_line::render(program, &argv, redis_url, token_file);
            news(format_args!("orderflow: started {} (process {pid}): {by_hand}", spec.name));
            self.services.push(service);
        }
        Ok(())
    }

    /// Waits until every service is ready; an error as soon as one of them, or Redis, has ended.
    pub(super) async fn wait_until_ready(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let ops: Vec<_> = self
            .services
            .iter()
            .map(|service| (service.spec.name, (service.spec.ops.addr)(settings)))
            .collect();
        tokio::select! {
            ready = probe_all(&settings.tls, ops) => ready,
            end = self.next_end() => {
                anyhow::bail!("{} ended before it was ready ({}); stopping the others", end.name, end.status)
            }
        }
    }

    /// Reports each process that ends, for ever; nothing is started again.
    pub(super) async fn report_ends(&mut self) {
        loop {
            let End { name, status } = self.next_end().await;
            let left = self.services.iter().filter(|service| service.runs()).count();
            let others = match left {
                0 => "no service is left; Ctrl-C ends this".to_owned(),
                _ => "the others go on".to_owned(),
            };
            let log = match self.data_dir() {
                Some(dir) if name == "redis" => format!(" (its log: {}/redis.log)", dir.display()),
                _ => String::new(),
            };
            news(format_args!("orderflow: {name} has ended: {status}{log}; {others}"));
        }
    }

    /// The next process to end, its last lines shown.
    async fn next_end(&mut self) -> End {
        let (index, status) = poll_fn(|context| {
            for (index, service) in self.services.iter_mut().enumerate() {
                if let Poll::Ready(status) = service.poll_end(context) {
                    return Poll::Ready((Some(index), status));
                }
            }
            match self.redis.as_mut().map(|redis| redis.poll_end(context)) {
                Some(Poll::Ready(status)) => Poll::Ready((None, status)),
                _ => Poll::Pending,
            }
        })
        .await;
        let status = describe(status);
        match index.map(|index| &mut self.services[index]) {
            Some(service) => {
                service.last_lines().await;
                End { name: service.spec.name, status }
            }
            None => End { name: "redis", status },
        }
    }

    /// Stops the services, then Redis. Returns the signal that asked to do it at once, if one did.
    pub(super) async fn stop(mut self, grace: Duration, signals: &mut Signals) -> Option<Stop> {
        self.signal_services(Signal::SIGTERM);
        let mut hurried = None;
        tokio::select! {
            () = self.services_ended() => {}
            () = sleep(grace + STOP_MARGIN) => self.kill_services("did not stop in time").await,
            signal = signals.next() => {
                hurried = Some(signal);
                self.kill_services("is killed, undrained").await;
            }
        }
        let redis = self.redis.take()?;
        let bound = if hurried.is_some() { REDIS_STOP_HURRIED } else { REDIS_STOP };
        tokio::select! {
            () = stop_redis(redis, bound) => {}
            signal = signals.next() => {
                // Dropping the runtime leaves no process behind: Redis has its SIGTERM.
                hurried = Some(signal);
            }
        }
        hurried
    }

    async fn services_ended(&mut self) {
        while self.services.iter().any(Service::runs) {
            let End { name, status } = self.next_end().await;
            if name == "redis" {
                news(format_args!("orderflow: redis has ended: {status}"));
            }
        }
    }

    fn signal_services(&self, signal: Signal) {
        for service in self.services.iter().filter(|service| service.runs()) {
            service.signal(signal);
        }
    }

    async fn kill_services(&mut self, why: &str) {
        for service in self.services.iter().filter(|service| service.runs()) {
            news(format_args!("orderflow: {} {why} (SIGKILL)", service.spec.name));
        }
        self.signal_services(Signal::SIGKILL);
        // SIGKILL cannot be refused; a process that hangs in the kernel is not waited for.
        _ = timeout(STOP_MARGIN, self.services_ended()).await;
    }
}

async fn stop_redis(mut redis: RedisServer, bound: Duration) {
    if redis.is_replaced() {
        let port = redis.port();
        news(format_args!("orderflow: the redis-server on port {port}, which was started by hand, goes on"));
    }
    redis.signal(Signal::SIGTERM);
    let ended = async {
        if redis.runs() {
            _ = poll_fn(|context| redis.poll_end(context)).await;
        }
    };
    if timeout(bound, ended).await.is_err() {
        news("orderflow: redis did not stop in time (SIGKILL)");
        redis.signal(Signal::SIGKILL);
        _ = timeout(STOP_MARGIN, poll_fn(|context| redis.poll_end(context))).await;
    }
}

/// Asks every service until all of them have been ready.
async fn probe_all(tls: &Tls, mut waiting: Vec<(&'static str, std::net::SocketAddr)>) -> anyhow::Result<()> {
    let prober = Prober::new(tls)?;
    let total = waiting.len();
    let mut told = Instant::now();
    while !waiting.is_empty() {
        let mut reasons = Vec::new();
        let mut still = Vec::new();
        for (name, ops) in waiting {
            match prober.ask(name, ops).await {
                Ok(()) => {
                    news(format_args!("orderflow: {name} is ready"));
                }
                Err(reason) => {
                    reasons.push(format!("{name} ({reason})"));
                    still.push((name, ops));
                }
            }
        }
        waiting = still;
        if waiting.is_empty() {
            break;
        }
        if told.elapsed() >= STILL_WAITING {
            news(format_args!(
                "orderflow: {} of {total} are ready; still waiting for {}",
                total - waiting.len(),
                reasons.join(", ")
            ));
            told = Instant::now();
        }
        sleep(PROBE_INTERVAL).await;
    }
    Ok(())
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}
