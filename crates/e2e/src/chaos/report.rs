//! [`ChaosReport`]: what a run came to, as a table.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use super::audit::Findings;

/// Findings of one kind that are printed.
const SHOWN_MAX: usize = 20;

/// What a chaos run came to.
#[derive(Debug)]
pub struct ChaosReport {
    pub(super) seed: u64,
    pub(super) server: String,
    pub(super) took: Duration,
    pub(super) faults: BTreeMap<String, usize>,
    pub(super) posted: usize,
    pub(super) stored: usize,
    pub(super) unknown: usize,
    pub(super) unknown_and_stored: usize,
    pub(super) in_stream: usize,
    pub(super) trimmed: usize,
    pub(super) poison: usize,
    pub(super) complaints: u64,
    pub(super) loudest: u64,
    pub(super) longest_unavailability: Duration,
    pub(super) settled_after: Duration,
    pub(super) findings: Findings,
    /// Where the logs of a failed run are.
    pub(super) logs: PathBuf,
}

impl ChaosReport {
    /// How many faults were injected.
    pub fn faults(&self) -> usize {
        self.faults.values().sum()
    }

    /// How many events were answered 201.
    pub fn stored(&self) -> usize {
        self.stored
    }

    /// How many entries retention has trimmed, all of them settled.
    pub fn trimmed(&self) -> usize {
        self.trimmed
    }

    /// Whether nothing was lost, nothing counted twice and nothing else amiss.
    pub fn is_clean(&self) -> bool {
        let Findings { losses, double_counts, violations, .. } = &self.findings;
        losses.is_empty() && double_counts.is_empty() && violations.is_empty()
    }
}

impl fmt::Display for ChaosReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |what: &str, value: &dyn fmt::Display| writeln!(f, "  {what:<44} {value:>10}");
        let found = &self.findings;
        row(&format!("{}, seed {}", self.server, self.seed), &"")?;
        row("took, s", &self.took.as_secs())?;
        row("faults injected", &self.faults())?;
        for (kind, times) in &self.faults {
            row(&format!("  {kind}"), times)?;
        }
        row("events posted", &self.posted)?;
        row("  answered 201", &self.stored)?;
        row("  outcome unknown to the client", &self.unknown)?;
        row("    of these stored", &self.unknown_and_stored)?;
        row("  known not to be stored", &(self.posted - self.stored - self.unknown))?;
        row("entries in the stream", &self.in_stream)?;
        row("  poison among them", &self.poison)?;
        row("  trimmed in the end", &self.trimmed)?;
        row("duplicate notifications", &found.notified_again)?;
        row("duplicate dead letters", &found.dead_lettered_again)?;
        row("losses", &found.losses.len())?;
        row("double counts", &found.double_counts.len())?;
        row("other violations", &found.violations.len())?;
        row("warnings and errors logged", &self.complaints)?;
        row("  the same by one process within a second", &self.loudest)?;
        row("longest unavailability, s", &format!("{:.1}", self.longest_unavailability.as_secs_f64()))?;
        row("settled after the last fault, s", &format!("{:.1}", self.settled_after.as_secs_f64()))?;
        for (name, list) in [
            ("LOSS", &found.losses),
            ("DOUBLE COUNT", &found.double_counts),
            ("VIOLATION", &found.violations),
        ] {
            for line in list.iter().take(SHOWN_MAX) {
                writeln!(f, "{name}: {line}")?;
            }
            if list.len() > SHOWN_MAX {
                writeln!(f, "{name}: and {} more", list.len() - SHOWN_MAX)?;
            }
        }
        if !self.is_clean() {
            writeln!(f, "logs: {}", self.logs.display())?;
            writeln!(f, "replay the faults: CHAOS_SEED={}", self.seed)?;
        }
        Ok(())
    }
}
