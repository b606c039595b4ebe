//! [`Capabilities`]: what the server can do beyond Redis 7.0, found out by trying it.

mod probe;

use std::fmt;

/// Something that newer servers can do. A closed set: its labels are metric labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// `XTRIM … MINID = … ACKED` deletes what every group has acked, and keeps what is pending or undelivered.
    AckedTrim,
    /// `XACKDEL … ACKED` acks, and deletes what no other group needs any more.
    AckDelete,
    /// `XDELEX … ACKED` deletes only what no group needs any more.
    GuardedDelete,
    /// `XREADGROUP … CLAIM` returns idle pending entries before new ones, with their delivery counts.
    ReadClaim,
    /// `XADD … IDMP` answers a repeated append with the ID of the first one.
    IdempotentAppend,
    /// `XINFO STREAM` counts the appends that `IDMP` recognized as repeated (`iids-duplicates`): only this tells
    /// a duplicate.
    DuplicateCount,
    /// `XNACK` gives a pending entry back to its group.
    Nack,
    /// `WAITAOF` waits until a write is on disk. The server knows the command; to wait for its own disk, it must
    /// also have its append-only file on.
    WaitAof,
    /// `XINFO CONSUMERS` tells a consumer's last success (`inactive`) from its last attempt (`idle`).
    ConsumerInactive,
}

impl Capability {
    /// Every capability, so that each metric series exists at 0 from the start.
    pub const ALL: [Self; 9] = [
        Self::AckedTrim,
        Self::AckDelete,
        Self::GuardedDelete,
        Self::ReadClaim,
        Self::IdempotentAppend,
        Self::DuplicateCount,
        Self::Nack,
        Self::WaitAof,
        Self::ConsumerInactive,
    ];

    /// The capability as a metric label and in JSON.
    pub const fn label(self) -> &'static str {
        match self {
            Self::AckedTrim => "acked_trim",
            Self::AckDelete => "ack_delete",
            Self::GuardedDelete => "guarded_delete",
            Self::ReadClaim => "read_claim",
            Self::IdempotentAppend => "idempotent_append",
            Self::DuplicateCount => "duplicate_count",
            Self::Nack => "nack",
            Self::WaitAof => "wait_aof",
            Self::ConsumerInactive => "consumer_inactive",
        }
    }

    /// The command and option that it stands for.
    pub const fn command(self) -> &'static str {
        match self {
            Self::AckedTrim => "XTRIM MINID ACKED",
            Self::AckDelete => "XACKDEL ACKED",
            Self::GuardedDelete => "XDELEX ACKED",
            Self::ReadClaim => "XREADGROUP CLAIM",
            Self::IdempotentAppend => "XADD IDMP",
            Self::DuplicateCount => "XINFO STREAM iids-duplicates",
            Self::Nack => "XNACK",
            Self::WaitAof => "WAITAOF",
            Self::ConsumerInactive => "XINFO CONSUMERS inactive",
        }
    }
}

/// What trying a capability has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// It works.
    Available,
    /// The server does not know it, or it does not do what it should.
    Unavailable,
    /// The user may not use it (`NOPERM`): the server may well have it.
    Denied,
    /// It could not be tried; why. Nothing is known, least of all that it is absent.
    Unknown(String),
}

impl Availability {
    /// The state in JSON and tables.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(why) => write!(f, "unknown: {why}"),
            known => f.write_str(known.label()),
        }
    }
}

/// What one server can do, as far as it could be tried. From [`Capabilities::probe`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities([Availability; Capability::ALL.len()]);

impl Capabilities {
    /// Before anything was tried: all unknown.
    pub fn untried() -> Self {
        Self(std::array::from_fn(|_| Availability::Unknown("not tried yet".to_owned())))
    }

    /// Whether the capability was seen to work. Anything else is to be done without it.
    pub fn has(&self, capability: Capability) -> bool {
        *self.state(capability) == Availability::Available
    }

    /// What trying the capability has shown.
    pub fn state(&self, capability: Capability) -> &Availability {
        &self.0[capability as usize]
    }

    /// Every capability with its state, in the order of [`Capability::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Capability, &Availability)> {
        Capability::ALL.into_iter().map(|capability| (capability, self.state(capability)))
    }

    /// Whether something could not be tried, so that trying again later makes sense.
    pub fn has_unknown(&self) -> bool {
        self.0.iter().any(|state| matches!(state, Availability::Unknown(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_has_its_place_and_label() {
        let mut labels: Vec<_> = Capability::ALL.iter().map(|capability| capability.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Capability::ALL.len());
        assert!(Capability::ALL.iter().enumerate().all(|(at, capability)| *capability as usize == at));
        let untried = Capabilities::untried();
        assert!(untried.has_unknown() && Capability::ALL.iter().all(|capability| !untried.has(*capability)));
    }
}
