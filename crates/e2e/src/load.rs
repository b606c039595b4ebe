//! [`Load`]: clients that post numbered orders and remember what they were told of each.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// Clients that post at the same time.
const CLIENTS: u32 = 8;

/// How long a client waits. Longer than producer-api's request deadline: an answer that takes longer is no answer.
const PATIENCE: Duration = Duration::from_secs(8);

const TYPES: [&str; 4] = ["order.placed", "order.paid", "order.shipped", "order.cancelled"];
const CUSTOMERS: u64 = 97;

/// What a client knows of an event that it posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// 201 or its part of a 207, with the ID.
    Stored(String),
    /// The answer says that it is not stored, or there was nobody to post it to.
    NotStored,
    /// It may be stored or not.
    Unknown,
}

/// An event that was posted. Nothing is ever posted twice.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Its type.
    pub event_type: &'static str,
    /// An order of its own.
    pub order_id: String,
    /// Who is said to have ordered.
    pub customer: String,
    /// The amount.
    pub cents: u64,
    /// What the client was told.
    pub outcome: Outcome,
}

/// What the clients have seen.
#[derive(Debug)]
pub struct Journal {
    /// Every event, in the order of the answers.
    pub posted: Vec<Posted>,
    /// Answers that producer-api may never give to these requests.
    pub strange: Vec<String>,
    /// The longest time between two answers that stored something.
    pub longest_unavailability: Duration,
    last_success: Instant,
}

impl Default for Journal {
    /// Begins now.
    fn default() -> Self {
        Self {
            posted: Vec::new(),
            strange: Vec::new(),
            longest_unavailability: Duration::ZERO,
            last_success: Instant::now(),
        }
    }
}

/// Clients that post until they are stopped.
#[derive(Debug)]
pub struct Load {
    journal: Arc<Mutex<Journal>>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Load {
    /// Starts posting to these producers, `per_second` requests altogether.
    pub fn start(producers: &[String], seed: u64, per_second: u32) -> Self {
        let journal = Arc::new(Mutex::new(Journal::default()));
        let (stop, stopped) = watch::channel(false);
        let numbers = Arc::new(AtomicU64::new(0));
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a plain client can be made");
        let mut clients = JoinSet::new();
        for index in 0..CLIENTS {
            let client = Client {
                producers: producers.to_vec(),
                current: index as usize % producers.len(),
                rng: fastrand::Rng::with_seed(seed ^ (u64::from(index) + 1)),
                numbers: Arc::clone(&numbers),
                http: http.clone(),
                journal: Arc::clone(&journal),
            };
            clients.spawn(client.post(Duration::from_secs(1) * CLIENTS / per_second, stopped.clone()));
        }
        Self { journal, stop, clients }
    }

    /// How many events have been stored so far.
    pub fn stored(&self) -> usize {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.posted.iter().filter(|event| matches!(event.outcome, Outcome::Stored(_))).count()
    }

    /// Stops the clients when each has its last answer.
    pub async fn stop(mut self) -> Journal {
        self.stop.send_replace(true);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client does not panic");
        }
        Arc::into_inner(self.journal)
            .expect("the clients have ended")
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

struct Client {
    producers: Vec<String>,
    /// The producer that it uses until that fails.
    current: usize,
    rng: fastrand::Rng,
    numbers: Arc<AtomicU64>,
    http: reqwest::Client,
    journal: Arc<Mutex<Journal>>,
}

impl Client {
    async fn post(mut self, pace: Duration, stopped: watch::Receiver<bool>) {
        let mut ticks = interval(pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*stopped.borrow() {
            ticks.tick().await;
            let events = if self.rng.u8(..5) == 0 { self.rng.usize(2..20) } else { 1 };
            let mut posted: Vec<Posted> = (0..events).map(|_| self.event()).collect();
            let strange = self.send(&mut posted).await;
            let stored = posted.iter().any(|event| matches!(event.outcome, Outcome::Stored(_)));
            if !stored {
                self.current = (self.current + 1) % self.producers.len();
            }
            let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
            if stored {
                let gap = journal.last_success.elapsed();
                journal.longest_unavailability = journal.longest_unavailability.max(gap);
                journal.last_success = Instant::now();
            }
            journal.posted.extend(posted);
            journal.strange.extend(strange);
        }
    }

    fn event(&mut self) -> Posted {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        Posted {
            event_type: TYPES[self.rng.usize(..TYPES.len())],
            order_id: format!("order-{number}"),
            customer: format!("customer-{}", self.rng.u64(..CUSTOMERS)),
            cents: self.rng.u64(..1_000_000),
            outcome: Outcome::Unknown,
        }
    }

    /// Posts events as one request and notes what became of each. An answer that makes no sense is returned.
    async fn send(&self, posted: &mut [Posted]) -> Option<String> {
        let mut events: Vec<Value> = posted.iter().map(to_json).collect();
        let body = if events.len() == 1 { events.remove(0) } else { Value::Array(events) };
        let answer = match self.http.post(&self.producers[self.current]).json(&body).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let outcome = if error.is_connect() { Outcome::NotStored } else { Outcome::Unknown };
                for event in posted {
                    event.outcome = outcome.clone();
                }
                return None;
            }
        };
        let status = answer.status().as_u16();
        // The status alone says it, should the connection break within the body.
        let Ok(body) = answer.json::<Value>().await else {
            return (status == 201).then(|| "a 201 that broke off: its IDs are not known".to_owned());
        };
        let understood = note(posted, status, &body);
        (!understood).then(|| format!("{status} {body}"))
    }
}

fn to_json(event: &Posted) -> Value {
    json!({
        "type": event.event_type, "order_id": event.order_id, "customer": event.customer,
        "amount": dollars(event.cents),
    })
}

/// Cents with two decimals, as they are stored.
pub(crate) fn dollars(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Notes an answer; whether it is one that a healthy or a suffering producer-api gives.
fn note(posted: &mut [Posted], status: u16, body: &Value) -> bool {
    let stored = |value: &Value| match value["stored"].as_str() {
        Some("yes") => value["id"].as_str().map(|id| Outcome::Stored(id.to_owned())),
        Some("no") => Some(Outcome::NotStored),
        Some("unknown") => Some(Outcome::Unknown),
        _ => None,
    };
    let outcomes: Option<Vec<Outcome>> = match (status, body["results"].as_array()) {
        (201, _) if posted.len() == 1 => body["id"].as_str().map(|id| vec![Outcome::Stored(id.to_owned())]),
        (201, _) => body["ids"].as_array().and_then(|ids| {
            ids.iter().map(|id| Some(Outcome::Stored(id.as_str()?.to_owned()))).collect::<Option<_>>()
        }),
        (207 | 503, Some(results)) => results.iter().map(stored).collect(),
        (503, None) => stored(body).map(|outcome| vec![outcome; posted.len()]),
        (429, _) => Some(vec![Outcome::NotStored; posted.len()]),
        _ => None,
    };
    let Some(outcomes) = outcomes.filter(|outcomes| outcomes.len() == posted.len()) else { return false };
    for (event, outcome) in posted.iter_mut().zip(outcomes) {
        event.outcome = outcome;
    }
    true
}
