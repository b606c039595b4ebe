//! What the runtime logs when one thing happens ten thousand times: a line a second, and a number.

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
    time::Duration,
};

use stream_core::{Delivery, Outcome, WorkerSettings};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::support::{Bench, On, quick};

/// Keeps every line of warning or worse that is logged by this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").expect("a string takes it");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().expect("no panic while locked").push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Lines {
    fn with(&self, text: &str) -> Vec<String> {
        let lines = self.0.lock().expect("no panic while locked");
        lines.iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

/// The number that stands behind `name=` in each line, added up.
fn sum(lines: &[String], name: &str) -> u64 {
    let number = |line: &String| {
        let (_, rest) = line.split_once(&format!(" {name}="))?;
        rest.split(' ').next()?.parse::<u64>().ok()
    };
    lines.iter().filter_map(number).sum()
}

#[tokio::test]
async fn a_burst_of_poison_writes_a_line_a_second_and_tells_how_much_there_was() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let bench = Bench::with_group().await;
    bench.append(1_000).await;
    bench.append(1_000).await;
    let consumers = ["a", "b", "c"].map(str::to_owned).to_vec();
    let began = tokio::time::Instant::now();
    let worker = bench.run(
        // Nobody loses an entry to another on a busy machine: each is a dead letter once.
        WorkerSettings { consumers, claim_min_idle: Duration::from_hours(1), ..quick("") },
        On(|_: Delivery| async { Outcome::Poison { reason: "not an order".to_owned() } }),
    );
    bench.settled().await;
    worker.drain().await;
    let (told, most) = (lines.with("dead letter"), began.elapsed().as_secs() as usize + 2);
    assert!((1..=most).contains(&told.len()), "{} lines, at most {most}: {:?}", told.len(), told.first());
    let all = told.iter().filter(|line| line.contains(" entry=")).count() as u64 + sum(&told, "suppressed");
    assert_eq!(all, 2_000, "{told:?}");
    assert!(told[0].contains("not an order"), "{}", told[0]);
    assert_eq!(bench.dead_letters().await.len(), 2_000);
}

#[tokio::test]
async fn a_list_of_exhausted_entries_writes_no_line_for_each_page() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let bench = Bench::with_group().await;
    let ids = bench.append(1_000).await;
    bench.deliver_to("gone", 1_000).await;
    for id in &ids {
        bench.set_row("gone", *id, 5, Duration::from_hours(1)).await;
    }
    let began = tokio::time::Instant::now();
    let worker = bench.run(quick("a"), On(|_: Delivery| async { Outcome::Ack }));
    bench.settled().await;
    worker.drain().await;
    let (told, most) = (lines.with("dead letters"), began.elapsed().as_secs() as usize + 2);
    assert!((1..=most).contains(&told.len()), "{} lines, at most {most}", told.len());
    assert_eq!(sum(&told, "count") + sum(&told, "suppressed"), 1_000, "{told:?}");
}
