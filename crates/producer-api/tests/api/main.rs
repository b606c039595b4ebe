//! The real binary against a real Redis, over real sockets.

mod auth;
mod client;
mod cloudevents;
mod contract;
mod durability;
mod encodings;
mod failures;
mod group_commit;
mod idempotency;
mod import;
mod memory;
mod ndjson;
mod process;
mod publishing;
mod reading;
mod refusals;
mod retention_caps;
mod shutdown;
mod sse;
mod tail;
