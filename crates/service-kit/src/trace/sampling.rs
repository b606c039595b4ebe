//! [`Sampling`]: whether a span is recorded, decided before it is made.

use opentelemetry::trace::{SpanKind, TraceId};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample};

use super::parent::TraceParent;

/// The samplers of `OTEL_TRACES_SAMPLER`.
#[derive(Debug, Clone)]
pub(super) struct Sampling {
    ratio: Sampler,
    /// Whoever has a parent is recorded if, and only if, that is.
    parent_based: bool,
}

impl Sampling {
    /// Records this share of the traces, by their IDs: all services decide alike.
    pub(super) const fn new(ratio: f64, parent_based: bool) -> Self {
        Self { ratio: Sampler::TraceIdRatioBased(ratio), parent_based }
    }

    /// Whether a span in this trace is recorded. Costs no allocation.
    pub(super) fn records(&self, trace: TraceId, parent: Option<TraceParent>) -> bool {
        match parent {
            Some(parent) if self.parent_based => parent.is_sampled(),
            _ => {
                let result = self.ratio.should_sample(None, trace, "", &SpanKind::Internal, &[], &[]);
                result.decision == SamplingDecision::RecordAndSample
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_kept_and_the_same_everywhere() {
        let share = |sampling: &Sampling| {
            let traces =
                (1..=20_000_u64).map(|n| TraceId::from(u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
            traces.filter(|trace| sampling.records(*trace, None)).count()
        };
        let one_percent = share(&Sampling::new(0.01, true));
        assert!((100..300).contains(&one_percent), "{one_percent} of 20000");
        assert_eq!(one_percent, share(&Sampling::new(0.01, false)));
        assert_eq!((share(&Sampling::new(0.0, true)), share(&Sampling::new(1.0, true))), (0, 20_000));
    }

    #[test]
    fn a_parent_decides_where_it_is_asked() {
        let parent = |flags: &str| {
            TraceParent::parse(
                format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}").as_bytes(),
            )
        };
        let records = |ratio, parent_based, flags| {
            let parent = parent(flags).unwrap();
            Sampling::new(ratio, parent_based).records(parent.trace, Some(parent))
        };
        assert!(records(0.0, true, "01") && !records(1.0, true, "00"));
        assert!(!records(0.0, false, "01") && records(1.0, false, "00"));
    }
}
