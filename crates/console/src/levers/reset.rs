//! The reset of a demo: everything that was made goes, the processes stay, the seed consumers begin anew.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::http::StatusCode;
use futures_util::future::join_all;
use serde::Serialize;
use service_kit::{
    Problem,
    admin_client::{AdminClient, AdminError},
};
use stream_core::{ErrorKind, StartAt};
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

use super::{
    consumers::with_fewest,
    group::{Order, tell_all},
};
use crate::{
    app::App,
    problems,
    workers::{Asked, Process},
};

/// Longest wait until nothing is in flight any more, and what was done has been told.
const QUIET_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often a worker that is busy, or not sure, is told again, and how long until then.
const ATTEMPTS: usize = 20;
const ATTEMPT_EVERY: Duration = Duration::from_millis(250);

/// What a reset has left.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Reset {
    /// Consumers that were seeded.
    pub(crate) consumers: usize,
}

/// Resets the demo. Once begun it goes on to its end whether or not somebody waits for it: half a reset would lose consumers.
pub(crate) async fn reset(app: &App) -> Result<Reset, Problem> {
    if !app.console().demo {
        return Err(Problem::new(StatusCode::FORBIDDEN, "/problems/not-a-demo", "This is not a demo")
            .detail(
                "a reset wipes the stream; set console.demo (ORDERFLOW__CONSOLE__DEMO) to true to allow it",
            ));
    }
    // Who does not wait for his turn any more gets none: it would wipe what was made since.
    let alone = Arc::clone(&app.resetting).lock_owned().await;
    let app = app.clone();
    let done = tokio::spawn(async move {
        let _alone = alone;
        let result = run(&app).await;
        app.live.hurry();
        if let Err(problem) = &result {
            tracing::warn!(reason = problem.message(), "the reset has failed");
        }
        result
    });
    done.await.unwrap_or_else(|_| {
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "/problems/internal-error", "Internal error"))
    })
}

async fn run(app: &App) -> Result<Reset, Problem> {
    let registered = app.workers.registered().await?;
    let processes = app.workers.processes(&registered);
    let before = answers(app.workers.ask(processes).await)?;
    let processes: Vec<Process> = before.iter().map(|(process, _)| process.clone()).collect();
    let mut groups = BTreeSet::new();
    for group in app.stream.groups().await.map_err(|error| problems::redis(&error))? {
        groups.insert(group.name);
    }
    groups.extend(processes.iter().map(|process| process.group.clone()));
    for group in &groups {
        let status = app.stream.rebuild_status(group).await.map_err(|error| problems::redis(&error))?;
        if status.phase.is_active() {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "/problems/rebuild-under-way",
                "A rebuild is under way",
            )
            .detail(format!("the projection of {group} is being rebuilt; wait for it, or abort it")));
        }
    }

    let paused = pause(app, &processes).await;
    let wiped = match paused {
        Ok(()) => wipe(app, &groups).await,
        Err(problem) => Err(problem),
    };
    if let Err(problem) = wiped {
        // Whatever has been paused goes on; what does not answer has not been paused or is gone.
        tell_all(app, &processes, Order::Pause(false)).await;
        return Err(problem);
    }
    let consumers = match reseed(app, before).await {
        Ok(consumers) => consumers,
        Err(problem) => {
            // A consumer that could not be removed is still paused.
            tell_all(app, &processes, Order::Pause(false)).await;
            return Err(problem);
        }
    };
    for (consumer, _) in registered.iter().filter(|(_, alive)| !alive) {
        let deleted = app.stream.delete_dead_consumer(&consumer.group, &consumer.consumer).await;
        deleted.map_err(|error| problems::redis(&error))?;
    }
    tracing::info!(consumers, groups = groups.len(), "the demo was reset");
    Ok(Reset { consumers })
}

/// A process, and the names of its consumers.
type Crew = (Process, Vec<String>);

/// Every process must answer: one that does not would go on with what is gone.
fn answers(asked: Vec<Asked>) -> Result<Vec<Crew>, Problem> {
    let crew = |Asked { process, answer }: Asked| match answer {
        Ok(answer) => Ok((process, answer.consumers.into_iter().map(|consumer| consumer.name).collect())),
        Err(reason) => Err(problems::nobody_answers(&[reason])),
    };
    asked.into_iter().map(crew).collect()
}

