//! A receiver of webhooks that answers as it is told.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use testkit::eventually;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
};

use crate::{bench::SOON, mail_server::python};

/// Base64 of 24 and of 32 bytes.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const NEW_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What it answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status, further headers and a body.
    Says(u16, &'static str, &'static str),
    /// A body without an end.
    Endless(u16),
    /// Nothing, with the connection open.
    Hangs,
}

pub(crate) const OK: Answer = Answer::Says(200, "", "thanks");

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

type Answers = dyn Fn(&Request, usize) -> Answer + Send + Sync;

/// Listens until it is dropped.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    answers: Arc<Mutex<Arc<Answers>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let answers: Arc<Answers> = Arc::new(|_, _| OK);
        let receiver = Self { port, requests: Arc::default(), answers: Arc::new(Mutex::new(answers)) };
        let accepting = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        receiver
    }

    /// How it answers a request from now on, and the how manieth of its message it is, from 1.
    pub(crate) fn answers(&self, answers: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) {
        *self.answers.lock().expect("no panic while locked") = Arc::new(answers);
    }

    /// A table of the setting `webhook.endpoints`.
    pub(crate) fn endpoint(&self, name: &str, more: &str) -> String {
        let port = self.port;
        format!(
            "{{name = \"{name}\", url = \"http://127.0.0.1:{port}/hooks/t0ken\", secrets = [\"{SECRET}\"], \
             allow_private = true, {more}}}"
        )
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic while locked").clone()
    }

    /// Waits until it has got so many requests.
    pub(crate) async fn received(&self, count: usize) -> Vec<Request> {
        eventually(SOON, "so many requests have arrived", async || {
            let requests = self.requests();
            if requests.len() >= count { Ok(requests) } else { Err(format!("{} of {count}", requests.len())) }
        })
        .await
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read(&mut stream).await {
            let answer = {
                let mut requests = self.requests.lock().expect("no panic while locked");
                requests.push(request.clone());
                let of_this = requests.iter().filter(|other| other.id() == request.id()).count();
                let answers = Arc::clone(&self.answers.lock().expect("no panic while locked"));
                answers(&request, of_this)
            };
            let sent = match answer {
                Answer::Says(status, headers, body) => {
                    let length = body.len();
                    let head =
                        format!("HTTP/1.1 {status} Any\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
                    stream.write_all(head.as_bytes()).await
                }
                Answer::Endless(status) => {
                    let head = format!("HTTP/1.1 {status} Any\r\ncontent-type: text/plain\r\n\r\n");
                    let mut sent = stream.write_all(head.as_bytes()).await;
                    while sent.is_ok() {
                        sent = stream.write_all(&[b'x'; 8_192]).await;
                    }
                    sent
                }
                Answer::Hangs => {
                    // Until the other side gives up.
                    _ = stream.read(&mut [0; 1]).await;
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let mut headers = HashMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { headers, body: String::from_utf8(body).ok()? })
}

impl Request {
    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// What the library of the Standard Webhooks project says of it.
    pub(crate) async fn verdict(&self, secret: &str) -> String {
        let mut child = Command::new(python())
            .arg("-B")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/channels/verify_webhooks.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("deploy/scripts/ensure-notification-tools.sh installs what this needs");
        let question = json!({ "secret": secret, "headers": self.headers, "body": self.body }).to_string();
        let mut input = child.stdin.take().expect("its input");
        input.write_all(question.as_bytes()).await.expect("it reads");
        drop(input);
        let output = child.wait_with_output().await.expect("it ends");
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }
}
