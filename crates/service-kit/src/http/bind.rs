//! Binds a listener, and says what to change when that fails.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

use crate::config::env_name;

/// Why a listener could not be bound; names the address, its setting and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another process, or another port of this one, has the address.
    #[error(
        "cannot listen on {addr} ({key}): address already in use; set {key} ({}) to a free port",
        env_name(key)
    )]
    InUse {
        /// The address.
        addr: SocketAddr,
        /// The setting that holds it.
        key: &'static str,
    },
    /// The port is reserved.
    #[error(
        "cannot listen on {addr} ({key}): permission denied; set {key} ({}) to a port from 1024 up",
        env_name(key)
    )]
    Denied {
        /// The address.
        addr: SocketAddr,
        /// The setting that holds it.
        key: &'static str,
    },
    /// The address belongs to no interface of this machine.
    #[error(
        "cannot listen on {addr} ({key}): not an address of this machine; set {key} ({}) to one, or to 0.0.0.0 for all",
        env_name(key)
    )]
    NotLocal {
        /// The address.
        addr: SocketAddr,
        /// The setting that holds it.
        key: &'static str,
    },
    /// Anything else.
    #[error("cannot listen on {addr} ({key})")]
    Other {
        /// The address.
        addr: SocketAddr,
        /// The setting that holds it.
        key: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

/// Binds `addr`, the value of setting `key` (e.g. `producer.ops_listen`).
///
/// # Errors
/// A [`BindError`] that says which setting to change.
pub async fn bind(addr: SocketAddr, key: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(addr).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { addr, key },
        io::ErrorKind::PermissionDenied => BindError::Denied { addr, key },
        io::ErrorKind::AddrNotAvailable => BindError::NotLocal { addr, key },
        _ => BindError::Other { addr, key, source },
    })
}

/// Where a port bound at `addr` is reached from this machine: one bound on all interfaces, on loopback.
pub fn dialable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}