/// Pauses everybody, and waits until nothing is in flight and all that was done has been told: it would otherwise be
/// told afterwards, and counted.
async fn pause(app: &App, processes: &[Process]) -> Result<(), Problem> {
    for paused in tell_all(app, processes, Order::Pause(true)).await {
        paused.map_err(problems::worker)?;
    }
    let deadline = Instant::now() + QUIET_WITHIN;
    while !is_quiet(app, processes).await? {
        if Instant::now() >= deadline {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "/problems/consumer-busy",
                "The consumers are busy",
            )
            .detail("entries are still being handled; nothing was wiped, try again"));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn is_quiet(app: &App, processes: &[Process]) -> Result<bool, Problem> {
    let asked = app.workers.ask(processes.to_vec()).await;
    let registered = app.workers.registered().await?;
    for Asked { process, answer } in asked {
        let answer = answer.map_err(|reason| problems::nobody_answers(&[reason]))?;
        let is_quiet = answer.consumers.iter().all(|consumer| {
            let told =
                registered.iter().find(|(it, _)| it.group == process.group && it.consumer == consumer.name);
            // What waits for another attempt is not in anybody's hands.
            consumer.in_flight <= consumer.parked
                && told.is_none_or(|(it, _)| it.counters == consumer.counters)
        });
        if !is_quiet {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Wipes, and makes the groups anew at the beginning.
async fn wipe(app: &App, groups: &BTreeSet<String>) -> Result<(), Problem> {
    app.stream.reset().await.map_err(|error| problems::redis(&error))?;
    for group in groups {
        let mut attempts = ATTEMPTS;
        while let Err(error) = app.stream.ensure_group(group, StartAt::Beginning).await {
            attempts -= 1;
            if attempts == 0 || error.kind() == ErrorKind::WrongType {
                return Err(problems::redis(&error));
            }
            sleep(ATTEMPT_EVERY).await;
        }
    }
    Ok(())
}

/// Removes every consumer and adds the seeds, so that what they had counted, remembered and parked is gone as well. How
/// many were added.
async fn reseed(app: &App, before: Vec<Crew>) -> Result<usize, Problem> {
    let client = app.workers.client();
    let emptied = join_all(before.iter().map(|crew| empty(client, crew))).await;
    // One that cannot be removed or added must not cost the others.
    let mut failure = emptied.into_iter().find_map(Result::err).map(problems::worker);
    let mut added = 0;
    for seed in &app.console().seed_consumers {
        let Some((group, name)) = seed.rsplit_once('/') else { continue };
        let of_group = |(process, _): &&Crew| process.group == group;
        if !before.iter().any(|crew| of_group(&crew)) {
            tracing::warn!(
                group,
                consumer = name,
                "no process of the group runs that could have this seed consumer"
            );
            continue;
        }
        let had_it =
            before.iter().filter(of_group).find(|(_, consumers)| consumers.iter().any(|it| it == name));
        let address = if let Some((process, _)) = had_it {
            process.address.clone()
        } else {
            let processes = before.iter().filter(of_group).map(|(process, _)| process.clone());
            match with_fewest(app.workers.ask(processes.collect()).await) {
                Ok(process) => process.address,
                Err(problem) => {
                    failure = Some(problem);
                    continue;
                }
            }
        };
        match persist(client, &address, Change::Add(name)).await {
            // Somebody was quicker, or an attempt whose answer was lost has done it.
            Err(AdminError::Refused { problem, .. }) if problem.kind() == "/problems/consumer-exists" => {
                added += 1;
            }
            Ok(()) => added += 1,
            Err(error) => failure = Some(problems::worker(error)),
        }
    }
    failure.map_or(Ok(added), Err)
}

/// Removes every consumer of a process.
async fn empty(client: &AdminClient, (process, consumers): &Crew) -> Result<(), AdminError> {
    for consumer in consumers {
        match persist(client, &process.address, Change::Remove(consumer)).await {
            Err(AdminError::Refused { problem, .. }) if problem.kind() == "/problems/unknown-consumer" => {}
            result => result?,
        }
    }
    Ok(())
}

/// What a worker is told.
#[derive(Debug, Clone, Copy)]
enum Change<'a> {
    Add(&'a str),
    Remove(&'a str),
}

/// Tells a worker until it does it or refuses for good.
async fn persist(client: &AdminClient, address: &str, change: Change<'_>) -> Result<(), AdminError> {
    let mut attempt = 1;
    loop {
        let done = match change {
            Change::Add(consumer) => client.add(address, consumer).await,
            Change::Remove(consumer) => client.remove(address, consumer, None).await.map(drop),
        };
        let passes = match &done {
            Err(AdminError::Refused { problem, .. }) => {
                problem.kind() == "/problems/consumer-busy" || problem.status().is_server_error()
            }
            Err(AdminError::Unreachable { .. }) => true,
            _ => false,
        };
        if !passes || attempt == ATTEMPTS {
            return done;
        }
        attempt += 1;
        sleep(ATTEMPT_EVERY).await;
    }
}
