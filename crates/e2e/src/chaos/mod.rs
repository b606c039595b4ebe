//! The chaos run: numbered orders are posted while faults are injected on a seeded schedule; then everything is
//! healed, and a checker with a client of its own proves that nothing was lost and nothing counted twice.
//!
//! [`ChaosSettings`] says how long, with which seed and on which server; [`run`] does it; [`ChaosReport`] is what
//! came of it.

mod audit;
mod evidence;
mod fault;
mod injector;
mod logs;
mod member;
mod poison;
mod report;
mod run;
mod schedule;
mod settings;
mod witness;

pub use report::ChaosReport;
pub use run::run;
pub use settings::ChaosSettings;
