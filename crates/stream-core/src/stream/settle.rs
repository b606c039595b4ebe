//! Settling entries in flight: dead letters, lease renewal, release.

use redis::{FromRedisValue, ParsingError, Value};

use super::{EventStream, Redriven};
use crate::{
    Error, Fields, StreamId,
    reply::{take_ids, take_int, take_tuple},
    scripts,
};

/// Why an entry became a dead letter. A closed set: its labels are metric labels and `_dl_reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadReason {
    /// It was delivered `max_deliveries` times and never settled.
    MaxDeliveries,
    /// The handler said that trying again is pointless.
    Rejected,
    /// It cannot be understood.
    Poison,
    /// Its payload was removed while it was pending.
    PayloadLost,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::MaxDeliveries, Self::Rejected, Self::Poison, Self::PayloadLost];

    /// The reason as stored in `_dl_reason`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::MaxDeliveries => "max_deliveries",
            Self::Rejected => "rejected",
            Self::Poison => "poison",
            Self::PayloadLost => "payload_lost",
        }
    }
}

/// What became of an attempt to dead-letter an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettledDead {
    /// It is a dead letter now, and acked.
    Moved,
    /// It was settled already.
    NotPending,
    /// Another consumer has taken it over; nothing was done.
    NotOwner,
}

/// What became of a lease renewal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Renewed {
    /// Entries that are still the consumer's.
    pub renewed: u64,
    /// Entries whose payload is gone. They are left to the consumer, which holds it: settled in time, nothing is
    /// lost; otherwise a claim records the loss.
    pub gone: Vec<StreamId>,
    /// Entries that wait for another attempt and whose payload is gone: dead letters now.
    pub lost: Vec<StreamId>,
    /// Entries that are not the consumer's any more: settled, or taken over by somebody else.
    pub away: Vec<StreamId>,
}

impl FromRedisValue for Renewed {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let [renewed, gone, lost, away] = take_tuple(value)?;
        Ok(Self {
            renewed: take_int(renewed)?.unsigned_abs(),
            gone: take_ids(gone)?,
            lost: take_ids(lost)?,
            away: take_ids(away)?,
        })
    }
}

/// The longest error text that is stored with a dead letter, in bytes.
const MESSAGE_BYTES_MAX: usize = 1_000;

/// Rows of the consumer's own list that a renewal may look at beyond the ones it renews.
const RENEW_SLACK: usize = 10_000;

fn bounded(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)]
}

impl EventStream {
    /// Settles entries that were handled, in one step: acks them (XACK), and in a redrive stream, which nobody else
    /// reads, deletes them too (XDEL). Returns how many were pending.
    pub async fn settle(&self, group: &str, ids: &[StreamId]) -> Result<u64, Error> {
        if ids.is_empty() || !self.key.is_redrive() {
            return self.ack(group, ids).await;
        }
        let mut script = scripts::ACK_REDRIVEN.prepare_invoke();
        script.key(self.key.as_str()).arg(group).arg(ids);
        self.connection.invoke("settle", &script).await
    }

    /// Moves a pending entry of `consumer` to the group's dead letters and acks it, in one step. The
    /// original fields follow the `_dl_…` ones byte for byte. Nothing happens if it is not the consumer's
    /// any more. `fields`, the original ones, are used only for an entry too wide for a script, and for one that was
    /// removed from the stream meanwhile. In a redrive stream `id` is the entry's there; the dead letter tells the
    /// original ID, and the entry is deleted.
    pub async fn dead_letter(
        &self,
        group: &str,
        consumer: &str,
        id: StreamId,
        reason: DeadReason,
        message: &str,
        fields: &Fields,
    ) -> Result<SettledDead, Error> {
        let mut script = scripts::SETTLE_DEAD.prepare_invoke();
        script.key(self.key.as_str()).key(self.key.dead_letters(group));
        script.arg(group).arg(consumer).arg(id).arg(reason.label()).arg(bounded(message));
        let (mut outcome, mut deliveries): (String, u64) =
            self.connection.invoke("dead-letter", &script).await?;
        if outcome == "gone" {
            // Of a redriven entry the original's ID went with it.
            let held = if self.key.is_redrive() { &[] } else { fields.pairs() };
            script.arg(held.len() * 2);
            for (field, value) in held {
                script.arg(&field[..]).arg(&value[..]);
            }
            (outcome, deliveries) = self.connection.invoke("dead-letter", &script).await?;
        }
        match outcome.as_str() {
            "not_pending" => Ok(SettledDead::NotPending),
            "not_owner" => Ok(SettledDead::NotOwner),
            "oversize" => {
                // The original's ID is what the entry itself says.
                let entry = if self.key.is_redrive() { self.get(id).await? } else { None };
                let redriven = entry.and_then(|entry| Redriven::split(entry.fields).0);
                self.dead_letter_wide(group, consumer, (id, redriven), deliveries, reason, message, fields)
                    .await?;
                Ok(SettledDead::Moved)
            }
            _ => Ok(SettledDead::Moved),
        }
    }

