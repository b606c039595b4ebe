//! The checker finds what it is there to find: a clean run made worse in one respect at a time.

use super::*;
use crate::chaos::{
    evidence::{GroupState, Projected},
    logs::Logs,
    poison::Shape,
};

struct Run {
    evidence: Evidence,
    journal: Journal,
    injected: Injected,
    known: Vec<bool>,
}

/// Two orders answered 201 and one poison entry, all settled as they should be.
fn clean() -> Run {
    let order = |id: &str, order_id: &str, cents: u64| {
        let fields = [
            ("type", "order.paid".to_owned()),
            ("order_id", order_id.to_owned()),
            ("customer", "eve".to_owned()),
            ("amount", dollars(cents)),
            ("ts_ms", "1".to_owned()),
        ];
        let fields = fields.map(|(name, value)| (name.as_bytes().to_vec(), value.into_bytes()));
        RawEntry { id: id.to_owned(), fields: fields.to_vec() }
    };
    let posted = |id: &str, order_id: &str, cents| Posted {
        event_type: "order.paid",
        order_id: order_id.to_owned(),
        customer: "eve".to_owned(),
        cents,
        outcome: Outcome::Stored(id.to_owned()),
    };
    let poison = RawEntry { id: "3-0".to_owned(), fields: Shape::DuplicateField.fields(1) };
    let letter = || {
        let about = [("_dl_id", "3-0"), ("_dl_reason", "poison")];
        let about = about.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        RawEntry { id: "9-0".to_owned(), fields: about.into_iter().chain(poison.fields.clone()).collect() }
    };
    let sums = || HashMap::from([("order.paid:n".to_owned(), 2), ("order.paid:c".to_owned(), 1_250)]);
    let evidence = Evidence {
        dead_letters: GROUPS.map(|group| (group, vec![letter()])).into(),
        stream: vec![order("1-0", "order-1", 1_000), order("2-0", "order-2", 250), poison.clone()],
        kept: ["1-0", "2-0", "3-0"].map(str::to_owned).into(),
        retention_lost: GROUPS.map(|group| (group.to_owned(), 0)).into(),
        entries_added: 3,
        groups: GROUPS.map(|group| (group, GroupState::default())).into(),
        projected: Projected {
            totals: sums(),
            days: sums(),
            minutes: sums(),
            funnel: HashMap::from([("order.paid".to_owned(), 2)]),
            customers: HashMap::from([("eve".to_owned(), 1_250)]),
        },
        logs: Logs {
            notified: HashMap::from([("1-0".to_owned(), 1), ("2-0".to_owned(), 3)]),
            ..Logs::default()
        },
    };
    let mut journal = Journal::default();
    journal.posted = vec![posted("1-0", "order-1", 1_000), posted("2-0", "order-2", 250)];
    Run {
        evidence,
        journal,
        injected: Injected { poison: 1, ..Injected::default() },
        known: vec![true, true],
    }
}

/// How many losses, double counts and violations a changed run has.
fn found(change: impl FnOnce(&mut Run)) -> [bool; 3] {
    let mut run = clean();
    change(&mut run);
    let found = audit(&run.evidence, &run.journal, &run.injected, &run.known);
    [found.losses, found.double_counts, found.violations].map(|list| !list.is_empty())
}

const NOTHING: [bool; 3] = [false; 3];
const LOSS: [bool; 3] = [true, false, false];
const DOUBLE: [bool; 3] = [false, true, false];
const VIOLATION: [bool; 3] = [false, false, true];

#[test]
fn a_clean_run_is_clean_and_its_duplicates_are_counted() {
    let run = clean();
    let findings = audit(&run.evidence, &run.journal, &run.injected, &run.known);
    assert_eq!(found(|_| {}), NOTHING, "{findings:?}");
    assert_eq!((findings.notified_again, findings.dead_lettered_again), (2, 0));
}

