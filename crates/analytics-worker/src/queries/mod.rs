//! [`Queries`]: reads the projections.

mod buckets;
mod orders;
mod series;
mod summary;
mod window;

use order_events::EventTypes;
pub(crate) use series::{Metric, SeriesQuery};
use stream_core::EventStream;

use crate::projection::OTHER;

/// Answers questions from the projections of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Queries {
    stream: EventStream,
    /// Every type that events are counted as.
    types: Vec<String>,
}

impl Queries {
    pub(crate) fn new(stream: EventStream, types: &EventTypes) -> Self {
        let known = types.iter().map(|known| known.as_str().to_owned());
        Self { stream, types: known.chain([OTHER.to_owned()]).collect() }
    }

    /// Every type that events are counted as.
    pub(crate) fn types(&self) -> &[String] {
        &self.types
    }
}
