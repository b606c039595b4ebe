//! The crate against real Redis servers, one module a subject.

mod append;
mod capabilities;
mod connection;
mod counts;
mod dead_letters;
mod drain;
mod faults;
mod groups;
mod handler;
mod hard_times;
mod info;
mod isolation;
mod leases;
mod limits;
mod names;
mod pending;
mod projection;
mod projection_faults;
mod range;
mod read;
mod recovery;
mod redrive;
mod retention;
mod support;
mod takeover;
