//! What can be seen of a running pipeline: its metrics, their documentation, and the alerts made of them.

mod exposition;
mod incident;
mod metrics_doc;
mod rules;
mod tools;
