//! [`RebuildStatus`]: the state of a projection as it is kept in Redis.

use std::collections::BTreeMap;

use redis::{FromRedisValue, ParsingError, Value};

use crate::{
    StreamId,
    reply::{take_array, take_string},
};

/// How far the latest rebuild of a projection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RebuildPhase {
    /// There was none yet.
    Never,
    /// Asked for; no worker has begun it.
    Requested,
    /// Begun: the dead letters, which do not count, are being noted.
    Letters,
    /// History is being replayed.
    Replay,
    /// The rebuilt projection has been swapped in.
    Done,
    /// Not done, since history has lost entries.
    Refused,
    /// Called off.
    Aborted,
}

impl RebuildPhase {
    /// The phase as it is stored and shown.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Requested => "requested",
            Self::Letters => "letters",
            Self::Replay => "replay",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Aborted => "aborted",
        }
    }

    /// Whether there is something to wait for.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Requested | Self::Letters | Self::Replay)
    }

    fn of(label: &str) -> Self {
        let all = [Self::Requested, Self::Letters, Self::Replay, Self::Done, Self::Refused, Self::Aborted];
        all.into_iter().find(|phase| phase.label() == label).unwrap_or(Self::Never)
    }
}

/// A projection and its latest rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildStatus {
    /// How far the rebuild is.
    pub phase: RebuildPhase,
    /// Its number.
    pub request: u64,
    /// Whether it goes on although entries are lost.
    pub accept_loss: bool,
    /// Entries the stream held when it began.
    pub total: u64,
    /// Entries it has looked at.
    pub seen: u64,
    /// Entries it has applied. The others wait for their commits, or are dead letters.
    pub replayed: u64,
    /// Entries that were applied once and that the projection rejects today.
    pub rejected: u64,
    /// Entries that are not in the stream any more, at least.
    pub lost: u64,
    /// The oldest entry that is left, where some are lost.
    pub oldest: Option<StreamId>,
    /// Why it has not begun yet.
    pub message: Option<String>,
    /// The process that does it, as it says itself.
    pub owner: Option<String>,
    /// The generation that readers see.
    pub live: u64,
    /// Entries that the live generation has counted, since such counts are kept.
    pub counted: u64,
    pub(crate) epoch: u64,
    pub(crate) next: Option<u64>,
    /// The entry up to which history has been replayed.
    pub(crate) cursor: StreamId,
    /// The entry where the replay ends.
    pub(crate) boundary: StreamId,
    /// Generations that nobody uses any more, and from when on they may be deleted (Unix ms).
    pub(crate) to_drop: Vec<(u64, u64)>,
}

impl FromRedisValue for RebuildStatus {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let mut fields = BTreeMap::new();
        let mut items = take_array(value)?.into_iter();
        while let (Some(name), Some(value)) = (items.next(), items.next()) {
            fields.insert(take_string(name)?, take_string(value)?);
        }
        let text = |name: &str| fields.get(name).map(String::as_str).filter(|text| !text.is_empty());
        let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
        let id = |name: &str| text(name).and_then(|text| text.parse::<StreamId>().ok());
        let live = number("live").unwrap_or(0);
        let to_drop = fields
            .iter()
            .filter_map(|(name, due)| Some((name.strip_prefix("drop:")?.parse().ok()?, due.parse().ok()?)));
        Ok(Self {
            phase: text("phase").map_or(RebuildPhase::Never, RebuildPhase::of),
            request: number("request").unwrap_or(0),
            accept_loss: text("accept_loss") == Some("1"),
            total: number("total").unwrap_or(0),
            seen: number("seen").unwrap_or(0),
            replayed: number("replayed").unwrap_or(0),
            rejected: number("rejected").unwrap_or(0),
            lost: number("lost").unwrap_or(0),
            oldest: id("oldest"),
            message: text("message").map(str::to_owned),
            owner: text("owner").map(str::to_owned),
            live,
            counted: number(&format!("counted:{live}")).unwrap_or(0),
            epoch: number("epoch").unwrap_or(0),
            next: number("next"),
            cursor: id("cursor").unwrap_or(StreamId::MIN),
            boundary: id("boundary").unwrap_or(StreamId::MIN),
            to_drop: to_drop.collect(),
        })
    }
}
