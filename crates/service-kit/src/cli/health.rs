//! `--health-check`: asks the service's own ops port, over TLS if it speaks that, so that an image needs no HTTP client.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use crate::config::Tls;
use crate::http::dialable;
use crate::tls::{TlsError, pinned_config};

const TIMEOUT: Duration = Duration::from_secs(2);
/// The answer is a status line, a few headers and a short JSON object.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why the service does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub(super) enum HealthError {
    #[error("no answer from {scheme}://{addr}/readyz: {cause}")]
    NoAnswer { scheme: &'static str, addr: SocketAddr, cause: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("not ready: {0}")]
    NotReady(String),
}

/// Whether `/readyz` answers 200 within two seconds.
pub(super) fn check(ops_listen: SocketAddr, tls: &Tls) -> Result<(), HealthError> {
    let addr = dialable(ops_listen);
    let scheme = tls.ops_scheme();
    let session = match scheme {
        "https" => {
            let config = Arc::new(pinned_config(tls)?);
            Some(ClientConnection::new(config, addr.ip().into()).map_err(TlsError::from)?)
        }
        _ => None,
    };
    let answer = get_readyz(addr, session).map_err(|cause| HealthError::NoAnswer { scheme, addr, cause })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status_line = head.lines().next().unwrap_or_default();
    match status_line.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(HealthError::NotReady(format!("{status_line} {body}"))),
    }
}

fn get_readyz(addr: SocketAddr, session: Option<ClientConnection>) -> io::Result<String> {
    let deadline = Instant::now() + TIMEOUT;
    let socket = TcpStream::connect_timeout(&addr, TIMEOUT)?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    match session {
        Some(session) => ask(StreamOwned::new(session, socket.try_clone()?), &socket, addr, deadline),
        None => ask(socket.try_clone()?, &socket, addr, deadline),
    }
}

/// Asks over `stream`, which runs over `socket`.
fn ask(
    mut stream: impl Read + Write,
    socket: &TcpStream,
    addr: SocketAddr,
    deadline: Instant,
) -> io::Result<String> {
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while answer.len() < ANSWER_BYTES_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk)? {
            0 => break,
            read => answer.extend_from_slice(&chunk[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unspecified_addresses_are_asked_on_loopback() {
        for (bound, asked) in
            [("0.0.0.0:9101", "127.0.0.1:9101"), ("[::]:9101", "[::1]:9101"), ("10.0.0.7:1", "10.0.0.7:1")]
        {
            assert_eq!(dialable(bound.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
