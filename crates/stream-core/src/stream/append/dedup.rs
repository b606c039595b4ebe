//! [`Dedup`]: by what an append is recognized when it is repeated, and where that is remembered.

use std::{sync::Arc, time::Duration};

use redis::Cmd;

use crate::{StreamKey, scripts::APPEND_ONCE};

/// Most keys of one generation of a shard: as many fit Redis' compact form of a hash (`hash-max-listpack-entries`, 512
/// by default), and are looked through in about a microsecond.
const GENERATION_KEYS_MAX: u64 = 128;

/// Bytes of a key's digest that tell it from others of its shard.
const FIELD_BYTES: usize = 16;

/// Where keys are remembered: beside one stream, for a time, and up to a number of them.
///
/// A key is remembered for exactly `window` by the server's clock, unless more than `keys_max` come within it: then the
/// oldest are forgotten first, shard by shard, and [counted](super::Appended::forgotten). So the newest half
/// of `keys_max` are remembered in any case, give or take what chance makes of the shards. Whoever appends to
/// one stream must use the same name and bounds: with others the same key is looked for elsewhere.
///
/// Each key takes some 60 bytes in Redis while shards are well filled.
#[derive(Debug, Clone)]
pub struct DedupMemory {
    prefix: Arc<str>,
    window: Duration,
    shards: u64,
    generation_keys: u64,
}

impl DedupMemory {
    /// The memory `name` of a stream: `idem:<name>:…` among the stream's keys. `window` in whole milliseconds, at least
    /// 1; `keys_max` at least 2.
    pub fn new(stream: &StreamKey, name: &str, window: Duration, keys_max: u64) -> Self {
        Self {
            prefix: stream.idempotency(name).into(),
            window: window.max(Duration::from_millis(1)),
            shards: (keys_max / (2 * GENERATION_KEYS_MAX)).max(1),
            generation_keys: (keys_max / 2).clamp(1, GENERATION_KEYS_MAX),
        }
    }

    /// The younger and the older keys of the shard that a mark belongs to.
    fn shard_of(&self, mark: &DedupMark) -> [String; 2] {
        let mut number = [0; 8];
        number.copy_from_slice(&mark.key[FIELD_BYTES..FIELD_BYTES + 8]);
        let shard = u64::from_le_bytes(number) % self.shards;
        let prefix = &self.prefix;
        [format!("{prefix}{shard}"), format!("{prefix}{shard}:old")]
    }
}

/// A key and what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DedupMark {
    /// A digest of the key (SHA-256 or the like: keys are told apart by it alone).
    pub key: [u8; 32],
    /// A digest of what was sent under the key. The same key with another one is a conflict.
    pub fingerprint: [u8; 16],
}

/// By what an append is recognized when it is repeated.
#[derive(Debug, Clone, Copy)]
pub struct Dedup<'a> {
    /// Where it is remembered.
    pub memory: &'a DedupMemory,
    /// The entry's own key.
    pub entry: DedupMark,
    /// The key of the request that it is a part of, if others of its entries have keys of their own: with another
    /// fingerprint than before, none of them is appended, also those that were not there before.
    pub request: Option<DedupMark>,
}

impl Dedup<'_> {
    /// The script's call, up to XADD's arguments. `touches`: write something also where nothing is appended.
    pub(super) fn call(&self, stream: &StreamKey, touches: bool) -> Cmd {
        let memory = self.memory;
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(APPEND_ONCE.get_hash()).arg(if self.request.is_some() { 5 } else { 3 });
        cmd.arg(stream.as_str()).arg(&memory.shard_of(&self.entry));
        if let Some(request) = &self.request {
            cmd.arg(&memory.shard_of(request));
        }
        cmd.arg(memory.window.as_millis().to_string()).arg(memory.generation_keys).arg(u8::from(touches));
        cmd.arg(&self.entry.key[..FIELD_BYTES]).arg(&self.entry.fingerprint[..]);
        match &self.request {
            Some(request) => cmd.arg(&request.key[..FIELD_BYTES]).arg(&request.fingerprint[..]),
            None => cmd.arg("").arg(""),
        };
        cmd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(keys_max: u64) -> DedupMemory {
        DedupMemory::new(&StreamKey::new("orders").unwrap(), "m", Duration::from_secs(1), keys_max)
    }

    #[test]
    fn no_more_keys_than_the_bound_fit() {
        for keys_max in [2, 3, 100, 255, 256, 257, 1_000, 1_000_000, u64::MAX] {
            let memory = memory(keys_max);
            let fit = u128::from(memory.shards) * u128::from(memory.generation_keys) * 2;
            assert!(fit <= u128::from(keys_max), "{fit} of {keys_max}");
            assert!(fit * 2 > u128::from(keys_max), "only {fit} of {keys_max}");
        }
    }

    #[test]
    fn keys_are_spread_over_all_shards_in_the_slot_of_the_stream() {
        let memory = memory(256 * 10);
        let mut shards = std::collections::HashSet::new();
        for n in 0..=u8::MAX {
            let [young, old] = memory.shard_of(&DedupMark { key: [n; 32], fingerprint: [0; 16] });
            assert_eq!(old, format!("{young}:old"));
            assert!(young.starts_with("{orders}:idem:m:"), "{young}");
            shards.insert(young);
        }
        assert_eq!(shards.len(), 10);
    }
}
