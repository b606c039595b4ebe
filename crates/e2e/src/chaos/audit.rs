//! [`audit`]: proves from the evidence that nothing was lost and nothing counted twice, or says what was.

use std::collections::{HashMap, HashSet};

use super::{
    evidence::{Evidence, RawEntry},
    fault::GROUPS,
    injector::Injected,
    poison::MARK,
};
use crate::{Journal, Outcome, Posted, load::dollars};

#[cfg(test)]
mod tests;

/// What the checker found. The first three must be empty.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Events that are gone, or that a group never settled.
    pub(super) losses: Vec<String>,
    /// Events stored or counted more than once, or counted although they should not be.
    pub(super) double_counts: Vec<String>,
    /// Anything else that must not be.
    pub(super) violations: Vec<String>,
    /// Notifications beyond the first of an event: allowed, and counted.
    pub(super) notified_again: u64,
    /// Dead letters beyond the first of an entry: allowed after a group was destroyed, and counted.
    pub(super) dead_lettered_again: u64,
}

/// A process says the same thing a few times within a second where several of its parts meet with one trouble. More
/// than this is a loop without a pause.
const SAME_COMPLAINT_MAX: u64 = 20;

/// Checks everything.
pub(super) fn audit(evidence: &Evidence, journal: &Journal, injected: &Injected, known: &[bool]) -> Findings {
    let mut findings = Findings::default();
    let (poison, valid): (Vec<&RawEntry>, Vec<&RawEntry>) =
        evidence.stream.iter().partition(|entry| entry.text(MARK).is_some());
    findings.check_stream(evidence, &poison, injected);
    findings.check_answers(&valid, &journal.posted);
    findings.violations.extend(journal.strange.iter().map(|answer| format!("strange answer: {answer}")));
    findings.check_groups(evidence);
    for group in GROUPS {
        findings.check_dead_letters(group, evidence, &poison, injected);
    }
    findings.check_notifications(evidence, &valid);
    findings.check_projection(evidence, &valid);
    let (times, complaint) = &evidence.logs.loudest;
    if *times > SAME_COMPLAINT_MAX {
        findings.violations.push(format!("{times} log lines within a second: {complaint}"));
    }
    for (entry, known) in valid.iter().zip(known) {
        if !known {
            findings.losses.push(format!("{}: not in its order's state in analytics", entry.id));
        }
    }
    findings
}

impl Findings {
    fn check_stream(&mut self, evidence: &Evidence, poison: &[&RawEntry], injected: &Injected) {
        if evidence.entries_added != evidence.stream.len() as u64 {
            self.losses.push(format!(
                "{} entries were added to the stream and {} were seen in it",
                evidence.entries_added,
                evidence.stream.len()
            ));
        }
        // Retention takes the oldest: behind the first that it has left there is no gap.
        let behind = evidence.stream.iter().skip_while(|entry| !evidence.kept.contains(&entry.id));
        for entry in behind.filter(|entry| !evidence.kept.contains(&entry.id)) {
            self.losses.push(format!("{} is gone from the midst of the stream", entry.id));
        }
        for (group, lost) in evidence.retention_lost.iter().filter(|(_, lost)| **lost > 0) {
            self.losses.push(format!("{lost} entries were trimmed before {group} was handed them"));
        }
        if poison.len() != injected.poison {
            self.losses.push(format!("{} poison entries of {}", poison.len(), injected.poison));
        }
    }

    /// Each answer against what was in the stream: what was said to be stored is, once and as it was posted; what was said not
    /// to be stored is not.
    fn check_answers(&mut self, valid: &[&RawEntry], posted: &[Posted]) {
        let mut by_order: HashMap<&str, Vec<&RawEntry>> = HashMap::new();
        for entry in valid {
            by_order.entry(entry.text("order_id").unwrap_or_default()).or_default().push(entry);
        }
        for event in posted {
            let stored = by_order.remove(event.order_id.as_str()).unwrap_or_default();
            if stored.len() > 1 {
                let ids: Vec<&str> = stored.iter().map(|entry| entry.id.as_str()).collect();
                self.double_counts.push(format!("{} is stored {} times: {ids:?}", event.order_id, ids.len()));
            }
            match (&event.outcome, stored.first()) {
                (Outcome::Stored(id), None) => {
                    self.losses
                        .push(format!("{} was answered 201 as {id} and was never there", event.order_id));
                }
                (Outcome::Stored(id), Some(entry)) if entry.id != *id => {
                    self.violations.push(format!("{} was answered as {id}, is {}", event.order_id, entry.id));
                }
                (Outcome::NotStored, Some(entry)) => self.violations.push(format!(
                    "{} was answered as not stored and is there as {}",
                    event.order_id, entry.id
                )),
                _ => {}
            }
            if let Some(entry) = stored.first()
                && !is_as_posted(entry, event)
            {
                self.violations.push(format!("{} is not as it was posted: {event:?}", entry.id));
            }
        }
        self.violations.extend(by_order.keys().map(|order_id| format!("nobody posted {order_id:?}")));
    }

