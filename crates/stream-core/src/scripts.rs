//! The Lua scripts: what must happen in one step, or what redis-rs cannot say typed.

use std::sync::LazyLock;

use redis::Script;

/// A script, after the files that it shares with others.
macro_rules! script {
    ($($file:literal),+) => {
        LazyLock::new(|| Script::new(concat!($(include_str!(concat!("scripts/", $file))),+)))
    };
}

pub(crate) static ACK_REDRIVEN: LazyLock<Script> = script!("ack_redriven.lua");
pub(crate) static APPEND_ONCE: LazyLock<Script> = LazyLock::new(|| Script::new(APPEND_ONCE_TEXT));
pub(crate) static BOUND_DEAD_LETTERS: LazyLock<Script> = script!("bound_dead_letters.lua");
// Retention makes room, so a full server must not refuse it: the flag comes first in the script.
pub(crate) static CAP: LazyLock<Script> = script!("allow_oom.lua", "ids.lua", "groups.lua", "cap.lua");
pub(crate) static CLAIM: LazyLock<Script> = script!("lib.lua", "claim.lua");
pub(crate) static HANDOVER: LazyLock<Script> = script!("lib.lua", "handover.lua");
pub(crate) static HANDOVER_ROWS: LazyLock<Script> = script!("lib.lua", "handover_rows.lua");
pub(crate) static RENEW: LazyLock<Script> = script!("lib.lua", "renew.lua");
pub(crate) static RENEW_NAME: LazyLock<Script> = script!("renew_name.lua");
pub(crate) static RETAIN: LazyLock<Script> = script!("allow_oom.lua", "ids.lua", "groups.lua", "retain.lua");
pub(crate) static RETIRE: LazyLock<Script> = script!("lib.lua", "retire.lua");
pub(crate) static SETTLE_DEAD: LazyLock<Script> = script!("lib.lua", "settle_dead.lua");
pub(crate) static TAKE_BACK_DELIVERY: LazyLock<Script> = script!("lib.lua", "take_back_delivery.lua");
pub(crate) static SWEEP: LazyLock<Script> = script!("ids.lua", "lib.lua", "sweep.lua");
pub(crate) static COMMIT: LazyLock<Script> = script!("ids.lua", "effects.lua", "commit.lua");
pub(crate) static COUNT_AFTER: LazyLock<Script> = script!("count_after.lua");
pub(crate) static DELETE_DEAD: LazyLock<Script> = script!("delete_dead.lua");
pub(crate) static DELETE_CONSUMER: LazyLock<Script> = script!("delete_consumer.lua");
pub(crate) static LEASE: LazyLock<Script> = script!("lease.lua");
pub(crate) static RECORD_POSITION: LazyLock<Script> = script!("ids.lua", "record_position.lua");
pub(crate) static REDRIVE: LazyLock<Script> = script!("lib.lua", "redrive.lua");
pub(crate) static REBUILD_BEGIN: LazyLock<Script> = script!("ids.lua", "effects.lua", "rebuild_begin.lua");
pub(crate) static REBUILD_DROP: LazyLock<Script> = script!("rebuild_drop.lua");
pub(crate) static REBUILD_END: LazyLock<Script> = script!("effects.lua", "rebuild_end.lua");
pub(crate) static REBUILD_LETTERS: LazyLock<Script> =
    script!("ids.lua", "effects.lua", "rebuild_letters.lua");
pub(crate) static REBUILD_REPLAY: LazyLock<Script> = script!("ids.lua", "effects.lua", "rebuild_replay.lua");
pub(crate) static REBUILD_REQUEST: LazyLock<Script> = script!("rebuild_request.lua");
pub(crate) static RELEASE: LazyLock<Script> = script!("lib.lua", "release.lua");

// Loaded by the pipelines that run it.
pub(crate) const APPEND_ONCE_TEXT: &str = include_str!("scripts/append_once.lua");

// Sent as they are (EVAL): part of a transaction, where a script that the server does not know could not be loaded.
pub(crate) const WIDE_BURIED: &str = include_str!("scripts/wide_buried.lua");
pub(crate) const WIDE_REDRIVEN: &str = include_str!("scripts/wide_redriven.lua");
