//! The time of day, and when another process of this machine was started.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use stream_core::Holder;

/// Clock ticks of `/proc/<pid>/stat` in a second: fixed on Linux (`USER_HZ`), whatever the kernel's own are.
const TICKS_A_SECOND: u64 = 100;

/// Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// When the process that holds a name was started, in Unix milliseconds. It tells in ticks since its machine booted, so
/// this is known only of processes on this machine.
pub(crate) fn started_ms(holder: &Holder) -> Option<u64> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let boot = boot.trim();
    if boot.is_empty() || !holder.machine.starts_with(boot) || holder.started == 0 {
        return None;
    }
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let booted = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<u64>().ok()?;
    Some(booted * 1_000 + holder.started * (1_000 / TICKS_A_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_start_of_a_process_here_is_known_and_of_one_elsewhere_is_not() {
        let me = Holder::current("here", "");
        let started = started_ms(&me).unwrap();
        let now = now_ms();
        // The boot time is told in whole seconds.
        assert!(started <= now + 1_000 && started > now - 24 * 3_600 * 1_000, "{started} at {now}");
        assert_eq!(started_ms(&Holder { machine: "elsewhere".to_owned(), ..me }), None);
    }
}
