//! The real binary against a real Redis, over real sockets.

mod auth;
mod client;
mod failures;
mod group_commit;
mod process;
mod publishing;
mod reading;
mod refusals;
mod retention_caps;
mod shutdown;
