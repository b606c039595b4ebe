//! [`Collector`]: a receiver of OTLP over HTTP (protobuf) that keeps every span.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use e2e::Pipeline;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use testkit::eventually;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// How long anything that should happen soon may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A span as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// `service.name` of the process.
    pub(crate) service: String,
    pub(crate) resource: HashMap<String, String>,
    pub(crate) span: Span,
}

impl Received {
    pub(crate) fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    pub(crate) fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub(crate) fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// An attribute as text, empty if there is none.
    pub(crate) fn attribute(&self, name: &str) -> String {
        texts(&self.span.attributes).remove(name).unwrap_or_default()
    }

    /// The IDs of the spans that it is linked to.
    pub(crate) fn links(&self) -> Vec<String> {
        self.span.links.iter().map(|link| hex(&link.span_id)).collect()
    }

    /// The names of its events.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.span.events.iter().map(|event| event.name.as_str()).collect()
    }
}

#[derive(Debug, Default)]
struct State {
    spans: Vec<Received>,
    /// The `authorization` of the last request.
    authorization: String,
}

/// Stops with its runtime, that of the test.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, Arc::clone(&shared)));
            }
        });
        Self { endpoint, state }
    }

    /// A pipeline that exports everything to this collector, at once.
    pub(crate) async fn pipeline(&self) -> Pipeline {
        let mut pipeline = Pipeline::new().await;
        pipeline.set("OTEL_EXPORTER_OTLP_ENDPOINT", &self.endpoint);
        pipeline.set("OTEL_BSP_SCHEDULE_DELAY", "100");
        pipeline.set("ORDERFLOW__LOG__FORMAT", "json");
        pipeline
    }

    pub(crate) fn spans(&self) -> Vec<Received> {
        self.state.lock().expect("no panic while locked").spans.clone()
    }

    pub(crate) fn authorization(&self) -> String {
        self.state.lock().expect("no panic while locked").authorization.clone()
    }

    /// The spans of a trace, once there are so many; then no more may come.
    pub(crate) async fn trace(&self, trace: &str, count: usize) -> Vec<Received> {
        self.wanted(count, |span| span.trace() == trace).await
    }

    /// Waits for exactly so many spans of a kind.
    pub(crate) async fn wanted(&self, count: usize, is_wanted: impl Fn(&Received) -> bool) -> Vec<Received> {
        eventually(SOON, &format!("{count} spans have arrived"), async || {
            let spans: Vec<Received> = self.spans().into_iter().filter(&is_wanted).collect();
            let names: Vec<String> = spans
                .iter()
                .map(|received| format!("{}: {}", received.service, received.span.name))
                .collect();
            if spans.len() == count { Ok(spans) } else { Err(format!("{names:?}")) }
        })
        .await
    }
}

/// The span of a service with this name.
pub(crate) fn find<'a>(spans: &'a [Received], service: &str, name: &str) -> &'a Received {
    let found = spans.iter().find(|received| received.service == service && received.span.name == name);
    found.unwrap_or_else(|| {
        let names: Vec<_> = spans.iter().map(|span| (&span.service, &span.span.name)).collect();
        panic!("{service} has no span {name}; there are {names:?}")
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

fn texts(attributes: &[KeyValue]) -> HashMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let known = attributes.iter().filter_map(|pair| {
        let value = pair.value.as_ref()?.value.as_ref()?;
        Some((pair.key.clone(), text(value)))
    });
    known.collect()
}

/// Answers the requests of one connection.
async fn serve(connection: TcpStream, state: Arc<Mutex<State>>) {
    let mut connection = BufReader::new(connection);
    while let Some((headers, body)) = read_request(&mut connection).await {
        keep(&state, &headers, &body);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if connection.write_all(answer).await.is_err() {
            return;
        }
    }
}

fn keep(state: &Mutex<State>, headers: &HashMap<String, String>, body: &[u8]) {
    let request = ExportTraceServiceRequest::decode(body).expect("a body as OTLP defines it");
    let mut state = state.lock().expect("no panic while locked");
    state.authorization = headers.get("authorization").cloned().unwrap_or_default();
    for resource_spans in request.resource_spans {
        let resource = texts(&resource_spans.resource.unwrap_or_default().attributes);
        let service = resource.get("service.name").cloned().unwrap_or_default();
        let spans = resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
        let received = |span| Received { service: service.clone(), resource: resource.clone(), span };
        state.spans.extend(spans.map(received));
    }
}

/// The headers and the body of the next request; `None` once the connection is closed.
async fn read_request(connection: &mut BufReader<TcpStream>) -> Option<(HashMap<String, String>, Vec<u8>)> {
    let mut line = String::new();
    connection.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    assert_eq!(line, "POST /v1/traces HTTP/1.1\r\n");
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let mut body = vec![0; headers["content-length"].parse().expect("a length")];
    connection.read_exact(&mut body).await.ok()?;
    Some((headers, body))
}
