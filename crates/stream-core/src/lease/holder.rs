//! [`Holder`]: which process holds a lease, told so that a successor can see whether it is gone.

use std::{fmt, fs};

use serde::{Deserialize, Serialize};

/// The process that holds a lease. Stored as JSON, so that a person with redis-cli can read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its host's name.
    pub host: String,
    /// Its process ID.
    pub pid: u32,
    /// When it started, in clock ticks since the machine booted: with the PID, one process and no other.
    pub started: u64,
    /// The machine since its last boot, and the PID namespace: two containers of one host name differ.
    pub machine: String,
    /// Where it can be reached, as it says itself; empty if it did not say.
    pub address: String,
    /// Tells apart two holders within one process.
    pub nonce: u64,
}

impl Holder {
    /// This process, reachable at `address`.
    pub fn current(host: &str, address: &str) -> Self {
        let pid = std::process::id();
        Self {
            host: host.to_owned(),
            pid,
            started: started(pid).unwrap_or(0),
            machine: machine(),
            address: address.to_owned(),
            nonce: fastrand::u64(..),
        }
    }

    /// The value of a lease that this process holds.
    pub fn to_lease_value(&self) -> String {
        // A struct of strings and numbers always serializes.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether a lease's value names a process that is known to be gone.
    pub fn value_is_of_gone_process(value: &str) -> bool {
        serde_json::from_str(value).is_ok_and(|holder: Self| holder.is_gone())
    }

    /// Whether that process is known to be gone: it ran where this one runs, and is not there any more.
    /// Never true of a process elsewhere.
    pub(crate) fn is_gone(&self) -> bool {
        let here = machine();
        !here.is_empty() && self.machine == here && started(self.pid) != Some(self.started)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)?;
        if self.address.is_empty() { Ok(()) } else { write!(f, " at {}", self.address) }
    }
}

/// The start time of a running process (`/proc/<pid>/stat`, field 22, proc(5)); a zombie does not run.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses and may contain anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Empty where the system does not tell (not Linux): then no holder is ever known to be gone.
fn machine() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    match (boot.trim(), namespace.to_string_lossy()) {
        ("", _) => String::new(),
        (boot, namespace) => format!("{boot} {namespace}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_running_process_is_not_gone_and_an_ended_one_is() {
        let me = Holder::current("here", "");
        assert!(!me.is_gone());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(Holder { pid: child.id(), ..me.clone() }.is_gone());
        assert!(Holder { started: me.started + 1, ..me.clone() }.is_gone());
        assert!(!Holder { pid: child.id(), machine: "elsewhere".to_owned(), ..me }.is_gone());
    }
}
