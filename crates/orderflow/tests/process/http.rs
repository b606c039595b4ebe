//! A tiny HTTP server that plays producer-api: it answers as told and keeps what it was sent.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

/// One answer.
pub(crate) enum Answer {
    /// 201 with an ID for each event.
    Stored,
    /// A status, header lines and a body.
    Is(u16, &'static str, Value),
    /// The connection is closed without one.
    None,
}

/// The server; it answers in the order given, then with `Stored`.
pub(crate) struct Producer {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Vec<Value>>>>,
    authorizations: Arc<Mutex<Vec<Option<String>>>>,
}

impl Producer {
    pub(crate) fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        let authorizations = Arc::new(Mutex::new(Vec::new()));
        let (kept, presented) = (requests.clone(), authorizations.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let answer = answers.pop().unwrap_or(Answer::Stored);
                serve(stream.unwrap(), &answer, &kept, &presented);
            }
        });
        Self { url, requests, authorizations }
    }

    /// The events of each request so far.
    pub(crate) fn requests(&self) -> Vec<Vec<Value>> {
        self.requests.lock().unwrap().clone()
    }

    /// What each request so far had as `Authorization`.
    pub(crate) fn authorizations(&self) -> Vec<Option<String>> {
        self.authorizations.lock().unwrap().clone()
    }
}

fn serve(
    stream: TcpStream,
    answer: &Answer,
    requests: &Mutex<Vec<Vec<Value>>>,
    authorizations: &Mutex<Vec<Option<String>>>,
) {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length, mut authorization) = (String::new(), 0, None);
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "POST /v1/events HTTP/1.1\r\n");
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        if header.starts_with("authorization: ") {
            authorization = line.trim().split_once(": ").map(|(_, value)| value.to_owned());
        }
    }
    authorizations.lock().unwrap().push(authorization);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let events: Vec<Value> = serde_json::from_slice(&body).unwrap();
    let mut all = requests.lock().unwrap();
    let ids: Vec<_> = (0..events.len()).map(|index| format!("{}-{index}", all.len() + 1)).collect();
    all.push(events);
    drop(all);
    let (status, headers, body) = match answer {
        Answer::Stored => (201, "", json!({"accepted": ids.len(), "ids": ids})),
        Answer::Is(status, headers, body) => (*status, *headers, body.clone()),
        Answer::None => return,
    };
    let (body, mut stream) = (body.to_string(), reader.into_inner());
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n{headers}\r\n{body}"
    )
    .unwrap();
}
