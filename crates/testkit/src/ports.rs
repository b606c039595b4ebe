//! Free loopback ports that outgoing connections do not take.

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    ops::Range,
};

/// Below the range from which Linux takes the source ports of outgoing connections (32768 and up). From within
/// it, a client that reconnects to a server which is down could be given that very port, and connect to itself.
const PORTS: Range<u16> = 20_000..32_000;

/// A loopback TCP port that nobody listens on right now, from 20000 to 31999.
///
/// Somebody else may take it before it is used; whoever starts a server there tries again with another.
///
/// # Panics
///
/// If every port of the range is taken.
pub fn free_port() -> u16 {
    let count = PORTS.end - PORTS.start;
    let first = (random() % u64::from(count)) as u16;
    (0..count)
        .map(|step| PORTS.start + (first + step) % count)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("no free TCP port from 20000 to 31999")
}

/// A random number, from the seed that the standard library draws for its hash maps.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
