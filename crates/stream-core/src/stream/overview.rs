//! [`Overview`]: everything an onlooker wants to know at once, in a few round trips however many groups there are.

use futures_util::future::try_join_all;
use redis::{Cmd, FromRedisValue, Pipeline, Value};

use super::{ConsumerInfo, EventStream, GroupInfo, Lag, RegisteredConsumer, StreamInfo, registry::Registry};
use crate::{
    ConsumerCounters, Entry, Error, StreamId,
    reply::{EntriesReply, take_array, take_id, take_int, take_string, take_tuple},
};

/// How much of a stream is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverviewBounds {
    /// The newest entries that are shown.
    pub newest: usize,
    /// Most groups.
    pub groups: usize,
    /// Most consumers of a group, and most registered consumers in all.
    pub consumers: usize,
}

/// A stream, its groups, and the consumers that are known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overview {
    /// The stream in figures.
    pub info: StreamInfo,
    /// Its newest entries, the newest first.
    pub newest: Vec<Entry>,
    /// Its groups, in the server's order.
    pub groups: Vec<GroupOverview>,
    /// Groups that are not among them, since there are more than were asked for.
    pub groups_left_out: usize,
    /// The registered consumers of all groups, each with whether its name is leased now.
    pub registered: Vec<(RegisteredConsumer, bool)>,
    /// Registered consumers that are not among them.
    pub registered_left_out: usize,
}

/// A group with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOverview {
    /// The group in figures.
    pub info: GroupInfo,
    /// Whether its consumers have ever told what they did: a group of the runtime's.
    pub has_totals: bool,
    /// What its consumers have done in all.
    pub totals: ConsumerCounters,
    /// Its undelivered entries.
    pub lag: Lag,
    /// The oldest entry that it has not been handed.
    pub oldest_undelivered: Option<StreamId>,
    /// The oldest entry that it was handed and has not acked.
    pub oldest_pending: Option<StreamId>,
    /// Its consumers.
    pub consumers: Vec<ConsumerInfo>,
    /// Consumers that are not among them.
    pub consumers_left_out: usize,
    /// Its dead letters.
    pub dead_letters: u64,
    /// Dead letters that were sent back to it and are not settled yet.
    pub redriving: u64,
}

/// Commands of one group in the second round trip.
const COMMANDS_A_GROUP: usize = 5;

impl EventStream {
    /// Looks at the stream, its groups and the registry: two round trips, and one more where a lag has to be counted.
    pub async fn overview(&self, bounds: OverviewBounds) -> Result<Overview, Error> {
        let key = self.key.as_str();
        let mut pipeline = Pipeline::new();
        pipeline.add_command(command("XINFO", &["STREAM", key]));
        pipeline.add_command(command("XINFO", &["GROUPS", key]));
        pipeline.add_command(command("HGETALL", &[&self.key.workers()]));
        pipeline.add_command(command("HGETALL", &[&self.key.worker_totals()]));
        let mut newest = command("XREVRANGE", &[key, "+", "-", "COUNT"]);
        newest.arg(bounds.newest);
        pipeline.add_command(newest);
        let mut replies = Replies::of(self, &pipeline).await?;

        let info: StreamInfo = replies.next()?;
        let mut groups: Vec<GroupInfo> = replies.next()?;
        let mut registered = replies.next::<Registry>()?.into_consumers();
        let totals: Totals = replies.next()?;
        let newest = replies.next::<EntriesReply>()?.entries;
        let groups_left_out = groups.len().saturating_sub(bounds.groups);
        groups.truncate(bounds.groups);
        let registered_left_out = registered.len().saturating_sub(bounds.consumers);
        registered.truncate(bounds.consumers);

        let mut pipeline = Pipeline::new();
        for group in &groups {
            self.add_group(&mut pipeline, group);
        }
        if !registered.is_empty() {
            let leases = registered.iter().map(|it| self.key.consumer_lease(&it.group, &it.consumer));
            let mut cmd = redis::cmd("MGET");
            pipeline.add_command(cmd.arg(leases.collect::<Vec<_>>()).clone());
        }
        let mut replies = Replies::of(self, &pipeline).await?;
        let mut overviews = Vec::with_capacity(groups.len());
        for group in groups {
            overviews.push(replies.group(group, &totals, bounds.consumers)?);
        }
        let leases: Vec<Option<String>> = if registered.is_empty() { Vec::new() } else { replies.next()? };
        let lags = try_join_all(overviews.iter().map(|group| self.lag(&info, &group.info))).await?;
        for (group, lag) in overviews.iter_mut().zip(lags) {
            group.lag = lag;
        }
        let registered = registered.into_iter().zip(leases.iter().map(Option::is_some)).collect();
        Ok(Overview { info, newest, groups: overviews, groups_left_out, registered, registered_left_out })
    }

