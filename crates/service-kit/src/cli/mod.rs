//! The command line every service has, and the life of a service process.

mod health;
mod run;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, CommandFactory, FromArgMatches};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::auth::{Authenticator, Startup};
use crate::config::{ConfigArgs, ConfigErrors, Resolved, Settings};
use crate::http::Listeners;
use crate::ops::{OpsRoutes, Readiness};

/// Reads an address out of the settings.
pub type Address = fn(&Settings) -> SocketAddr;

/// Exit code for a configuration that cannot be used (`EX_CONFIG` of sysexits).
pub const EXIT_CONFIG: u8 = 78;

/// The flags of every service.
#[derive(Debug, Clone, Default, Args)]
pub struct ServiceArgs {
    /// Flags that change the configuration.
    #[command(flatten)]
    pub config: ConfigArgs,

    /// Print the resulting configuration with its sources, secrets masked, and exit
    #[arg(long)]
    pub print_config: bool,

    /// Ask this service's ops port whether it is ready; exit 0 if so, else 1
    #[arg(long)]
    pub health_check: bool,
}

/// What a service is called and where its ops port is.
#[derive(Debug, Clone)]
pub struct Service {
    /// Name of the binary, and of the service in logs and metrics.
    pub name: &'static str,
    /// Version for `--version` and `build_info`.
    pub version: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
    /// Key of the ops address, e.g. `producer.ops_listen`, for error messages.
    pub ops_listen_key: &'static str,
    /// The ops address in the settings.
    pub ops_listen: Address,
    /// Key and address of its public port, if it has one.
    pub public_listen: Option<(&'static str, Address)>,
}

impl Service {
    /// Where it listens, each with the setting that says so.
    fn listeners(&self, settings: &Settings) -> Vec<(&'static str, SocketAddr)> {
        let ops = (self.ops_listen_key, (self.ops_listen)(settings));
        let public = self.public_listen.map(|(key, listen)| (key, listen(settings)));
        public.into_iter().chain([ops]).collect()
    }
}

/// What a running service is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// The checked configuration.
    pub settings: Arc<Settings>,
    /// Where the service registers its metrics; `/metrics` serves it.
    pub registry: Registry,
    /// What `/readyz` answers. Registered at start: [`Condition::Redis`](crate::Condition::Redis).
    pub readiness: Readiness,
    /// Binds further ports, with the bounds of the settings.
    pub listeners: Listeners,
    /// Lets the service add routes to its ops port.
    pub ops: OpsRoutes,
    /// Tells who a request comes from, and puts routers behind API keys.
    pub auth: Authenticator,
    /// Cancelled by the first SIGTERM or SIGINT; readiness has turned false by then or at once after.
    pub shutdown: CancellationToken,
}

/// Everything `main` does: flags, configuration, telemetry, ops server, `run` until it returns.
///
/// `run` should return soon after `context.shutdown` is cancelled, drained. The ops port stays up
/// until then. Exit codes: 0 a clean end, 1 an error (one log line), 2 wrong usage,
/// [`EXIT_CONFIG`] a wrong configuration (every mistake on stderr).
pub fn service_main<F, Fut>(service: &Service, run: F) -> ExitCode
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    crate::tls::install_provider();
    match parse(service, std::env::args_os()) {
        Ok(args) => start(service, &args, run),
        Err(error) => {
            // Help and version arrive here too. Where there is nobody to read, there is no remedy.
            _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

/// Like [`service_main`], for a service that has flags of its own and parsed them itself.
pub fn start<F, Fut>(service: &Service, args: &ServiceArgs, run: F) -> ExitCode
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let resolved = match Resolved::load(&args.config, std::env::vars_os()) {
        Ok(resolved) => resolved,
        Err(errors) => return refused(service, &errors),
    };
    if args.print_config {
        return exit_code(io::stdout().write_all(resolved.to_toml().as_bytes()).is_ok());
    }
    if args.health_check {
        return match health::check((service.ops_listen)(resolved.settings()), &resolved.settings().tls) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                _ = writeln!(io::stderr(), "{}: {error}", service.name);
                ExitCode::FAILURE
            }
        };
    }
    match Startup::load(&resolved, &service.listeners(resolved.settings())) {
        Ok(startup) => exit_code(run::run(service, resolved.into_settings(), startup, run)),
        Err(errors) => refused(service, &errors),
    }
}

/// Says everything that is wrong with the configuration.
fn refused(service: &Service, errors: &ConfigErrors) -> ExitCode {
    _ = writeln!(io::stderr(), "{}: the configuration cannot be used:\n{errors}", service.name);
    ExitCode::from(EXIT_CONFIG)
}

fn exit_code(success: bool) -> ExitCode {
    if success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    service: ServiceArgs,
}

fn parse(
    service: &Service,
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<ServiceArgs, clap::Error> {
    let command = Cli::command().name(service.name).version(service.version).about(service.about);
    let matches = command.try_get_matches_from(args)?;
    Cli::from_arg_matches(&matches).map(|cli| cli.service)
}
