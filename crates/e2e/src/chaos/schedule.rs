//! [`schedule`]: which fault begins when, what it hits and how long it lasts, all from the seed.

use std::{collections::VecDeque, time::Duration};

use super::fault::{Card, Fault, Target};
use crate::Role;

/// So many faults last at the same time, at most.
const CONCURRENT_MAX: usize = 3;

/// How long a target is left alone after a fault.
const REST: Duration = Duration::from_millis(200);

/// How far a fault is put off while its targets are busy.
const POSTPONE: Duration = Duration::from_millis(100);

/// One fault of the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    /// When it begins, from the start of the run.
    pub(super) at: Duration,
    /// How long it lasts.
    pub(super) lasts: Duration,
    pub(super) card: Card,
    pub(super) fault: Fault,
    pub(super) target: Target,
}

/// The faults of a run on `members`, in the order in which they begin. Each kind comes once before any comes
/// again.
pub(super) fn schedule(seed: u64, duration: Duration, interval: Duration, members: &[Role]) -> Vec<Planned> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut planned: Vec<Planned> = Vec::new();
    let mut deck = VecDeque::new();
    let mut now = Duration::ZERO;
    loop {
        now += interval.mul_f64(0.6 + 0.8 * rng.f64());
        if deck.is_empty() {
            let mut cards = Card::all();
            rng.shuffle(&mut cards);
            deck.extend(cards);
        }
        let Some(card) = deck.pop_front() else { return planned };
        let target = loop {
            if now >= duration {
                return planned;
            }
            let free = free_targets(card, now, members, &planned);
            if !free.is_empty() {
                break free[rng.usize(..free.len())];
            }
            now += POSTPONE;
        };
        let (fault, lasts) = card.deal(&mut rng);
        planned.push(Planned { at: now, lasts, card, fault, target });
    }
}

/// What `card` could hit at this time.
fn free_targets(card: Card, now: Duration, members: &[Role], planned: &[Planned]) -> Vec<Target> {
    let busy: Vec<Target> = planned
        .iter()
        .filter(|earlier| earlier.at + earlier.lasts + REST > now)
        .map(|earlier| earlier.target)
        .collect();
    if busy.len() >= CONCURRENT_MAX {
        return Vec::new();
    }
    let hit = members.iter().enumerate().filter(|(_, role)| card.hits(**role));
    let mut targets: Vec<Target> = hit.map(|(index, _)| Target::Member(index)).collect();
    if targets.is_empty() {
        targets.push(Target::Redis);
    }
    targets.retain(|target| !busy.contains(target));
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERS: [Role; 5] =
        [Role::Producer, Role::Notifications, Role::Notifications, Role::Analytics, Role::Reaper];

    fn of_seed(seed: u64) -> Vec<Planned> {
        schedule(seed, Duration::from_mins(10), Duration::from_millis(2_500), &MEMBERS)
    }

    #[test]
    fn a_seed_replays_its_schedule() {
        assert_eq!(of_seed(7), of_seed(7));
        assert_ne!(of_seed(7), of_seed(8));
    }

    #[test]
    fn ten_minutes_hold_two_hundred_faults_of_every_kind() {
        for seed in 0..20 {
            let planned = of_seed(seed);
            assert!(planned.len() >= 200, "{} faults", planned.len());
            for card in Card::all() {
                let times = planned.iter().filter(|fault| fault.card == card).count();
                assert!(times >= planned.len() / Card::all().len(), "{card:?} {times} times");
            }
        }
    }

    #[test]
    fn a_target_has_one_fault_at_a_time_and_overlap_is_bounded() {
        let planned = of_seed(3);
        for (index, fault) in planned.iter().enumerate() {
            let lasting = planned[..index].iter().filter(|earlier| earlier.at + earlier.lasts > fault.at);
            let targets: Vec<Target> = lasting.map(|earlier| earlier.target).collect();
            assert!(targets.len() < CONCURRENT_MAX && !targets.contains(&fault.target), "{fault:?}");
        }
        assert!(planned.iter().any(|fault| {
            planned.iter().any(|other| other.at > fault.at && other.at < fault.at + fault.lasts)
        }));
    }
}