    /// The entries with these IDs, in one round trip; `None` where there is none.
    pub async fn get_all(&self, ids: &[StreamId]) -> Result<Vec<Option<Entry>>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::new();
        for id in ids {
            let mut cmd = redis::cmd("XRANGE");
            pipeline.add_command(cmd.arg(self.key.as_str()).arg(id).arg(id).clone());
        }
        let mut replies = Replies::of(self, &pipeline).await?;
        ids.iter().map(|_| Ok(replies.next::<EntriesReply>()?.entries.pop())).collect()
    }

    fn add_group(&self, pipeline: &mut Pipeline, group: &GroupInfo) {
        let (key, name) = (self.key.as_str(), group.name.as_str());
        pipeline.add_command(command("XINFO", &["CONSUMERS", key, name]));
        pipeline.add_command(command("XPENDING", &[key, name, "-", "+", "1"]));
        let after = group.last_delivered_id.next().unwrap_or(StreamId::MAX).to_string();
        pipeline.add_command(command("XRANGE", &[key, &after, "+", "COUNT", "1"]));
        pipeline.add_command(command("XLEN", &[&self.key.dead_letters(name)]));
        pipeline.add_command(command("XLEN", &[self.key.redrive(name).as_str()]));
        debug_assert_eq!(pipeline.cmd_iter().count() % COMMANDS_A_GROUP, 0);
    }
}

fn command(name: &str, args: &[&str]) -> Cmd {
    let mut cmd = redis::cmd(name);
    cmd.arg(args);
    cmd
}

/// The replies of a pipeline, taken one by one.
struct Replies(std::vec::IntoIter<Result<Value, Error>>);

impl Replies {
    async fn of(stream: &EventStream, pipeline: &Pipeline) -> Result<Self, Error> {
        if pipeline.is_empty() {
            return Ok(Self(Vec::new().into_iter()));
        }
        let mut pipeline = pipeline.clone();
        let replies = stream.connection.batch::<Value>("overview", pipeline.ignore_errors()).await?;
        Ok(Self(replies.into_iter()))
    }

    /// What is not there (any more), a stream or a group, is empty.
    fn next<T: FromRedisValue + Default>(&mut self) -> Result<T, Error> {
        match self.0.next() {
            Some(Ok(value)) => {
                T::from_redis_value(value).map_err(|error| Error::new("overview", error.into()))
            }
            Some(Err(error)) if error.is_answer() || error.kind() == crate::ErrorKind::NoGroup => {
                Ok(T::default())
            }
            Some(Err(error)) => Err(error),
            None => Ok(T::default()),
        }
    }

    fn group(
        &mut self,
        info: GroupInfo,
        totals: &Totals,
        consumers_max: usize,
    ) -> Result<GroupOverview, Error> {
        let mut consumers: Vec<ConsumerInfo> = self.next()?;
        let consumers_left_out = consumers.len().saturating_sub(consumers_max);
        consumers.truncate(consumers_max);
        let oldest_pending = self.next::<FirstId>()?.0;
        let oldest_undelivered = self.next::<EntriesReply>()?.entries.first().map(|entry| entry.id);
        let told = totals.of(&info.name);
        Ok(GroupOverview {
            has_totals: told.is_some(),
            totals: told.unwrap_or_default(),
            info,
            lag: Lag::Unknown,
            oldest_undelivered,
            oldest_pending,
            consumers,
            consumers_left_out,
            dead_letters: self.next()?,
            redriving: self.next()?,
        })
    }
}

/// The ID of the first row of XPENDING's extended form.
#[derive(Default)]
struct FirstId(Option<StreamId>);

impl FromRedisValue for FirstId {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let Some(row) = take_array(value)?.into_iter().next() else { return Ok(Self(None)) };
        let [id] = take_tuple(row)?;
        take_id(id).map(|id| Self(Some(id)))
    }
}

/// The hash of what the consumers of each group have done in all.
#[derive(Default)]
struct Totals(Vec<(String, u64)>);

impl FromRedisValue for Totals {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let mut items = take_array(value)?.into_iter();
        let mut totals = Vec::new();
        while let (Some(field), Some(value)) = (items.next(), items.next()) {
            totals.push((take_string(field)?, take_int(value)?.unsigned_abs()));
        }
        Ok(Self(totals))
    }
}

impl Totals {
    fn of(&self, group: &str) -> Option<ConsumerCounters> {
        let of_group =
            |(field, _): &&(String, u64)| field.rsplit_once('/').is_some_and(|(name, _)| name == group);
        self.0.iter().find(of_group)?;
        let total = |name: &str| {
            let found = self.0.iter().find(|(field, _)| field.rsplit_once('/') == Some((group, name)));
            found.map_or(0, |(_, total)| *total)
        };
        Some(ConsumerCounters::of_values(ConsumerCounters::NAMES.map(total)))
    }
}
