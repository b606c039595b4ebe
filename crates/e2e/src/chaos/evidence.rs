//! [`Evidence`]: all that a run has left in Redis and in the logs, read by a client that shares no code with the
//! services.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

use redis::{FromRedisValue, aio::MultiplexedConnection};

use super::{fault::GROUPS, injector::STREAM, logs::Logs, poison::RawFields};

/// Entries that one XRANGE asks for.
const PAGE: usize = 1_000;

/// An entry as it is stored.
#[derive(Debug, Clone)]
pub(super) struct RawEntry {
    pub(super) id: String,
    pub(super) fields: RawFields,
}

impl RawEntry {
    /// The two numbers of its ID, by which entries are ordered.
    pub(super) fn order(&self) -> (u64, u64) {
        let (ms, seq) = self.id.split_once('-').expect("an ID");
        (ms.parse().expect("milliseconds"), seq.parse().expect("a sequence"))
    }

    /// The value of the first field of this name, if it is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.fields.iter().find(|(field, _)| field == name.as_bytes())?;
        std::str::from_utf8(value).ok()
    }
}

/// Where a group stands.
#[derive(Debug, Clone, Default)]
pub(super) struct GroupState {
    pub(super) pending: u64,
    /// Entries beyond the last delivered one, counted in the stream.
    pub(super) undelivered: usize,
}

/// What the projection has counted.
#[derive(Debug, Default)]
pub(super) struct Projected {
    /// `<type>:n` and `<type>:c`.
    pub(super) totals: HashMap<String, i64>,
    /// The days' fields summed up to those of the totals.
    pub(super) days: HashMap<String, i64>,
    /// The minutes' fields summed up to those of the totals.
    pub(super) minutes: HashMap<String, i64>,
    /// Orders by type.
    pub(super) funnel: HashMap<String, i64>,
    /// Cents paid by customer.
    pub(super) customers: HashMap<String, i64>,
}

/// What a run has left.
#[derive(Debug)]
pub(super) struct Evidence {
    /// Every entry that there ever was.
    pub(super) stream: Vec<RawEntry>,
    /// The IDs of those that are still in the stream.
    pub(super) kept: HashSet<String>,
    /// Entries that were removed before a group was handed them, by group, as the reapers counted.
    pub(super) retention_lost: HashMap<String, u64>,
    /// How many entries were ever added, as the server counted.
    pub(super) entries_added: u64,
    /// Those that there are.
    pub(super) groups: HashMap<&'static str, GroupState>,
    pub(super) dead_letters: HashMap<&'static str, Vec<RawEntry>>,
    pub(super) projected: Projected,
    pub(super) logs: Logs,
}

impl Evidence {
    /// Reads everything but what the witness has read. Nothing may be appending any more.
    pub(super) async fn collect(
        connection: &mut MultiplexedConnection,
        logs: &Path,
        witnessed: Vec<RawEntry>,
    ) -> Self {
        let mut groups = HashMap::new();
        let mut dead_letters = HashMap::new();
        for group in GROUPS {
            if let Ok(state) = group_state(connection, group).await {
                groups.insert(group, state);
            }
            dead_letters.insert(group, entries(connection, &derived(&format!("dlq:{group}"))).await);
        }
        // In one piece: retention goes on trimming.
        let kept: Vec<(String, RawFields)> = ask(connection, &["XRANGE", STREAM, "-", "+"]).await;
        let kept: Vec<RawEntry> = kept.into_iter().map(|(id, fields)| RawEntry { id, fields }).collect();
        let ids = kept.iter().map(|entry| entry.id.clone()).collect();
        let all = witnessed.into_iter().chain(kept).map(|entry| (entry.order(), entry));
        Self {
            stream: all.collect::<BTreeMap<_, _>>().into_values().collect(),
            kept: ids,
            retention_lost: ask(connection, &["HGETALL", &derived("retention:lost")]).await,
            entries_added: entries_added(connection).await,
            groups,
            dead_letters,
            projected: projected(connection).await,
            logs: Logs::read(logs),
        }
    }
}

/// A key beside the stream.
fn derived(suffix: &str) -> String {
    format!("{{{STREAM}}}:{suffix}")
}

async fn ask<T: FromRedisValue>(connection: &mut MultiplexedConnection, command: &[&str]) -> T {
    let mut cmd = redis::cmd(command[0]);
    cmd.arg(&command[1..]);
    match cmd.query_async(connection).await {
        Ok(value) => value,
        Err(error) => panic!("{command:?} failed: {error}"),
    }
}

