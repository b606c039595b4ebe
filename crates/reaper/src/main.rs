//! reaper: recovery of what consumers leave behind, retention, and the groups' metrics.

mod dead_letters;
mod failures;
mod group_metrics;
mod leadership;
mod managed;
mod observe;
mod patience;
mod retention;
mod retention_metrics;
mod retire;
mod rounds;
mod sweep;
mod tally;

use std::process::ExitCode;

use failures::Failures;
use group_metrics::GroupMetrics;
use leadership::Leadership;
use rounds::Rounds;
use service_kit::{Context, Redis, Service, service_main};

fn main() -> ExitCode {
    let service = Service {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        about: env!("CARGO_PKG_DESCRIPTION"),
        ops_listen_key: "reaper.ops_listen",
        ops_listen: |settings| settings.reaper.ops_listen,
        public_listen: None,
    };
    service_main(&service, run)
}

async fn run(context: Context) -> anyhow::Result<()> {
    let redis = Redis::open(&context)?;
    let metrics = GroupMetrics::register(&context.registry, redis.stream.key().as_str())?;
    let failures = Failures::register(&context.registry)?;
    let leadership = Leadership::new(&redis, &context, failures.sharing_counter())?;
    let rounds = Rounds::new(&redis, &context, metrics, failures)?;
    // On the heap: the state of a whole round is large for a stack.
    let serving = Box::pin(leadership.serve(rounds, &context.shutdown));
    redis
        .watched(&context, async {
            serving.await;
            Ok(())
        })
        .await
}
