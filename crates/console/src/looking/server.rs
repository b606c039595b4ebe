//! The server: who it is, what it can do, how full it is, and what keeps retention from making room.

use std::time::Duration;

use serde::Serialize;
use service_kit::{Problem, config::RetentionPolicy};
use stream_core::{
    Availability, Error, GroupRetention, Holder, Retained, RetentionRule, ServerInfo, Standing, StreamId,
};
use utoipa::ToSchema;

use crate::{app::App, clock, problems};

/// The server behind the stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Server {
    pub(crate) address: String,
    /// `redis`, `valkey`, or what it calls itself.
    pub(crate) name: String,
    pub(crate) version: String,
    /// `standalone`, `cluster` or `sentinel`.
    pub(crate) mode: String,
    /// `primary` or `replica`.
    pub(crate) role: &'static str,
    pub(crate) uptime_s: u64,
    pub(crate) connected_clients: u64,
    pub(crate) max_clients: u64,
    pub(crate) memory: Memory,
    pub(crate) eviction_policy: String,
    pub(crate) persistence: Persistence,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) retention: Retention,
    pub(crate) reaper: Reaper,
}

/// Memory in bytes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Memory {
    pub(crate) used: u64,
    /// The limit; `null` if there is none.
    pub(crate) max: Option<u64>,
}

/// How safe the data are on disk.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Persistence {
    pub(crate) append_only: bool,
    /// When the append-only file is synced; `null` if the server does not tell.
    pub(crate) append_fsync: Option<String>,
    pub(crate) append_failed: bool,
    pub(crate) snapshot_failed: bool,
    pub(crate) last_snapshot_ms: u64,
}

/// Something that newer servers can do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Capability {
    pub(crate) name: &'static str,
    /// The command and option that it stands for.
    pub(crate) command: &'static str,
    /// `available`, `missing`, `denied` or `unknown`.
    pub(crate) state: &'static str,
    /// Why it is not known.
    pub(crate) reason: Option<String>,
}

/// What bounds the stream, by this console's settings, and what it waits for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Retention {
    /// `guarded`, `age` or `maxlen`.
    pub(crate) policy: &'static str,
    pub(crate) age_ms: u64,
    pub(crate) maxlen: u64,
    /// Groups that are waited for, however long.
    pub(crate) groups: Vec<String>,
    pub(crate) stale_group_after_ms: u64,
    pub(crate) hard_cap_entries: u64,
    pub(crate) hard_cap_memory_percent: u64,
    /// Who keeps entries that are old enough to go.
    pub(crate) holds: Vec<Hold>,
    /// Entries that groups lost to retention before they were handed them.
    pub(crate) lost: Vec<Loss>,
}

/// Who keeps old entries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hold {
    /// The group, or `rebuild:<group>`.
    pub(crate) group: String,
    /// The oldest entry that it needs.
    pub(crate) needs: Option<String>,
    /// `required`: waited for however long; `waiting`: until it has been silent for too long; `rebuild`: until that ends.
    pub(crate) standing: &'static str,
    /// How long it has given no sign of life.
    pub(crate) silent_ms: u64,
    pub(crate) text: String,
}

/// What a group has lost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Loss {
    pub(crate) group: String,
    pub(crate) entries: u64,
}

/// The active reaper.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Reaper {
    pub(crate) active: bool,
    pub(crate) host: Option<String>,
    pub(crate) pid: Option<u32>,
    pub(crate) address: Option<String>,
}

/// Asks the server.
pub(crate) async fn server(app: &App) -> Result<Server, Problem> {
    ask(app).await.map_err(|error| problems::redis(&error))
}

