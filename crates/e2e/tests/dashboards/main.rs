//! Grafana's dashboards against a real Prometheus that scraped a real pipeline through good and bad minutes: every query of
//! every panel, variable and annotation returns data, and shows what happened.
//!
//! What each query returned is left in `<target>/dashboards`, from which pictures of the panels can be drawn.

mod annotations;
mod board;
mod incident;
mod queries;
mod structure;
