//! Subcommands that look into Redis. `replay`, `consumers`, `claim`, `dlq` and the like have their place here.

pub(crate) mod analytics;
pub(crate) mod doctor;
pub(crate) mod groups;
pub(crate) mod pending;
pub(crate) mod tail;
