//! Ports as their clients see them: protocols, bounds, and clients that are slow, silent or many.

#![expect(clippy::float_cmp, reason = "metrics that count are whole numbers")]
#![expect(clippy::unwrap_used, reason = "in helpers as in tests a panic is the failure report")]

mod bounds;
mod client;
mod protocols;
mod server;
mod slow;
mod tls;
