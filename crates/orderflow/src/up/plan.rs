//! What `orderflow up` is to run: the settings that its flags make, and the arguments of each service.

use std::ffi::OsString;

use anyhow::Context as _;
use service_kit::{
    Settings,
    auth::Startup,
    config::{ConfigArgs, ConfigErrors, RedisUrl, Secret},
    http::dialable,
};

use super::{
    Args,
    service::{CONSOLE, Listen, SERVICES, ServiceSpec},
    token,
};
use crate::{
    configuration::{Configuration, with_absolute_file},
    output::news,
    redis_access::{Access, explain},
};

/// The settings of the Redis guide's demo.
const DEMO: [(&str, &str); 7] = [
    ("stream.key", "demo:events:orders"),
    ("retention.policy", "maxlen"),
    ("retention.maxlen", "2000"),
    ("worker.claim_min_idle", "5000ms"),
    ("worker.claim_auto", "false"),
    ("admin.fault_injection", "true"),
    ("console.demo", "true"),
];

/// Which Redis the services use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RedisChoice {
    /// One of our own on this port.
    Embedded { port: u16 },
    /// One that a flag names.
    Named(String),
    /// The one in the environment or in the configuration file, which the services read themselves.
    Configured,
}

/// What to run, checked.
#[derive(Debug)]
pub(super) struct Plan {
    settings: Settings,
    redis: RedisChoice,
    demo: bool,
    wipe: bool,
    /// Whether the admin token is this run's own, which the services are to be told.
    own_token: bool,
    /// Settings that come before the user's own `--set`.
    presets: Vec<String>,
    /// Where the console finds the others, as far as nobody has said it.
    neighbours: Vec<String>,
    /// The user's flags, those that name Redis left out.
    flags: ConfigArgs,
}

