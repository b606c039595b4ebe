//! What a tracer is told: of followed deliveries everything, of the others nothing.

use std::sync::{Arc, Mutex};

use stream_core::{
    Delivery, Handled, Outcome, Run, RunSpan, SettleOutcome, SettleSpan, Settlement, StreamId, Tracer,
    WorkerSettings,
};
use testkit::eventually;
use tokio::task::yield_now;

use crate::{
    projection::Counting,
    support::{Bench, On, Running, SOON, quick, retry},
};

/// Notes what it is told; follows what has a field `traced`.
#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, note: String) {
        self.0.lock().expect("no panic while locked").push(note);
    }

    /// Everything noted, once there is so much.
    async fn take(&self, count: usize) -> Vec<String> {
        eventually(SOON, &format!("{count} notes were taken"), async || {
            let mut notes = self.0.lock().expect("no panic while locked");
            if notes.len() < count { Err(format!("{notes:?}")) } else { Ok(std::mem::take(&mut *notes)) }
        })
        .await
    }
}

impl Tracer for Notes {
    fn begin(&self, run: &Run<'_>) -> Option<Arc<dyn RunSpan>> {
        run.deliveries.iter().find(|delivery| delivery.fields.get("traced").is_some())?;
        self.note(format!("begin {} of {}", run.deliveries.len(), if run.batch { "a batch" } else { "one" }));
        Some(Arc::new(self.clone()))
    }
}

impl RunSpan for Notes {
    fn within(&self, poll: &mut dyn FnMut()) {
        self.note("polled".to_owned());
        poll();
        self.note("back".to_owned());
    }

    fn ended(&self, handled: &mut dyn Iterator<Item = (&Delivery, Handled<'_>)>) {
        for (delivery, handled) in handled {
            self.note(format!("{} {handled:?}", delivery.deliveries));
        }
    }

    fn settling(&self, _: &Delivery, settlement: Settlement) -> Box<dyn SettleSpan> {
        self.note(format!("{settlement:?}"));
        Box::new(self.clone())
    }
}

impl SettleSpan for Notes {
    fn settled(self: Box<Self>, outcome: SettleOutcome) {
        self.note(format!("{outcome:?}"));
    }
}

impl Bench {
    async fn traced(&self, n: &str) -> StreamId {
        self.stream.append([("n", n), ("traced", "yes")]).await.expect("appended")
    }
}

fn settings() -> WorkerSettings {
    WorkerSettings { max_deliveries: 2, ..quick("a") }
}

#[tokio::test]
async fn a_run_is_current_while_it_is_polled_and_told_to_its_settlement() {
    let bench = Bench::with_group().await;
    let notes = Notes::default();
    let (worker, registry) = bench.worker(settings());
    let noting = notes.clone();
    let handler = On(move |delivery: Delivery| {
        let notes = noting.clone();
        async move {
            yield_now().await;
            if delivery.fields.get("traced").is_some() {
                notes.note("handled".to_owned());
            }
            match delivery.fields.get("n") {
                Some(b"bad") => retry("it is bad"),
                _ => Outcome::Ack,
            }
        }
    });
    let running = Running::start(worker.with_tracer(Arc::new(notes.clone())), registry, handler);
    bench.append(3).await;
    bench.traced("1").await;
    bench.settled().await;
    let told = ["begin 1 of one", "polled", "back", "polled", "handled", "back", "1 Ack", "Ack", "Acked"];
    assert_eq!(notes.take(told.len()).await, told);

    bench.traced("bad").await;
    bench.settled().await;
    running.drain().await;
    let attempt = ["begin 1 of one", "polled", "back", "polled", "handled", "back"];
    let mut told = [&attempt[..], &["1 Retry { reason: \"it is bad\" }"], &attempt].concat();
    told.extend([
        "2 DeadLetter { reason: MaxDeliveries, message: \"it is bad\" }",
        "DeadLetter(MaxDeliveries)",
        "DeadLettered",
    ]);
    assert_eq!(notes.take(told.len()).await, told);
}

#[tokio::test]
async fn a_batch_is_followed_if_any_of_it_is() {
    let bench = Bench::with_group().await;
    let notes = Notes::default();
    bench.numbers([1, 2]).await;
    bench.traced("3").await;
    bench.traced("not a number").await;
    let (worker, _registry) = bench.worker(settings());
    let worker = worker.with_tracer(Arc::new(notes.clone()));
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(worker.run_projection(Counting, 100, stop.clone()));
    bench.settled().await;
    stop.cancel();
    running.await.expect("no panic").expect("it drains");
    let told = notes.take(7).await;
    let poison = told.iter().filter(|note| note.contains("Poison")).count();
    assert_eq!(told[..4], ["begin 4 of a batch", "1 Committed", "1 Committed", "1 Committed"]);
    assert_eq!(
        (told.len(), poison, told.last().map(String::as_str)),
        (7, 2, Some("DeadLettered")),
        "{told:?}"
    );
}
