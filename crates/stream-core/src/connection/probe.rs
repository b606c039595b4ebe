//! [`Probe`]: what a server that drops connections has against them: no room, or the other kind of connection.
//!
//! A full server says `-ERR max number of clients reached` and hangs up in one go. A client that sends its greeting
//! first, as redis-rs does, usually sees a broken pipe instead, and what the server said is lost with the connection.
//! A TLS port resets a connection in the clear without a word, and a port in the clear waits for the end of a TLS
//! greeting, which it takes for a command.

use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::ConnectionAddr;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

/// How long an answer is good for; also how often the server is asked at most.
const FRESH: Duration = Duration::from_secs(1);
/// A server that lets us in says nothing; a full one says so at once.
const LISTEN_MAX: Duration = Duration::from_millis(50);
const CONNECT_MAX: Duration = Duration::from_millis(500);
/// How long a server may take to answer a greeting, when none has succeeded yet.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// A TLS record that holds no handshake: whoever speaks TLS answers with an alert (RFC 8446, 5.1 and 6).
const NO_HANDSHAKE: &[u8] = b"\x16\x03\x01\x00\x05hello";
/// The first byte of an alert.
const ALERT: u8 = 0x15;

/// What a server has against our connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Objection {
    /// It has no room for another.
    Full,
    /// It speaks TLS alone, and we do not.
    WantsTls,
    /// It does not speak TLS, and we do.
    SpeaksNoTls,
}

/// The last finding about one server.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    last: Mutex<Option<(Instant, Option<Objection>)>>,
    /// Whether it has ever answered us: then both sides speak the same.
    understood: AtomicBool,
}

impl Probe {
    /// The server has answered a command.
    pub(crate) fn understood(&self) {
        if !self.understood.load(Ordering::Relaxed) {
            self.understood.store(true, Ordering::Relaxed);
        }
    }

    /// What the server at `address` has against our connections now, if anything. While somebody else is finding
    /// out, the answer is the last one.
    pub(crate) async fn objection(&self, address: &ConnectionAddr) -> Option<Objection> {
        let (host, port, tls) = match address {
            ConnectionAddr::Tcp(host, port) => (host, *port, false),
            ConnectionAddr::TcpTls { host, port, .. } => (host, *port, true),
            _ => return None,
        };
        if let Some(Known(found)) = self.ask_or_known() {
            return found;
        }
        let understood = self.understood.load(Ordering::Relaxed);
        let found = match tls {
            true if understood => None,
            true => answers_in_the_clear(host, port).await.then_some(Objection::SpeaksNoTls),
            false => against_plain(host, port, understood).await,
        };
        *self.last() = Some((Instant::now(), found));
        found
    }

    /// The last answer while it is fresh; otherwise it counts as fresh from now on, and the caller is to ask.
    fn ask_or_known(&self) -> Option<Known> {
        let mut last = self.last();
        match *last {
            Some((at, found)) if at.elapsed() < FRESH => Some(Known(found)),
            stale => {
                *last = Some((Instant::now(), stale.and_then(|(_, found)| found)));
                None
            }
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<(Instant, Option<Objection>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a server objected to when it was last asked, if to anything.
struct Known(Option<Objection>);

/// Listens to the server without a word of our own, then greets it as TLS would if it never understood us.
async fn against_plain(host: &str, port: u16, understood: bool) -> Option<Objection> {
    let socket = connect(host, port).await?;
    let said = hear(&socket, LISTEN_MAX).await;
    if String::from_utf8_lossy(&said).contains("max number of clients") {
        return Some(Objection::Full);
    }
    if understood || !said.is_empty() {
        return None;
    }
    say(&socket, NO_HANDSHAKE).await.ok()?;
    (hear(&socket, ANSWER_MAX).await.first() == Some(&ALERT)).then_some(Objection::WantsTls)
}

async fn answers_in_the_clear(host: &str, port: u16) -> bool {
    let Some(socket) = connect(host, port).await else { return false };
    if say(&socket, b"PING\r\n").await.is_err() {
        return false;
    }
    // `+PONG`, `-NOAUTH …`, `-DENIED …`
    matches!(hear(&socket, ANSWER_MAX).await.first(), Some(b'+' | b'-'))
}

async fn connect(host: &str, port: u16) -> Option<TcpStream> {
    timeout(CONNECT_MAX, TcpStream::connect((host, port))).await.ok()?.ok()
}

async fn say(socket: &TcpStream, words: &[u8]) -> io::Result<()> {
    socket.writable().await?;
    // A few bytes fit into the buffer of a new socket.
    socket.try_write(words).map(drop)
}

/// What comes first within `within`.
async fn hear(socket: &TcpStream, within: Duration) -> Vec<u8> {
    let mut said = vec![0; 64];
    let length = match timeout(within, socket.readable()).await {
        Ok(Ok(())) => socket.try_read(&mut said).unwrap_or(0),
        _ => 0,
    };
    said.truncate(length);
    said
}
