//! Subcommands that look into a running pipeline, or move one of its levers.

pub(crate) mod analytics;
pub(crate) mod claim;
pub(crate) mod consumers;
pub(crate) mod doctor;
pub(crate) mod groups;
pub(crate) mod handover;
mod live;
pub(crate) mod log;
pub(crate) mod pending;
pub(crate) mod tail;