#[test]
fn a_loss_is_found_wherever_it_is() {
    let changes: [fn(&mut Run); 13] = [
        |run| run.evidence.kept.retain(|id| id != "2-0"),
        |run| *run.evidence.retention_lost.get_mut("analytics").unwrap() += 1,
        |run| run.evidence.groups.retain(|group, _| *group != "analytics"),
        |run| *run.evidence.projected.days.get_mut("order.paid:n").unwrap() -= 1,
        |run| {
            let gone = Posted { order_id: "order-9".to_owned(), ..run.journal.posted[0].clone() };
            run.journal.posted.push(gone);
        },
        |run| run.evidence.entries_added += 1,
        |run| run.injected.poison += 1,
        |run| run.evidence.groups.get_mut("analytics").unwrap().pending = 1,
        |run| run.evidence.groups.get_mut("notifications").unwrap().undelivered = 1,
        |run| run.evidence.logs.notified.retain(|id, _| id != "1-0"),
        |run| run.evidence.dead_letters.get_mut("analytics").unwrap().clear(),
        |run| *run.evidence.projected.totals.get_mut("order.paid:c").unwrap() -= 1,
        |run| run.known[1] = false,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        assert_eq!(found(change), LOSS, "change {index}");
    }
    let dead_order: fn(&mut Run) = |run| {
        let letters = run.evidence.dead_letters.get_mut("analytics").unwrap();
        let mut order = letters[0].clone();
        order.fields[0].1 = b"1-0".to_vec();
        letters.push(order);
    };
    assert_eq!(found(dead_order), LOSS, "an order among the dead letters");
}

#[test]
fn a_double_count_is_found_wherever_it_is() {
    let changes: [fn(&mut Run); 4] = [
        |run| *run.evidence.projected.customers.get_mut("eve").unwrap() += 1_000,
        |run| *run.evidence.projected.funnel.get_mut("order.paid").unwrap() += 1,
        |run| *run.evidence.projected.minutes.get_mut("order.paid:n").unwrap() += 1,
        |run| {
            let letters = run.evidence.dead_letters.get_mut("analytics").unwrap();
            letters.push(letters[0].clone());
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        assert_eq!(found(change), DOUBLE, "change {index}");
    }
    let stored_twice = found(|run| {
        let twice = RawEntry { id: "4-0".to_owned(), ..run.evidence.stream[0].clone() };
        run.evidence.kept.insert(twice.id.clone());
        run.evidence.stream.push(twice);
        run.evidence.entries_added += 1;
    });
    assert!(stored_twice[1], "one answer, two entries");
}

#[test]
fn a_false_answer_or_a_changed_entry_is_a_violation() {
    let changes: [fn(&mut Run); 9] = [
        |run| run.evidence.logs.loudest.0 = 1_000,
        |run| run.journal.posted.truncate(1),
        |run| {
            let letter = &mut run.evidence.dead_letters.get_mut("analytics").unwrap()[0];
            let foreign = letter.clone();
            letter.fields[0].1 = b"8-0".to_vec();
            run.evidence.dead_letters.get_mut("analytics").unwrap().push(foreign);
        },
        |run| run.journal.posted[0].outcome = Outcome::NotStored,
        |run| run.journal.posted[0].outcome = Outcome::Stored("1-1".to_owned()),
        |run| run.journal.posted[0].cents += 1,
        |run| run.journal.strange.push("500".to_owned()),
        |run| *run.evidence.logs.notified.entry("7-0".to_owned()).or_default() += 1,
        |run| {
            let letter = &mut run.evidence.dead_letters.get_mut("analytics").unwrap()[0];
            letter.fields.swap(2, 3);
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        assert_eq!(found(change), VIOLATION, "change {index}");
    }
    assert_eq!(found(|run| run.journal.posted[0].outcome = Outcome::Unknown), NOTHING);
}

#[test]
fn what_retention_has_trimmed_from_the_front_is_no_loss() {
    assert_eq!(found(|run| run.evidence.kept.retain(|id| id == "3-0")), NOTHING);
    assert_eq!(found(|run| run.evidence.kept.clear()), NOTHING);
}

#[test]
fn a_dead_letter_twice_is_excused_by_a_destroyed_group_alone() {
    let twice = |run: &mut Run| {
        run.injected.groups_destroyed.push("analytics");
        let letters = run.evidence.dead_letters.get_mut("analytics").unwrap();
        letters.push(letters[0].clone());
    };
    assert_eq!(found(twice), NOTHING);
}
