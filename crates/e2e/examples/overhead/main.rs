//! What a change costs: the same work done by two variants of the services in turn, many times, and the ratio of each pair.
//!
//! A variant is a directory of binaries, or the same binaries with other environment variables. Figures of two long runs
//! say little on a machine that does other things too; the ratios of many short pairs do, and their spread shows how far
//! they can be trusted. Processor time of the service and of Redis is told beside time: it depends less on what else the
//! machine does.
//!
//! ```sh
//! make bench-overhead ARGS='--work notifications --b-env ORDERFLOW__LOG__FILTER=info'
//! ```

mod drain;
mod post;
mod ratios;
mod variant;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};

use crate::{ratios::Ratios, variant::Variant};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Work {
    /// notifications-worker drains a stream, channel `log`, nothing logged.
    Notifications,
    /// analytics-worker drains a stream.
    Analytics,
    /// Clients post single events to producer-api.
    Single,
    /// Clients post batches of 100 events to producer-api.
    Batch,
}

/// Measures what variant B of the services costs compared with variant A.
#[derive(Debug, Parser)]
struct Args {
    /// The directory of A's binaries
    #[arg(long, value_name = "DIR")]
    a: PathBuf,
    /// The directory of B's binaries [default: A's]
    #[arg(long, value_name = "DIR")]
    b: Option<PathBuf>,
    /// A variable of A's environment, also to override what both are given
    #[arg(long, value_name = "KEY=VALUE")]
    a_env: Vec<String>,
    /// A variable of B's environment
    #[arg(long, value_name = "KEY=VALUE")]
    b_env: Vec<String>,
    /// What is done; may be repeated [default: everything]
    #[arg(long, value_enum)]
    work: Vec<Work>,
    /// Entries drained, or events posted, in each half of a pair
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    entries: u32,
    /// Pairs that count; one more goes first, to warm up
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pairs: u32,
    /// Clients that post at the same time, each over a connection of its own
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a program's error")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("overhead: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "a program's result")]
async fn run(args: Args) -> anyhow::Result<()> {
    let b = args.b.as_ref().unwrap_or(&args.a);
    let variants = [Variant::new(&args.a, &args.a_env)?, Variant::new(b, &args.b_env)?];
    println!("A: {}\nB: {}", variants[0], variants[1]);
    let all = Work::value_variants();
    for work in if args.work.is_empty() { all } else { &args.work[..] } {
        println!("\n{work:?}, {} entries a run, {} pairs", args.entries, args.pairs);
        println!("{}", Ratios::HEAD);
        let mut ratios = Ratios::default();
        for pair in 0..=args.pairs {
            // Which of them goes first alternates: what a run leaves behind in the machine is shared evenly.
            let order = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
            let mut costs = [None, None];
            for at in order {
                costs[at] = Some(measure(*work, &variants[at], &args).await?);
            }
            if let ([Some(a), Some(b)], 1..) = (costs, pair) {
                println!("{}", ratios.add(a, b, args.entries));
            }
        }
        println!("{ratios}");
    }
    Ok(())
}

async fn measure(work: Work, variant: &Variant, args: &Args) -> anyhow::Result<ratios::Cost> {
    match work {
        Work::Notifications => drain::drain(variant, drain::NOTIFICATIONS, args.entries).await,
        Work::Analytics => drain::drain(variant, drain::ANALYTICS, args.entries).await,
        Work::Single => post::post(variant, args.entries, 1, args.clients).await,
        Work::Batch => post::post(variant, args.entries, 100, args.clients).await,
    }
}
