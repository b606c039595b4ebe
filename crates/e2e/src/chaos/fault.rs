//! [`Fault`]: what can go wrong, and with what.

use std::time::Duration;

use super::poison::Shape;
use crate::Role;

/// The consumer groups of the pipeline.
pub(super) const GROUPS: [&str; 2] = ["notifications", "analytics"];

/// Something that goes wrong, to whatever its [`Target`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A process is killed (SIGKILL) and, when the fault ends, started again, as a supervisor does.
    Kill,
    /// A process is stopped (SIGSTOP) and goes on (SIGCONT) when the fault ends.
    Freeze,
    /// Each chunk of bytes between a service and Redis is late.
    Slow(Duration),
    /// Nothing passes between a service and Redis, and no connection ends.
    HalfOpen,
    /// A service's connections to Redis end and new ones are closed.
    Cut,
    /// A service's connections to Redis are reset, and new ones as well.
    Reset,
    /// Redis is killed (SIGKILL) and started again on its append-only file.
    RedisKill,
    /// Redis answers nobody (CLIENT PAUSE).
    RedisPause,
    /// Redis closes every client's connection (CLIENT KILL TYPE normal).
    ClientKill,
    /// Redis refuses writes (`maxmemory`).
    OutOfMemory,
    /// A consumer group is destroyed, with its pending entries and its position.
    DestroyGroup(&'static str),
    /// Another client appends an entry that nobody can understand.
    Poison(Shape),
}

/// What a fault hits. A target has one fault at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A process, or its network: the index of the member.
    Member(usize),
    /// The Redis server.
    Redis,
}

/// A kind of fault as the schedule draws it: the target and the details are drawn with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Card {
    Kill(Role),
    Freeze(Role),
    Slow,
    HalfOpen,
    Cut,
    Reset,
    RedisKill,
    RedisPause,
    ClientKill,
    OutOfMemory,
    DestroyGroup,
    Poison,
}

impl Card {
    /// Every kind once.
    pub(super) fn all() -> Vec<Self> {
        let mut cards = vec![
            Self::Slow,
            Self::HalfOpen,
            Self::Cut,
            Self::Reset,
            Self::RedisKill,
            Self::RedisPause,
            Self::ClientKill,
            Self::OutOfMemory,
            Self::DestroyGroup,
            Self::Poison,
        ];
        for role in [Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper] {
            cards.extend([Self::Kill(role), Self::Freeze(role)]);
        }
        cards
    }

    /// Whether it may hit a member of this role.
    pub(super) fn hits(self, role: Role) -> bool {
        match self {
            Self::Kill(wanted) | Self::Freeze(wanted) => role == wanted,
            Self::Slow | Self::HalfOpen | Self::Cut | Self::Reset => true,
            _ => false,
        }
    }

    /// The fault, its details drawn, and how long it lasts.
    pub(super) fn deal(self, rng: &mut fastrand::Rng) -> (Fault, Duration) {
        let (fault, lasts_ms) = match self {
            Self::Kill(_) => (Fault::Kill, 200..3_000),
            // Beyond claim_min_idle, and sometimes beyond the lease of the name and of the reaper.
            Self::Freeze(_) => (Fault::Freeze, 500..6_000),
            Self::Slow => (Fault::Slow(Duration::from_millis(rng.u64(10..250))), 1_000..4_000),
            // Sometimes beyond every reply timeout.
            Self::HalfOpen => (Fault::HalfOpen, 1_000..9_000),
            Self::Cut => (Fault::Cut, 100..3_000),
            Self::Reset => (Fault::Reset, 10..1_000),
            Self::RedisKill => (Fault::RedisKill, 50..2_000),
            Self::RedisPause => (Fault::RedisPause, 500..4_000),
            Self::ClientKill => (Fault::ClientKill, 0..1),
            Self::OutOfMemory => (Fault::OutOfMemory, 300..3_000),
            Self::DestroyGroup => (Fault::DestroyGroup(GROUPS[rng.usize(..GROUPS.len())]), 0..1),
            Self::Poison => (Fault::Poison(Shape::ALL[rng.usize(..Shape::ALL.len())]), 0..1),
        };
        (fault, Duration::from_millis(rng.u64(lasts_ms)))
    }

    /// What the report calls it.
    pub(super) fn label(self) -> String {
        match self {
            Self::Kill(role) => format!("SIGKILL and restart of {}", role.program()),
            Self::Freeze(role) => format!("SIGSTOP and SIGCONT of {}", role.program()),
            Self::Slow => "network: latency".to_owned(),
            Self::HalfOpen => "network: half-open".to_owned(),
            Self::Cut => "network: cut".to_owned(),
            Self::Reset => "network: reset".to_owned(),
            Self::RedisKill => "Redis: SIGKILL and restart".to_owned(),
            Self::RedisPause => "Redis: CLIENT PAUSE".to_owned(),
            Self::ClientKill => "Redis: CLIENT KILL".to_owned(),
            Self::OutOfMemory => "Redis: out of memory".to_owned(),
            Self::DestroyGroup => "Redis: XGROUP DESTROY".to_owned(),
            Self::Poison => "poison entry".to_owned(),
        }
    }
}
