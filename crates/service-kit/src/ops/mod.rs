//! The ops port: liveness, readiness and metrics over HTTP.

mod readiness;
mod routes;

pub use readiness::{Condition, Readiness};
pub use routes::{OpsRoutes, router};

#[cfg(test)]
mod tests;
