//! The real reaper against real Redis servers, one module a subject.

mod agreement;
mod dead_letters;
mod failures;
mod leadership;
mod metrics;
mod retention;
mod support;
mod sweep;
