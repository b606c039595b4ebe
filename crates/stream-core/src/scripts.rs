//! The Lua scripts: what must happen in one step, or what redis-rs cannot say typed.

use std::sync::LazyLock;

use redis::Script;

/// A script by itself.
macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| Script::new(include_str!(concat!("scripts/", $file))))
    };
}

/// A script that writes dead letters: the shared functions come first.
macro_rules! settling_script {
    ($file:literal) => {
        LazyLock::new(|| {
            Script::new(concat!(include_str!("scripts/lib.lua"), include_str!(concat!("scripts/", $file))))
        })
    };
}

pub(crate) static CLAIM: LazyLock<Script> = settling_script!("claim.lua");
pub(crate) static HANDOVER: LazyLock<Script> = settling_script!("handover.lua");
pub(crate) static RENEW: LazyLock<Script> = settling_script!("renew.lua");
pub(crate) static RETIRE: LazyLock<Script> = settling_script!("retire.lua");
pub(crate) static SETTLE_DEAD: LazyLock<Script> = settling_script!("settle_dead.lua");
pub(crate) static SWEEP: LazyLock<Script> = settling_script!("sweep.lua");
pub(crate) static COMMIT: LazyLock<Script> = script!("commit.lua");
pub(crate) static COUNT_AFTER: LazyLock<Script> = script!("count_after.lua");
pub(crate) static DELETE_CONSUMER: LazyLock<Script> = script!("delete_consumer.lua");
pub(crate) static LEASE: LazyLock<Script> = script!("lease.lua");
pub(crate) static RECORD_POSITION: LazyLock<Script> = script!("record_position.lua");
pub(crate) static RELEASE: LazyLock<Script> = script!("release.lua");
pub(crate) static TRIM_GUARDED: LazyLock<Script> = script!("trim_guarded.lua");
