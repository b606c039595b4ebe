//! [`Cost`] of one run, and the [`Ratios`] of pairs of them.

use std::{fmt, time::Duration};

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// Processor time of the service alone.
    pub(crate) cpu: Duration,
}

/// B's cost divided by A's, pair by pair.
#[derive(Debug, Default)]
pub(crate) struct Ratios {
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Ratios {
    pub(crate) const HEAD: &str = "pair     A/s     B/s  A us/entry  B us/entry    time B/A  processor B/A";

    /// Notes a pair; its line of the table.
    pub(crate) fn add(&mut self, a: Cost, b: Cost, entries: u32) -> String {
        let (wall, cpu) = (b.wall.div_duration_f64(a.wall), b.cpu.div_duration_f64(a.cpu));
        self.wall.push(wall);
        self.cpu.push(cpu);
        let per_second = |cost: Cost| f64::from(entries) / cost.wall.as_secs_f64();
        let each_us = |cost: Cost| cost.cpu.as_secs_f64() * 1e6 / f64::from(entries);
        format!(
            "{:4}  {:6.0}  {:6.0}  {:10.1}  {:10.1}  {wall:10.3}  {cpu:13.3}",
            self.wall.len(),
            per_second(a),
            per_second(b),
            each_us(a),
            each_us(b),
        )
    }
}

impl fmt::Display for Ratios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, ratios) in [("time", &self.wall), ("processor", &self.cpu)] {
            let mut sorted = ratios.clone();
            sorted.sort_by(f64::total_cmp);
            let (Some(least), Some(greatest)) = (sorted.first(), sorted.last()) else { continue };
            let quartile = |share: usize| sorted[(sorted.len() - 1) * share / 4];
            writeln!(
                f,
                "{name:9} B/A: min {least:.3}  quarter {:.3}  median {:.3}  three quarters {:.3}  max {greatest:.3}",
                quartile(1),
                quartile(2),
                quartile(3),
            )?;
        }
        Ok(())
    }
}
