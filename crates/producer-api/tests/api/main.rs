//! The real binary against a real Redis, over real sockets.

mod client;
mod contract;
mod failures;
mod group_commit;
mod process;
mod publishing;
mod reading;
mod refusals;
mod retention_caps;
mod shutdown;
mod sse;
mod tail;