impl Plan {
    /// Checks everything that the services would refuse. The error holds every mistake at once.
    pub(super) fn new(args: &Args) -> anyhow::Result<Self> {
        let named = named_redis(args);
        let presets = presets(args);
        let mut flags = with_absolute_file(&args.config)?;
        flags.redis_url = None;
        let mut all = flags.clone();
        all.redis_url.clone_from(&named);
        all.set.splice(0..0, presets.iter().cloned());
        let mut configuration = Configuration::load(&all)?;
        check_access(&configuration)?;
        let own_token = configuration.settings.admin.token.is_empty();
        if own_token {
            configuration.settings.admin.token =
                Secret::new(token::random().context("cannot make an admin token")?);
        }
        let redis = match named {
            Some(url) => RedisChoice::Named(url),
            None if configuration.is_default("redis.url") => {
                RedisChoice::Embedded { port: args.embedded_redis_port }
            }
            None => RedisChoice::Configured,
        };
        let wipe = args.demo && !args.no_reset;
        let neighbours = neighbours(&configuration);
        let settings = configuration.settings;
        Ok(Self { settings, redis, demo: args.demo, wipe, own_token, presets, neighbours, flags })
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The admin token of this run, if the configuration has none.
    pub(super) fn own_token(&self) -> Option<&str> {
        self.own_token.then(|| self.settings.admin.token.expose())
    }

    pub(super) fn redis(&self) -> &RedisChoice {
        &self.redis
    }

    /// The settings as the services see them.
    pub(super) fn settings_with(&self, redis_url: Option<&str>) -> Settings {
        let mut settings = self.settings.clone();
        if let Some(url) = redis_url {
            settings.redis.url = RedisUrl::new(url);
        }
        settings
    }

    /// Makes sure that Redis answers; wipes the demo's stream.
    pub(super) async fn prepare_stream(&self, settings: &Settings) -> anyhow::Result<()> {
        let access = Access::open(settings)?;
        let address = access.connector.address();
        access.stream.connection().ping().await.map_err(|error| explain(&address, &error))?;
        if self.wipe {
            let key = access.stream.key();
            news(format_args!(
                "Deleting any existing data at key '{key}' for a clean demo run (pass --no-reset to keep it)."
            ));
            access.stream.wipe().await.map_err(|error| explain(&address, &error))?;
        }
        Ok(())
    }

    /// Arguments for a service: what its own command line would be if it were started by hand.
    pub(super) fn argv(&self, service: &ServiceSpec) -> Vec<OsString> {
        let ConfigArgs { config, redis_url: _, stream, log_format, set } = &self.flags;
        let mut argv: Vec<OsString> = Vec::new();
        let mut flag = |name: &str, value: OsString| argv.extend([name.into(), value]);
        if let Some(file) = config {
            flag("--config", file.into());
        }
        let names = service.demo_names.filter(|_| self.demo).map(|names| format!("worker.names={names}"));
        let neighbours = self.neighbours.iter().filter(|_| service.name == CONSOLE);
        for assignment in self.presets.iter().chain(&names).chain(neighbours).chain(set) {
            flag("--set", assignment.into());
        }
        for (name, value) in [("--stream", stream), ("--log-format", log_format)] {
            if let Some(value) = value {
                flag(name, value.into());
            }
        }
        argv
    }
}

/// Whether each service would start, by its listeners and keys. The error holds every mistake once.
fn check_access(configuration: &Configuration) -> Result<(), ConfigErrors> {
    ConfigErrors::join(SERVICES.into_iter().filter_map(|service| {
        let listen = |listen: Listen| (listen.key, (listen.addr)(&configuration.settings));
        let listeners: Vec<_> = service.api.into_iter().chain([service.ops]).map(listen).collect();
        Startup::load(configuration.resolved(), &listeners).err()
    }))
}

fn neighbours(configuration: &Configuration) -> Vec<String> {
    let settings = &configuration.settings;
    let urls = [
        ("console.producer_url", settings.producer.listen),
        ("console.analytics_url", settings.analytics.listen),
    ];
    let unsaid = urls.into_iter().filter(|(key, _)| configuration.is_default(key));
    let scheme = settings.tls.public_scheme();
    unsaid.map(|(key, listen)| format!("{key}={scheme}://{}", dialable(listen))).collect()
}

fn presets(args: &Args) -> Vec<String> {
    let demo = DEMO.iter().filter(|_| args.demo).map(|(key, value)| format!("{key}={value}"));
    let mut presets: Vec<_> = demo.collect();
    if let Some(key) = &args.stream_key {
        presets.push(format!("stream.key={key}"));
    }
    if let Some(maxlen) = args.maxlen {
        presets.extend(["retention.policy=maxlen".to_owned(), format!("retention.maxlen={maxlen}")]);
    }
    if let Some(ms) = args.claim_idle_ms {
        presets.push(format!("worker.claim_min_idle={ms}ms"));
    }
    presets
}

/// The URL that flags give; `--set redis.url` is like any other setting.
fn named_redis(args: &Args) -> Option<String> {
    if args.redis_host.is_none() && args.redis_port.is_none() {
        return args.config.redis_url.clone();
    }
    let host = args.redis_host.as_deref().unwrap_or("localhost");
    let host =
        if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    Some(format!("redis://{host}:{}/", args.redis_port.unwrap_or(6379)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn plan(flags: &[&str]) -> Plan {
        let cli = Cli::try_parse_from(["up"].iter().chain(flags)).unwrap();
        Plan::new(&cli.args).unwrap()
    }

    fn argv(plan: &Plan, service: &str) -> String {
        let service = SERVICES.iter().find(|spec| spec.name == service).unwrap();
        let argv = plan.argv(service);
        argv.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn without_flags_a_service_gets_none() {
        assert_eq!(argv(&plan(&[]), "producer-api"), "");
        assert!(!plan(&[]).wipe);
    }

    #[test]
    fn the_demo_has_the_guides_settings_and_gives_them_to_each_service() {
        let demo = plan(&["--demo"]);
        assert_eq!(demo.settings().stream.key, "demo:events:orders");
        assert_eq!(demo.settings().retention.maxlen, 2_000);
        assert!(!demo.settings().worker.claim_auto && demo.settings().admin.fault_injection);
        assert!(!plan(&[]).settings().admin.fault_injection);
        assert!(demo.wipe && !plan(&["--demo", "--no-reset"]).wipe);
        let common = "--set stream.key=demo:events:orders --set retention.policy=maxlen \
                      --set retention.maxlen=2000 --set worker.claim_min_idle=5000ms --set worker.claim_auto=false \
                      --set admin.fault_injection=true --set console.demo=true";
        assert_eq!(argv(&demo, "reaper"), common);
        let names = "--set worker.names=worker-a,worker-b";
        assert_eq!(argv(&demo, "notifications-worker"), format!("{common} {names}"));
        assert_eq!(argv(&demo, "analytics-worker"), format!("{common} --set worker.names=worker-c"));
    }

    #[test]
    fn the_console_is_told_where_the_others_are_unless_it_was_told() {
        let urls = "--set console.producer_url=http://127.0.0.1:8080 --set console.analytics_url=http://127.0.0.1:8081";
        assert_eq!(argv(&plan(&[]), "console"), urls);
        let moved = plan(&[
            "--set",
            "producer.listen=0.0.0.0:90",
            "--set",
            "console.analytics_url=http://h/",
            "--set",
            "auth.mode=off",
        ]);
        let told = argv(&moved, "console");
        assert!(told.starts_with("--set console.producer_url=http://127.0.0.1:90 "), "{told}");
        assert_eq!(told.matches("analytics_url").count(), 1, "{told}");
    }

    #[test]
    fn the_users_own_settings_come_last_and_win() {
        let plan = plan(&["--demo", "--maxlen", "50", "--stream-key", "mine", "--set", "worker.names=x"]);
        assert_eq!((plan.settings().retention.maxlen, plan.settings().stream.key.as_str()), (50, "mine"));
        assert!(argv(&plan, "analytics-worker").ends_with("--set worker.names=x"));
    }

    #[test]
    fn a_named_redis_is_not_in_the_arguments_where_everybody_sees_its_password() {
        let plan = plan(&["--redis-url", "redis://:secret@h/", "--log-format", "json"]);
        assert_eq!(plan.redis(), &RedisChoice::Named("redis://:secret@h/".to_owned()));
        assert_eq!(argv(&plan, "producer-api"), "--log-format json");
    }

    #[test]
    fn a_run_has_a_token_of_its_own_unless_there_is_one() {
        let own = plan(&[]);
        let token = own.own_token().unwrap();
        assert!(token.len() == 32 && plan(&[]).own_token() != Some(token));
        assert!(!argv(&own, "reaper").contains(token), "where everybody would see it");
        let given = plan(&["--set", "admin.token=0123456789abcdef"]);
        assert_eq!((given.own_token(), given.settings().admin.token.expose()), (None, "0123456789abcdef"));
    }

    #[test]
    fn the_guides_host_and_port_make_a_url() {
        let named = |flags: &[&str]| plan(flags).redis().clone();
        let url = |url: &str| RedisChoice::Named(url.to_owned());
        assert_eq!(named(&["--redis-host", "h"]), url("redis://h:6379/"));
        assert_eq!(named(&["--redis-port", "7000"]), url("redis://localhost:7000/"));
        assert_eq!(named(&["--redis-host", "::1", "--redis-port", "1"]), url("redis://[::1]:1/"));
        assert_eq!(named(&["--set", "redis.url=redis://h/"]), RedisChoice::Configured);
    }

    #[test]
    fn what_would_be_open_by_accident_is_refused_first() {
        let refused = |flags: &[&str]| {
            let cli = Cli::try_parse_from(["up"].iter().chain(flags)).unwrap();
            Plan::new(&cli.args).unwrap_err().to_string()
        };
        let open =
            refused(&["--set", "producer.listen=0.0.0.0:90", "--set", "console.ops_listen=0.0.0.0:91"]);
        assert_eq!(open.lines().count(), 2, "{open}");
        assert!(open.contains("ORDERFLOW__AUTH__MODE=off"), "{open}");
        let missing = refused(&["--set", "auth.keys_file=/nonexistent"]);
        assert_eq!(missing.lines().count(), 1, "once, not once a service: {missing}");
    }

    #[test]
    fn what_the_services_would_refuse_is_refused_first() {
        let cli = Cli::try_parse_from(["up", "--claim-idle-ms", "1000"]).unwrap();
        let error = Plan::new(&cli.args).unwrap_err().to_string();
        assert!(error.contains("worker.lease_renew_interval"), "{error}");
    }
}