    fn check_groups(&mut self, evidence: &Evidence) {
        for group in GROUPS {
            let Some(state) = evidence.groups.get(group) else {
                self.losses.push(format!("there is no group {group}"));
                continue;
            };
            if state.pending > 0 || state.undelivered > 0 {
                self.losses.push(format!("{group} has not settled everything: {state:?}"));
            }
        }
    }

    /// Exactly the poison entries are dead letters, byte for byte; an order among them was lost to its group.
    fn check_dead_letters(
        &mut self,
        group: &str,
        evidence: &Evidence,
        poison: &[&RawEntry],
        injected: &Injected,
    ) {
        let originals: HashMap<&str, &RawEntry> =
            evidence.stream.iter().map(|entry| (entry.id.as_str(), entry)).collect();
        let mut seen = HashSet::new();
        for letter in &evidence.dead_letters[group] {
            let text = |name| letter.text(name).unwrap_or_default();
            let (id, reason) = (text("_dl_id"), text("_dl_reason"));
            let Some(original) = originals.get(id) else {
                self.violations.push(format!("dlq:{group} {}: {id} is not in the stream", letter.id));
                continue;
            };
            if original.text(MARK).is_none() {
                let (count, error) = (text("_dl_deliveries"), text("_dl_error"));
                self.losses.push(format!("dlq:{group} has order {id}: {reason} at {count}: {error}"));
                continue;
            }
            let kept = letter.fields.iter().filter(|(name, _)| !name.starts_with(b"_dl_"));
            if !kept.eq(&original.fields) || reason != "poison" {
                self.violations.push(format!("dlq:{group} {}: not as it was: {letter:?}", letter.id));
            }
            if !seen.insert(id) {
                self.dead_lettered_again += 1;
                if !injected.groups_destroyed.contains(&group) {
                    self.double_counts.push(format!("dlq:{group} has {id} twice"));
                }
            }
        }
        for entry in poison {
            if !seen.contains(entry.id.as_str()) {
                self.losses.push(format!("dlq:{group} lacks the poison entry {}", entry.id));
            }
        }
    }

    fn check_notifications(&mut self, evidence: &Evidence, valid: &[&RawEntry]) {
        let mut expected: HashSet<&str> = HashSet::new();
        for entry in valid {
            expected.insert(&entry.id);
            match evidence.logs.notified.get(&entry.id) {
                None => self.losses.push(format!("{} was never notified", entry.id)),
                Some(times) => self.notified_again += times - 1,
            }
        }
        for id in evidence.logs.notified.keys().filter(|id| !expected.contains(id.as_str())) {
            self.violations.push(format!("{id} was notified and is no order in the stream"));
        }
    }

    /// The projection against an independent sum over the stream, to the cent.
    fn check_projection(&mut self, evidence: &Evidence, valid: &[&RawEntry]) {
        let mut totals: HashMap<String, i64> = HashMap::new();
        let mut funnel: HashMap<String, i64> = HashMap::new();
        let mut customers: HashMap<String, i64> = HashMap::new();
        for entry in valid {
            let text = |name| entry.text(name).unwrap_or_default();
            let (event_type, customer) = (text("type"), text("customer"));
            let cents = text("amount").replace('.', "").parse().unwrap_or_default();
            *totals.entry(format!("{event_type}:n")).or_default() += 1;
            *totals.entry(format!("{event_type}:c")).or_default() += cents;
            *funnel.entry(event_type.to_owned()).or_default() += 1;
            let paid = if event_type == "order.paid" { cents } else { 0 };
            *customers.entry(customer.to_owned()).or_default() += paid;
        }
        let projected = &evidence.projected;
        self.compare("totals", &totals, &projected.totals);
        self.compare("days", &totals, &projected.days);
        self.compare("minutes", &totals, &projected.minutes);
        self.compare("funnel", &funnel, &projected.funnel);
        self.compare("customers", &customers, &projected.customers);
    }

    fn compare(&mut self, name: &str, expected: &HashMap<String, i64>, found: &HashMap<String, i64>) {
        let fields: HashSet<&String> = expected.keys().chain(found.keys()).collect();
        for field in fields {
            let wanted = expected.get(field).copied();
            let counted = found.get(field).copied();
            let line = || format!("{name} {field}: {counted:?} instead of {wanted:?}");
            match counted.unwrap_or_default().cmp(&wanted.unwrap_or_default()) {
                std::cmp::Ordering::Less => self.losses.push(line()),
                std::cmp::Ordering::Greater => self.double_counts.push(line()),
                std::cmp::Ordering::Equal if counted.is_none() || wanted.is_none() => {
                    self.violations.push(line());
                }
                std::cmp::Ordering::Equal => {}
            }
        }
    }
}

fn is_as_posted(entry: &RawEntry, event: &Posted) -> bool {
    entry.text("type") == Some(event.event_type)
        && entry.text("customer") == Some(event.customer.as_str())
        && entry.text("amount") == Some(dollars(event.cents).as_str())
        && entry.fields.len() == 5
}
