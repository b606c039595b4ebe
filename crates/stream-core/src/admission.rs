//! [`Admission`]: whether a server that drops connections does so for want of room.
//!
//! A full server says `-ERR max number of clients reached` and hangs up in one go. A client that sends its greeting
//! first, as redis-rs does, usually sees a broken pipe instead, and what the server said is lost with the connection.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
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

/// The last answer of one server.
#[derive(Debug, Default)]
pub(crate) struct Admission(Mutex<Option<(Instant, bool)>>);

impl Admission {
    /// Whether the server at `address` turns connections away now. While somebody else is finding out, the answer
    /// is the last one.
    pub(crate) async fn is_refused(&self, address: &ConnectionAddr) -> bool {
        let ConnectionAddr::Tcp(host, port) = address else { return false };
        if let Some(known) = self.ask_or_known() {
            return known;
        }
        let refused = hangs_up_for_want_of_room(host, *port).await;
        *self.last() = Some((Instant::now(), refused));
        refused
    }

    /// The last answer while it is fresh; otherwise it counts as fresh from now on, and the caller is to ask.
    fn ask_or_known(&self) -> Option<bool> {
        let mut last = self.last();
        let known = last.map(|(at, refused)| (at.elapsed() < FRESH, refused));
        match known {
            Some((true, refused)) => Some(refused),
            stale => {
                *last = Some((Instant::now(), stale.is_some_and(|(_, refused)| refused)));
                None
            }
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<(Instant, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens to the server without a word of our own.
async fn hangs_up_for_want_of_room(host: &str, port: u16) -> bool {
    let Ok(Ok(socket)) = timeout(CONNECT_MAX, TcpStream::connect((host, port))).await else { return false };
    let Ok(Ok(())) = timeout(LISTEN_MAX, socket.readable()).await else { return false };
    let mut said = [0; 64];
    let length = socket.try_read(&mut said).unwrap_or(0);
    String::from_utf8_lossy(&said[..length]).contains("max number of clients")
}
