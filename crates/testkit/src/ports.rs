//! Free loopback ports that neither outgoing connections nor tests running beside take.

use std::{
    env,
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

/// Below the range from which Linux takes the source ports of outgoing connections (32768 and up). From within
/// it, a client that reconnects to a server which is down could be given that very port, and connect to itself.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// Tests that nextest runs at the same time have different slots; so many of them get ports of their own.
const SLOTS: u16 = 16;

/// The ports of this process, and how many of them it has handed out.
static NEXT: LazyLock<(u16, AtomicU16)> = LazyLock::new(|| {
    // https://nexte.st/docs/configuration/env-vars: unique among the tests that run at the moment.
    let slot = env::var("NEXTEST_TEST_GLOBAL_SLOT").ok().and_then(|slot| slot.parse::<u16>().ok());
    let slot = slot.unwrap_or_else(|| (random() % u64::from(SLOTS)) as u16) % SLOTS;
    let offset = (random() % u64::from(COUNT / SLOTS)) as u16;
    (FIRST + slot * (COUNT / SLOTS), AtomicU16::new(offset))
});

/// A loopback TCP port that nobody listens on right now, from 20000 to 31999. A process gets each port once, until
/// it has had them all.
///
/// Somebody else may still take it before it is used; whoever starts a server there tries again with another.
///
/// # Panics
///
/// If every port that this process may have is taken.
pub fn free_port() -> u16 {
    let (first, handed_out) = &*NEXT;
    let width = COUNT / SLOTS;
    (0..width)
        .map(|_| first + handed_out.fetch_add(1, Ordering::Relaxed) % width)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("no free TCP port left among those of this process")
}

/// A random number, from the seed that the standard library draws for its hash maps.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
