//! What the log says of groups that keep retention waiting, or that it cost something.

use std::{collections::HashMap, time::Duration};

use stream_core::{GroupRetention, Retained, RetentionRule, Standing};
use tokio::time::Instant;

/// Losses of one group are logged this often while they go on.
const LOSS_LOG_INTERVAL: Duration = Duration::from_secs(30);

/// How long a group that is not waited for however long has been silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Silence {
    /// Not for long.
    #[default]
    Short,
    /// For half of the time that it has.
    Long,
    /// For too long: it is not waited for.
    Stale,
}

impl Silence {
    pub(crate) fn of(group: &GroupRetention, rule: &RetentionRule) -> Self {
        match group.standing {
            Standing::Stale => Self::Stale,
            Standing::Waiting if group.silent >= rule.stale_after / 2 => Self::Long,
            _ => Self::Short,
        }
    }
}

/// What was said of each group.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    silences: HashMap<String, Silence>,
    /// `None` until it is known what earlier reapers have said.
    losses: Option<HashMap<String, Losses>>,
}

#[derive(Debug, Default)]
struct Losses {
    /// The total that the log knows of.
    said: u64,
    at: Option<Instant>,
}

impl Patience {
    /// Logs what changed: the warning comes at half of the time.
    pub(crate) fn silences(&mut self, rule: &RetentionRule, retained: &Retained) {
        self.silences.retain(|name, _| retained.groups.iter().any(|group| group.name == *name));
        for group in &retained.groups {
            let silence = Silence::of(group, rule);
            let said = self.silences.insert(group.name.clone(), silence).unwrap_or_default();
            let (name, silent_seconds) = (&group.name, group.silent.as_secs());
            match (said, silence) {
                (Silence::Short, Silence::Long) => {
                    let left_seconds = rule.stale_after.saturating_sub(group.silent).as_secs();
                    tracing::warn!(
                        group = name,
                        silent_seconds,
                        left_seconds,
                        "this group gives no sign of life; soon retention will not wait for it any more"
                    );
                }
                (Silence::Short | Silence::Long, Silence::Stale) => {
                    tracing::warn!(
                        group = name,
                        silent_seconds,
                        "retention does not wait for this group any more: what it has not read may be removed"
                    );
                }
                (Silence::Long | Silence::Stale, Silence::Short) => {
                    tracing::info!(group = name, "this group gave a sign of life; retention waits for it");
                }
                _ => {}
            }
        }
    }

    /// Whether [`begin`](Self::begin) is still to come.
    pub(crate) const fn is_new(&self) -> bool {
        self.losses.is_none()
    }

    /// What groups have lost so far, earlier reapers have said.
    pub(crate) fn begin(&mut self, lost: HashMap<String, u64>) {
        let said = |(group, said)| (group, Losses { said, at: None });
        self.losses = Some(lost.into_iter().map(said).collect());
    }

    /// Logs what groups lost since it was last said.
    pub(crate) fn losses(&mut self, retained: &Retained) {
        let all = self.losses.get_or_insert_default();
        all.retain(|name, _| retained.groups.iter().any(|group| group.name == *name));
        for group in &retained.groups {
            let losses = all.entry(group.name.clone()).or_default();
            if group.lost <= losses.said || losses.at.is_some_and(|at| at.elapsed() < LOSS_LOG_INTERVAL) {
                continue;
            }
            let (lost, total) = (group.lost - losses.said, group.lost);
            tracing::error!(
                group = group.name,
                lost,
                total,
                "entries were removed before this group read them"
            );
            *losses = Losses { said: group.lost, at: Some(Instant::now()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_comes_at_half_of_the_time() {
        let rule = RetentionRule {
            cutoff: stream_core::StreamId::MIN,
            guarded: true,
            required: Vec::new(),
            stale_after: Duration::from_secs(10),
        };
        let group = |standing, seconds| GroupRetention {
            name: "g".to_owned(),
            standing,
            silent: Duration::from_secs(seconds),
            needs: None,
            lost: 0,
        };
        assert_eq!(Silence::of(&group(Standing::Waiting, 4), &rule), Silence::Short);
        assert_eq!(Silence::of(&group(Standing::Waiting, 5), &rule), Silence::Long);
        assert_eq!(Silence::of(&group(Standing::Stale, 10), &rule), Silence::Stale);
        assert_eq!(Silence::of(&group(Standing::Required, 99), &rule), Silence::Short);
    }
}
