//! What a consumer has left whose process is gone.

use service_kit::Problem;
use stream_core::{DeletedDead, Handover, HandoverError};

use super::{consumers::Removed, peer, pending_of};
use crate::{app::App, problems};

/// Hands the entries of a dead consumer to `to`, or to a live peer, and deletes it.
pub(super) async fn remove(
    app: &App,
    group: &str,
    consumer: &str,
    to: Option<&str>,
) -> Result<Removed, Problem> {
    let heir = match to {
        Some(to) => Some(to.to_owned()),
        None => peer(app, group, consumer).await?,
    };
    let pending = pending_of(&app.stream, group, consumer).await.map_err(|error| problems::redis(&error))?;
    let mut removed = Removed { handed_over_to: None, handed_over: 0, deleted: false };
    if pending > 0 {
        let Some(heir) = heir else { return Err(problems::no_peer(consumer, pending)) };
        let moved = hand_over(app, group, consumer, &heir).await?;
        removed.handed_over = moved.moved;
        removed.handed_over_to = (moved.moved > 0).then_some(heir);
    }
    match app.stream.delete_dead_consumer(group, consumer).await {
        Ok(DeletedDead::Deleted) => removed.deleted = true,
        Ok(DeletedDead::Pending) => {}
        Ok(DeletedDead::Alive) => return Err(problems::came_back(consumer)),
        Err(error) => return Err(problems::redis(&error)),
    }
    tracing::info!(
        group,
        consumer,
        to = removed.handed_over_to,
        moved = removed.handed_over,
        deleted = removed.deleted,
        "a dead consumer was removed"
    );
    Ok(removed)
}

/// Moves what it has left, so that the heir takes it up before anybody else may claim it.
pub(super) async fn hand_over(app: &App, group: &str, consumer: &str, to: &str) -> Result<Handover, Problem> {
    let idle = app.settings.worker.claim_min_idle / 2;
    app.stream.hand_over_dead(group, consumer, to, idle).await.map_err(|error| match error {
        HandoverError::Redis(error) => problems::redis(&error),
        HandoverError::PeerGone(peer) => problems::not_a_peer(&peer),
        _ => problems::came_back(consumer),
    })
}
