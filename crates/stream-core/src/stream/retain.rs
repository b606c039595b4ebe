//! Retention that knows the groups: whom it waits for, how far it may trim, and what that cost whom.

use std::{collections::HashMap, time::Duration};

use redis::{FromRedisValue, ParsingError, ScriptInvocation, Value};

use super::{EventStream, RegisteredConsumer};
use crate::{
    Error, StreamId,
    reply::{take_array, take_bytes, take_id, take_int, take_string, take_tuple, unexpected},
    scripts,
};

/// What may go by age, and whom it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionRule {
    /// Entries before it are old enough to go.
    pub cutoff: StreamId,
    /// Whether to spare what groups have not acked; else age alone decides.
    pub guarded: bool,
    /// Groups that are waited for however long, whether or not they exist yet.
    pub required: Vec<String>,
    /// How long any other group is waited for without a sign of life.
    pub stale_after: Duration,
}

/// Whether retention waits for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does, however long.
    Required,
    /// It does, until the group has been silent for too long.
    Waiting,
    /// No longer: the group has been silent for too long.
    Stale,
    /// It waits for no group.
    Unguarded,
}

/// A group as retention sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRetention {
    /// Its name.
    pub name: String,
    /// Whether it is waited for.
    pub standing: Standing,
    /// How long it has had something to do and given no sign of life: neither its last-delivered ID moved, nor
    /// did one of its consumers hold its name.
    pub silent: Duration,
    /// The oldest entry that it has not read or not acked.
    pub needs: Option<StreamId>,
    /// Entries removed, ever, that it had not been handed.
    pub lost: u64,
}

/// What a call of retention did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// Entries removed.
    pub removed: u64,
    /// Everything before this ID could go.
    pub limit: StreamId,
    /// The group that needs older entries than the age alone would keep, or the hold of a rebuild (`rebuild:<group>`).
    pub held_by: Option<String>,
    /// Every group of the stream.
    pub groups: Vec<GroupRetention>,
}

impl RetentionRule {
    /// How long it takes until entries that the group needs may be removed: zero if they may go now. `None`
    /// while it needs nothing or is waited for however long.
    pub fn until_trim(&self, group: &GroupRetention) -> Option<Duration> {
        let aged = Duration::from_millis(group.needs?.ms.saturating_sub(self.cutoff.ms));
        match group.standing {
            Standing::Required => None,
            Standing::Waiting => Some(aged.max(self.stale_after.saturating_sub(group.silent))),
            Standing::Stale | Standing::Unguarded => Some(aged),
        }
    }
}

/// A reply of the retention scripts: `None` when fenced.
struct Reply(Option<Retained>);

impl FromRedisValue for Reply {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut items = take_array(value)?.into_iter();
        let mut next = || items.next().ok_or_else(|| unexpected("retention's reply is too short"));
        let removed = match next()? {
            Value::Int(removed) => removed.unsigned_abs(),
            _ => return Ok(Self(None)),
        };
        let (limit, held_by) = (take_id(next()?)?, take_string(next()?)?);
        Ok(Self(Some(Retained {
            removed,
            limit,
            held_by: (!held_by.is_empty()).then_some(held_by),
            groups: items.map(take_group).collect::<Result<_, _>>()?,
        })))
    }
}

fn take_group(value: Value) -> Result<GroupRetention, ParsingError> {
    let [name, standing, silent, needs, lost] = take_tuple(value)?;
    let needs = take_bytes(needs)?;
    Ok(GroupRetention {
        name: take_string(name)?,
        standing: match take_bytes(standing)?.as_ref() {
            b"required" => Standing::Required,
            b"waiting" => Standing::Waiting,
            b"stale" => Standing::Stale,
            b"unguarded" => Standing::Unguarded,
            _ => return Err(unexpected("a group of no known standing")),
        },
        silent: Duration::from_millis(u64::try_from(take_int(silent)?).unwrap_or(0)),
        needs: if needs.is_empty() {
            None
        } else {
            Some(StreamId::from_bytes(&needs).map_err(|error| unexpected(&error.to_string()))?)
        },
        lost: u64::try_from(take_int(lost)?).unwrap_or(0),
    })
}

