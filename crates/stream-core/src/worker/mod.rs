//! The worker runtime: reads through a group, runs handlers, settles every entry, survives crashes.

mod asked;
mod claiming;
mod commands;
mod consumer;
mod context;
mod control;
mod counts;
mod crew;
mod drain;
mod engine;
mod failures;
mod handler;
mod health;
mod isolation;
mod job;
mod leases;
mod levers;
mod metrics;
mod naming;
mod operations;
mod orders;
mod parking;
mod process;
mod projection;
mod queue;
mod reader;
mod rebuilder;
mod recent;
mod settings;
mod settler;
mod settling;
mod supervisor;
mod suspects;
mod trace;

pub use control::{
    ClaimNow, ClaimReport, ConsumerState, ConsumerStatus, ControlError, HandedOver, Removed, WorkerControl,
    WorkerStatus,
};
pub use drain::DrainReport;
pub use handler::{Delivery, Handler, Outcome};
pub use health::WorkerHealth;
pub use metrics::WorkerMetrics;
pub use projection::{Projection, Rejection};
pub use recent::{RecentDelivery, RecentOutcome};
pub use settings::WorkerSettings;
pub use supervisor::{ConsumersReady, Worker, WorkerError};
pub use trace::{Handled, Run, RunSpan, SettleOutcome, SettleSpan, Settlement, Tracer};
