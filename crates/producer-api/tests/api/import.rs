//! An NDJSON request as a client has it that sends and reads at the same time.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use crate::{client::Api, process::HANG};

pub(crate) struct Import {
    pub(crate) sender: Sender,
    pub(crate) answer: Answer,
}

/// What is sent, in chunks.
pub(crate) struct Sender(OwnedWriteHalf);

/// What is answered, line by line.
pub(crate) struct Answer {
    socket: OwnedReadHalf,
    /// As it came from the socket, not yet looked at.
    raw: Vec<u8>,
    /// Of the body, without the chunks' framing.
    text: Vec<u8>,
    /// The answer's head, once it is there.
    head: Option<String>,
    ended: bool,
}

impl Import {
    pub(crate) async fn open(api: &Api) -> Self {
        Self::with(api, "").await
    }

    /// Begins with further header lines, each with its line end.
    pub(crate) async fn with(api: &Api, headers: &str) -> Self {
        let socket = TcpStream::connect(&api.addr).await.expect("a connection");
        let (read, mut write) = socket.into_split();
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n{headers}\
             transfer-encoding: chunked\r\n\r\n"
        );
        write.write_all(head.as_bytes()).await.expect("a head");
        let (raw, text, head, ended) = Default::default();
        Self { sender: Sender(write), answer: Answer { socket: read, raw, text, head, ended } }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.sender.send(bytes.as_ref()).await.expect("a chunk is taken");
    }

    pub(crate) async fn end(&mut self) {
        self.sender.end().await;
    }

    /// The next result; `None` once the answer has ended as it should.
    pub(crate) async fn result(&mut self) -> Option<Value> {
        self.answer.result().await
    }

    /// Every result up to the end of the answer.
    pub(crate) async fn results(&mut self) -> Vec<Value> {
        let mut results = Vec::new();
        while let Some(result) = self.result().await {
            results.push(result);
        }
        results
    }
}

impl Sender {
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.0.write_all(&chunk).await
    }

    pub(crate) async fn end(&mut self) {
        self.0.write_all(b"0\r\n\r\n").await.expect("the end is taken");
    }
}

impl Answer {
    pub(crate) async fn result(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("JSON"));
            }
            if self.ended {
                assert!(self.text.is_empty(), "the answer ends with a whole line");
                return None;
            }
            self.read().await;
        }
    }

    /// The status and the headers.
    pub(crate) async fn head(&mut self) -> &str {
        while self.head.is_none() {
            self.read().await;
        }
        self.head.as_deref().unwrap_or_default()
    }

    async fn read(&mut self) {
        let read = timeout(HANG, self.socket.read_buf(&mut self.raw)).await;
        let read = read.expect("something is answered in time").expect("an open connection");
        assert!(read > 0, "the answer broke off: {:?}", String::from_utf8_lossy(&self.text));
        if self.head.is_none() {
            let Some(end) = find(&self.raw, b"\r\n\r\n") else { return };
            let head: Vec<u8> = self.raw.drain(..end + 4).collect();
            self.head = Some(String::from_utf8(head).expect("text").to_ascii_lowercase());
        }
        while let Some(end) = find(&self.raw, b"\r\n") {
            let size = std::str::from_utf8(&self.raw[..end]).expect("text");
            let size = usize::from_str_radix(size, 16).expect("a chunk's size");
            if self.raw.len() < end + 2 + size + 2 {
                return;
            }
            let chunk: Vec<u8> = self.raw.drain(..end + 2 + size + 2).collect();
            self.text.extend_from_slice(&chunk[end + 2..end + 2 + size]);
            self.ended = size == 0;
        }
    }

    /// Waits until nothing more is answered for so long; it must be long enough to mean something.
    pub(crate) async fn is_silent_for(&mut self, time: Duration) -> bool {
        timeout(time, self.socket.read_buf(&mut self.raw)).await.is_err()
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
