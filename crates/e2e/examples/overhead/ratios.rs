//! [`Cost`] of one run, and the [`Ratios`] of pairs of them.

use std::{fmt, time::Duration};

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) used: Used,
}

/// Processor time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    pub(crate) service: Duration,
    pub(crate) redis: Duration,
}

impl Used {
    pub(crate) fn since(self, before: Self) -> Self {
        let (service, redis) =
            (self.service.saturating_sub(before.service), self.redis.saturating_sub(before.redis));
        Self { service, redis }
    }
}

/// B's cost divided by A's, pair by pair.
#[derive(Debug, Default)]
pub(crate) struct Ratios {
    pairs: Vec<[f64; 3]>,
}

impl Ratios {
    pub(crate) const HEAD: &str = "\
        pair     A/s     B/s   service us an entry A, B   Redis us an entry A, B      time B/A  service B/A    Redis B/A";
    const NAMES: [&str; 3] = ["time", "service's processor time", "Redis's processor time"];

    /// Notes a pair; its line of the table.
    pub(crate) fn add(&mut self, a: Cost, b: Cost, entries: u32) -> String {
        let ratios = [
            b.wall.div_duration_f64(a.wall),
            b.used.service.div_duration_f64(a.used.service),
            b.used.redis.div_duration_f64(a.used.redis),
        ];
        self.pairs.push(ratios);
        let per_second = |cost: Cost| f64::from(entries) / cost.wall.as_secs_f64();
        let each_us = |used: Duration| used.as_secs_f64() * 1e6 / f64::from(entries);
        format!(
            "{:4}  {:6.0}  {:6.0}  {:12.1}  {:10.1}  {:12.1}  {:10.1}  {:12.3}  {:11.3}  {:11.3}",
            self.pairs.len(),
            per_second(a),
            per_second(b),
            each_us(a.used.service),
            each_us(b.used.service),
            each_us(a.used.redis),
            each_us(b.used.redis),
            ratios[0],
            ratios[1],
            ratios[2],
        )
    }
}

impl fmt::Display for Ratios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in Self::NAMES.into_iter().enumerate() {
            let mut sorted: Vec<_> = self.pairs.iter().map(|ratios| ratios[at]).collect();
            sorted.sort_by(f64::total_cmp);
            let Some(last) = sorted.len().checked_sub(1) else { continue };
            let [min, quarter, median, three, max] = [0, 1, 2, 3, 4].map(|share| sorted[last * share / 4]);
            writeln!(
                f,
                "{name:24} B/A: min {min:.3}  quarter {quarter:.3}  median {median:.3}  three quarters {three:.3}  \
                 max {max:.3}",
            )?;
        }
        Ok(())
    }
}
