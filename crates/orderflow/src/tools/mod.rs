//! Subcommands that look into Redis. `replay`, `consumers`, `claim`, `dlq` and the like have their place here.

pub(crate) mod analytics;
pub(crate) mod claim;
pub(crate) mod consumers;
pub(crate) mod doctor;
pub(crate) mod groups;
pub(crate) mod handover;
mod live;
pub(crate) mod pending;
pub(crate) mod tail;
