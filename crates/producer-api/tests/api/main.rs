//! The real binary against a real Redis, over real sockets.

mod client;
mod contract;
mod cloudevents;
mod encodings;
mod failures;
mod group_commit;
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