async fn entries(connection: &mut MultiplexedConnection, key: &str) -> Vec<RawEntry> {
    let count = PAGE.to_string();
    let mut all: Vec<RawEntry> = Vec::new();
    loop {
        let start = all.last().map_or_else(|| "-".to_owned(), |last| format!("({}", last.id));
        let page: Vec<(String, RawFields)> =
            ask(connection, &["XRANGE", key, &start, "+", "COUNT", &count]).await;
        if page.is_empty() {
            return all;
        }
        all.extend(page.into_iter().map(|(id, fields)| RawEntry { id, fields }));
    }
}

/// Where a group stands; an error says what is missing.
pub(super) async fn group_state(
    connection: &mut MultiplexedConnection,
    group: &str,
) -> Result<GroupState, String> {
    let mut info = redis::cmd("XINFO");
    info.arg("GROUPS").arg(STREAM);
    let groups: Vec<HashMap<String, redis::Value>> =
        info.query_async(connection).await.map_err(|error| error.to_string())?;
    let text = |info: &HashMap<String, redis::Value>, name: &str| -> Option<String> {
        redis::from_redis_value_ref(info.get(name)?).ok()
    };
    let state = groups.iter().find(|info| text(info, "name").as_deref() == Some(group));
    let state = state.ok_or_else(|| format!("there is no group {group}"))?;
    let last_delivered = text(state, "last-delivered-id").ok_or("a group has no last-delivered-id")?;
    let pending = text(state, "pending").and_then(|pending| pending.parse().ok()).ok_or("no pending")?;
    let beyond: Vec<(String, RawFields)> =
        ask(connection, &["XRANGE", STREAM, &format!("({last_delivered}"), "+", "COUNT", "10000"]).await;
    Ok(GroupState { pending, undelivered: beyond.len() })
}

async fn entries_added(connection: &mut MultiplexedConnection) -> u64 {
    let info: HashMap<String, redis::Value> = ask(connection, &["XINFO", "STREAM", STREAM]).await;
    redis::from_redis_value_ref(&info["entries-added"]).expect("entries-added is a number")
}

async fn projected(connection: &mut MultiplexedConnection) -> Projected {
    let totals = ask(connection, &["HGETALL", &derived("analytics:totals")]).await;
    let days: HashMap<String, i64> = ask(connection, &["HGETALL", &derived("analytics:days")]).await;
    let mut minutes: HashMap<String, i64> = HashMap::new();
    let dates: HashSet<&str> =
        days.keys().filter_map(|field| field.split_once(':').map(|(date, _)| date)).collect();
    for date in dates {
        let key = derived(&format!("analytics:minutes:{date}"));
        let of_day: HashMap<String, i64> = ask(connection, &["HGETALL", &key]).await;
        for (field, value) in without_prefix(of_day) {
            *minutes.entry(field).or_default() += value;
        }
    }
    Projected {
        totals,
        days: without_prefix(days),
        minutes,
        funnel: ask(connection, &["HGETALL", &derived("analytics:funnel")]).await,
        customers: ask::<Vec<(String, f64)>>(
            connection,
            &["ZRANGE", &derived("analytics:customers"), "0", "-1", "WITHSCORES"],
        )
        .await
        .into_iter()
        .map(|(customer, cents)| (customer, cents as i64))
        .collect(),
    }
}

/// Sums up `<bucket>:<rest>` by the rest.
fn without_prefix(fields: HashMap<String, i64>) -> HashMap<String, i64> {
    let mut sums: HashMap<String, i64> = HashMap::new();
    for (field, value) in fields {
        let rest = field.split_once(':').map_or(field.as_str(), |(_, rest)| rest);
        *sums.entry(rest.to_owned()).or_default() += value;
    }
    sums
}

/// Whether the projection has a state for each of these orders, by whether an event of this type was seen.
pub(super) async fn orders_known(
    connection: &mut MultiplexedConnection,
    orders: &[(&str, &str)],
) -> Vec<bool> {
    let mut known = Vec::with_capacity(orders.len());
    for page in orders.chunks(PAGE) {
        let mut pipeline = redis::pipe();
        for (order_id, event_type) in page {
            pipeline.hexists(derived(&format!("analytics:order:{order_id}")), *event_type);
        }
        let replies: Vec<bool> = pipeline.query_async(connection).await.expect("HEXISTS answers");
        known.extend(replies);
    }
    known
}
