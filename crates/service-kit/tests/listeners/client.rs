//! A client that says exactly what it is told to, byte by byte.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Far above every bound of the tests, on a busy machine too.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct RawClient(TcpStream);

impl RawClient {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self(TcpStream::connect(addr).await.unwrap())
    }

    pub(crate) async fn say(&mut self, words: &str) {
        self.0.write_all(words.as_bytes()).await.unwrap();
    }

    /// Whether the server still takes anything.
    pub(crate) async fn try_say(&mut self, words: &str) -> bool {
        self.0.write_all(words.as_bytes()).await.is_ok()
    }

    /// Everything until the server ends the connection.
    pub(crate) async fn hear_all(&mut self) -> String {
        let mut heard = Vec::new();
        // A reset is an end, too.
        _ = timeout(SOON, self.0.read_to_end(&mut heard)).await.expect("the connection ends");
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// The next bytes, at least one; nothing at the end.
    pub(crate) async fn hear(&mut self) -> String {
        let mut heard = vec![0; 4096];
        let length = timeout(SOON, self.0.read(&mut heard)).await.expect("an answer").unwrap_or(0);
        String::from_utf8_lossy(&heard[..length]).into_owned()
    }

    /// Whether nothing comes for so long.
    pub(crate) async fn hears_nothing(&mut self, within: Duration) -> bool {
        timeout(within, self.0.readable()).await.is_err()
    }

    /// A request that keeps the connection, and its answer.
    pub(crate) async fn get(&mut self, path: &str) -> String {
        self.say(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        self.hear().await
    }
}