async fn ask(app: &App) -> Result<Server, Error> {
    let connection = app.stream.connection();
    let info = ServerInfo::ask(connection).await?;
    // Managed servers often refuse to tell.
    let append_fsync = ServerInfo::append_fsync(connection).await.ok().flatten();
    let reaper = match app.stream.active_reaper().await? {
        Some(Ok(Holder { host, pid, address, .. })) => {
            let address = (!address.is_empty()).then_some(address);
            Reaper { active: true, host: Some(host), pid: Some(pid), address }
        }
        Some(Err(_)) => Reaper { active: true, ..Reaper::default() },
        None => Reaper::default(),
    };
    Ok(Server {
        address: connection.address(),
        name: info.product.to_lowercase(),
        version: info.release,
        mode: info.mode,
        role: if info.is_replica { "replica" } else { "primary" },
        uptime_s: info.uptime.as_secs(),
        connected_clients: info.clients,
        max_clients: info.max_clients,
        memory: Memory { used: info.used_memory, max: (info.max_memory > 0).then_some(info.max_memory) },
        eviction_policy: info.eviction_policy,
        persistence: Persistence {
            append_only: info.persistence.append_only,
            append_fsync,
            append_failed: info.persistence.append_failed,
            snapshot_failed: info.persistence.snapshot_failed,
            last_snapshot_ms: info.persistence.last_snapshot_s * 1_000,
        },
        capabilities: capabilities(app),
        retention: retention(app).await?,
        reaper,
    })
}

fn capabilities(app: &App) -> Vec<Capability> {
    let known = app.capabilities.current();
    let capability = |(capability, state): (stream_core::Capability, &Availability)| Capability {
        name: capability.label(),
        command: capability.command(),
        state: match state {
            Availability::Unavailable => "missing",
            state => state.label(),
        },
        reason: match state {
            Availability::Unknown(reason) => Some(reason.clone()),
            _ => None,
        },
    };
    known.iter().map(capability).collect()
}

async fn retention(app: &App) -> Result<Retention, Error> {
    let settings = &app.settings.retention;
    let guarded = settings.policy == RetentionPolicy::Guarded;
    let cutoff = clock::now_ms().saturating_sub(settings.age.as_millis() as u64);
    let rule = RetentionRule {
        cutoff: StreamId::new(cutoff, 0),
        guarded,
        required: settings.groups.clone(),
        stale_after: settings.stale_group_after,
    };
    let registered = app.stream.registered_consumers().await?;
    let outlook = app.stream.retention_outlook(&rule, &registered).await?;
    Ok(Retention {
        policy: settings.policy.as_str(),
        age_ms: millis(settings.age),
        maxlen: settings.maxlen,
        groups: settings.groups.clone(),
        stale_group_after_ms: millis(settings.stale_group_after),
        hard_cap_entries: settings.hard_cap_entries,
        hard_cap_memory_percent: settings.hard_cap_memory_percent,
        holds: holds(&rule, &outlook),
        lost: outlook
            .groups
            .iter()
            .map(|group| Loss { group: group.name.clone(), entries: group.lost })
            .collect(),
    })
}

fn holds(rule: &RetentionRule, outlook: &Retained) -> Vec<Hold> {
    if !rule.guarded {
        return Vec::new();
    }
    let is_needed = |group: &&GroupRetention| group.needs.is_some_and(|needs| needs < rule.cutoff);
    let mut holds: Vec<Hold> =
        outlook.groups.iter().filter(is_needed).filter_map(|group| hold(rule, group)).collect();
    if let Some(holder) =
        outlook.held_by.as_ref().filter(|holder| holds.iter().all(|it| it.group != **holder))
    {
        holds.push(Hold {
            group: holder.clone(),
            needs: Some(outlook.limit.to_string()),
            standing: "rebuild",
            silent_ms: 0,
            text: format!("{holder} keeps what is not older than {} until it ends", outlook.limit),
        });
    }
    holds
}

fn hold(rule: &RetentionRule, group: &GroupRetention) -> Option<Hold> {
    let name = &group.name;
    let (standing, text) = match group.standing {
        Standing::Required => {
            ("required", format!("{name} has not acked the oldest entries; they stay until it does"))
        }
        Standing::Waiting => {
            let left = rule.stale_after.saturating_sub(group.silent).as_secs();
            (
                "waiting",
                format!(
                    "{name} has not acked the oldest entries; they stay until it does, or has been silent for another {left} s"
                ),
            )
        }
        Standing::Stale | Standing::Unguarded => return None,
    };
    let needs = group.needs.map(|id| id.to_string());
    Some(Hold { group: name.clone(), needs, standing, silent_ms: millis(group.silent), text })
}

const fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