impl EventStream {
    /// Trims what `rule` lets go, for the holder of the reaper lease: a bounded number of entries (XTRIM MINID),
    /// so repeat it until nothing is removed. A held name of one of the consumers `registered` is a sign of
    /// life of its group. `None`: the lease is not the caller's (any more), nothing was done.
    pub async fn retain(
        &self,
        rule: &RetentionRule,
        registered: &[RegisteredConsumer],
        lease_value: &str,
    ) -> Result<Option<Retained>, Error> {
        let mut script = scripts::RETAIN.prepare_invoke();
        self.fill_retain(&mut script, rule, registered, lease_value, "trim");
        Ok(self.connection.invoke::<Reply>("retention", &script).await?.0)
    }

    /// What [`retain`](Self::retain) would find now. Changes nothing and needs no lease.
    pub async fn retention_outlook(
        &self,
        rule: &RetentionRule,
        registered: &[RegisteredConsumer],
    ) -> Result<Retained, Error> {
        let mut script = scripts::RETAIN.prepare_invoke();
        self.fill_retain(&mut script, rule, registered, "", "look");
        let reply: Reply = self.connection.invoke("retention outlook", &script).await?;
        reply.0.ok_or_else(|| Error::new("retention outlook", unexpected("fenced without a lease").into()))
    }

    fn fill_retain(
        &self,
        script: &mut ScriptInvocation<'_>,
        rule: &RetentionRule,
        registered: &[RegisteredConsumer],
        lease_value: &str,
        mode: &str,
    ) {
        let policy = if rule.guarded { "guarded" } else { "age" };
        script.key(self.key.as_str()).key(self.key.reaper_lease());
        script
            .key(self.key.retention_groups())
            .key(self.key.retention_lost())
            .key(self.key.retention_holds());
        script.arg(lease_value).arg(mode).arg(policy).arg(rule.cutoff);
        script.arg(rule.stale_after.as_millis() as u64).arg(rule.required.len()).arg(&rule.required);
        for consumer in registered.iter().filter(|consumer| !rule.required.contains(&consumer.group)) {
            script.key(self.key.consumer_lease(&consumer.group, &consumer.consumer)).arg(&consumer.group);
        }
    }

    /// Trims to about `entries` (XTRIM MAXLEN ~), for the holder of the reaper lease, and counts what each group
    /// lost since the last call, whoever trimmed. Bounded; repeat it until nothing is removed. `None`: the
    /// lease is not the caller's (any more), nothing was done.
    ///
    /// The count is a lower bound. It is exact for a group that stands still, up to some 10,000 entries from the
    /// stream's beginning; what a group skips while it reads on between two calls is not seen, and nothing is
    /// counted while entries deleted by XDEL lie in the stream.
    pub async fn cap_length(&self, entries: u64, lease_value: &str) -> Result<Option<Retained>, Error> {
        let mut script = scripts::CAP.prepare_invoke();
        script.key(self.key.as_str()).key(self.key.reaper_lease());
        script.key(self.key.retention_marks()).key(self.key.retention_lost());
        script.arg(lease_value).arg(entries);
        Ok(self.connection.invoke::<Reply>("retention by length", &script).await?.0)
    }

    /// How many entries each group has lost so far to retention before it was handed them.
    pub async fn retention_losses(&self) -> Result<HashMap<String, u64>, Error> {
        let mut cmd = redis::cmd("HGETALL");
        cmd.arg(self.key.retention_lost());
        let lost: HashMap<String, String> = self.connection.query("HGETALL losses", &cmd).await?;
        // What is no number counts as none, as in the scripts.
        Ok(lost.into_iter().map(|(group, lost)| (group, lost.parse().unwrap_or(0))).collect())
    }

    /// The number of entries (XLEN).
    pub async fn length(&self) -> Result<u64, Error> {
        let mut cmd = redis::cmd("XLEN");
        cmd.arg(self.key.as_str());
        self.connection.query("XLEN", &cmd).await
    }
}
