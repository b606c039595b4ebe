//! The real binary against a real Redis, over real sockets.

mod client;
mod durability;
mod failures;
mod group_commit;
mod idempotency;
mod process;
mod publishing;
mod reading;
mod refusals;
mod retention_caps;
mod shutdown;