    /// Dead-letters an entry with more fields than a script can pass on: the append, and what settles the entry if
    /// the append did not fail, as a transaction. The owner cannot be checked in it; at worst two dead letters tell of
    /// one entry.
    #[expect(clippy::too_many_arguments, reason = "each is a field of the dead letter")]
    pub(super) async fn dead_letter_wide(
        &self,
        group: &str,
        consumer: &str,
        (id, redriven): (StreamId, Option<Redriven>),
        deliveries: u64,
        reason: DeadReason,
        message: &str,
        fields: &Fields,
    ) -> Result<(), Error> {
        let mut append = redis::cmd("XADD");
        append.arg(self.key.dead_letters(group)).arg("*");
        let original = redriven.map_or(id, |redriven| redriven.id);
        append.arg("_dl_id").arg(original).arg("_dl_group").arg(group).arg("_dl_consumer").arg(consumer);
        append.arg("_dl_deliveries").arg(deliveries).arg("_dl_reason").arg(reason.label());
        append.arg("_dl_error").arg(bounded(message)).arg("_dl_time_ms").arg(unix_ms());
        let sent_back = redriven.map_or(0, |redriven| redriven.count);
        // An entry's own first field of that name would pass for it.
        if sent_back > 0 || fields.iter().next().is_some_and(|(name, _)| name == b"_dl_redrives") {
            append.arg("_dl_redrives").arg(sent_back);
        }
        for (field, value) in fields.iter() {
            append.arg(field).arg(value);
        }
        let mut settle = redis::cmd("EVAL");
        settle.arg(scripts::WIDE_BURIED).arg(2).arg(self.key.as_str()).arg(self.key.dead_letters(group));
        settle.arg(group).arg(id).arg(original).arg(u8::from(self.key.is_redrive()));
        let mut transaction = redis::pipe();
        transaction.atomic().add_command(append).add_command(settle);
        self.connection.pipeline::<Value>("dead-letter", &transaction).await.map(drop)
    }

    /// Renews the lease on entries in flight (their idle time starts anew), touching only rows that are
    /// still `consumer`'s. One script, whatever the number of entries. Of those that wait for another attempt nobody
    /// holds the payload: if it is gone, that is recorded as a dead letter.
    pub async fn renew(
        &self,
        group: &str,
        consumer: &str,
        ids: &[StreamId],
        waiting: &[StreamId],
    ) -> Result<Renewed, Error> {
        let all = || waiting.iter().chain(ids);
        let (Some(first), Some(last)) = (all().min(), all().max()) else {
            return Ok(Renewed::default());
        };
        let mut script = scripts::RENEW.prepare_invoke();
        script.key(self.key.as_str()).key(self.key.dead_letters(group));
        script.arg(group).arg(consumer).arg(first).arg(last).arg(all().count() + RENEW_SLACK);
        script.arg(waiting.len()).arg(waiting).arg(ids);
        self.connection.invoke("renew", &script).await
    }

    /// Takes one delivery of a pending entry of `consumer` back from its count (XCLAIM … RETRYCOUNT, JUSTID). `false`: it
    /// is not the consumer's any more, or its payload is gone, which is recorded as a dead letter.
    pub async fn take_back_delivery(&self, group: &str, consumer: &str, id: StreamId) -> Result<bool, Error> {
        let mut script = scripts::TAKE_BACK_DELIVERY.prepare_invoke();
        script.key(self.key.as_str()).key(self.key.dead_letters(group));
        script.arg(group).arg(consumer).arg(id);
        self.connection.invoke::<i64>("take back delivery", &script).await.map(|taken| taken == 1)
    }

    /// Gives entries back so that a peer can claim them at once. Those that were never started get their
    /// delivery count back. Rows that are not `consumer`'s any more are left alone. Returns how many were
    /// released.
    pub async fn release(
        &self,
        group: &str,
        consumer: &str,
        unstarted: &[StreamId],
        started: &[StreamId],
    ) -> Result<u64, Error> {
        if unstarted.is_empty() && started.is_empty() {
            return Ok(0);
        }
        let mut script = scripts::RELEASE.prepare_invoke();
        script.key(self.key.as_str()).key(self.key.dead_letters(group));
        script.arg(group).arg(consumer).arg(unstarted.len());
        script.arg(unstarted).arg(started);
        self.connection.invoke("release", &script).await
    }
}

/// The wall clock in Unix milliseconds.
pub(crate) fn unix_ms() -> u64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_epoch.map_or(0, |elapsed| elapsed.as_millis() as u64)
}
