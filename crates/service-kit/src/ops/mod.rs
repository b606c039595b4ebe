//! The ops port: liveness, readiness and metrics over HTTP, and how any port is bound and served.

mod bind;
mod readiness;
mod routes;
mod serve;

pub use bind::{BindError, bind, dialable};
pub use readiness::{Condition, Readiness};
pub use routes::{OpsRoutes, router};
pub use serve::serve;

#[cfg(test)]
mod tests;
