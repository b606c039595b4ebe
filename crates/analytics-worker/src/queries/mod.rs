//! [`Queries`]: reads the projection, each query from one generation of it.

mod buckets;
mod orders;
mod series;
mod summary;
mod window;

use std::sync::Arc;

use order_events::EventTypes;
pub(crate) use series::{Metric, SeriesQuery};
use stream_core::{Error, EventStream, Projected};

use crate::{GROUP, projection::OTHER};

/// Where queries come from: the projection of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    stream: EventStream,
    /// Every type that events are counted as.
    types: Arc<[String]>,
}

/// Answers one question from the figures of one generation: a rebuilt one that is swapped in meanwhile does not mix in.
#[derive(Debug)]
pub(crate) struct Queries {
    figures: Projected,
    types: Arc<[String]>,
}

impl Source {
    pub(crate) fn new(stream: EventStream, types: &EventTypes) -> Self {
        let known = types.iter().map(|known| known.as_str().to_owned());
        Self { stream, types: known.chain([OTHER.to_owned()]).collect() }
    }

    /// Every type that events are counted as.
    pub(crate) fn types(&self) -> &[String] {
        &self.types
    }

    /// For one question.
    pub(crate) async fn queries(&self) -> Result<Queries, Error> {
        Ok(Queries { figures: self.stream.projected(GROUP).await?, types: Arc::clone(&self.types) })
    }
}
