//! Compressed bodies: gzip and zstd, in every form, and what is no such thing.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use async_compression::{
    Level,
    tokio::write::{GzipEncoder, ZstdEncoder},
    zstd::CParameter,
};
use serde_json::json;
use testkit::RedisServer;
use tokio::io::AsyncWriteExt as _;

use crate::{
    client::{Answer, Api, batch, event, lines},
    import::Import,
};

async fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(bytes).await.expect("memory takes all");
    encoder.shutdown().await.expect("memory takes all");
    encoder.into_inner()
}

async fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZstdEncoder::new(Vec::new());
    encoder.write_all(bytes).await.expect("memory takes all");
    encoder.shutdown().await.expect("memory takes all");
    encoder.into_inner()
}

async fn post(api: &Api, encoding: &str, body: Vec<u8>) -> Answer {
    api.post_with(&[("content-type", "application/json"), ("content-encoding", encoding)], body).await
}

#[tokio::test]
async fn compressed_json_is_as_good_as_plain() {
    let api = Api::start().await;
    let body = batch("o", 1_000).to_string();
    let answer = post(&api, "gzip", gzip(body.as_bytes()).await).await;
    assert_eq!(answer.ids().len(), 1_000);
    assert_eq!(post(&api, "zstd", zstd(body.as_bytes()).await).await.ids().len(), 1_000);
    let members = [gzip(&body.as_bytes()[..500]).await, gzip(&body.as_bytes()[500..]).await].concat();
    assert_eq!(post(&api, "X-GZIP", members).await.ids().len(), 1_000, "a file of two members");
    let frames = [zstd(&body.as_bytes()[..500]).await, zstd(&body.as_bytes()[500..]).await].concat();
    assert_eq!(post(&api, "zstd", frames).await.ids().len(), 1_000, "and of two frames");
    assert_eq!(post(&api, "identity", event("o").to_string().into_bytes()).await.status, 201);
    assert_eq!(api.stored_orders().await.len(), 4_001);
}

#[tokio::test]
async fn a_small_body_that_inflates_beyond_the_limit_is_413() {
    let api = Api::start().await;
    assert_eq!(api.post(&event("before")).await.status, 201);
    let before = api.process.peak_memory_kib();
    let spaces = vec![b' '; 64 << 20];
    for (encoding, body) in [("gzip", gzip(&spaces).await), ("zstd", zstd(&spaces).await)] {
        assert!(body.len() < 100_000, "{}", body.len());
        let answer = post(&api, encoding, body).await;
        answer.is_problem(413, "/problems/body-too-large");
        assert_eq!(answer.body["limit_bytes"], 1 << 20);
    }
    let grown = api.process.peak_memory_kib() - before;
    assert!(grown < 32 * 1024, "{grown} KiB for what would inflate to 64 MiB");
}

#[tokio::test]
async fn a_window_beyond_8_mib_is_refused() {
    let api = Api::start().await;
    let params = [CParameter::window_log(27)];
    let mut encoder = ZstdEncoder::with_quality_and_params(Vec::new(), Level::Fastest, &params);
    encoder.write_all(&vec![b' '; 9 << 20]).await.unwrap();
    // Without the size in the frame's head the window is what a decoder must hold.
    encoder.flush().await.unwrap();
    encoder.shutdown().await.unwrap();
    post(&api, "zstd", encoder.into_inner()).await.is_problem(400, "/problems/corrupt-encoding");
}

#[tokio::test]
async fn other_encodings_are_415_and_told_which_there_are() {
    let api = Api::start().await;
    let body = event("o").to_string().into_bytes();
    for encoding in ["br", "deflate", "gzip, zstd", "compress"] {
        let answer = post(&api, encoding, body.clone()).await;
        answer.is_problem(415, "/problems/unsupported-encoding");
        assert_eq!(answer.headers["accept-encoding"], "gzip, zstd");
    }
    let answer = api.post_text("text/plain", "x").await;
    answer.is_problem(415, "/problems/unsupported-media-type");
    assert!(answer.headers["accept"].to_str().unwrap().contains("application/x-ndjson"));
    assert_eq!(api.redis::<usize>(&format!("EXISTS {}", api.stream)).await, 0);
}

#[tokio::test]
async fn what_does_not_inflate_is_400() {
    let api = Api::start().await;
    let body = event("o").to_string().into_bytes();
    for (encoding, whole) in [("gzip", gzip(&body).await), ("zstd", zstd(&body).await)] {
        let mut followed = whole.clone();
        followed.extend_from_slice(b"garbage");
        for spoilt in [body.clone(), whole[..whole.len() - 3].to_vec(), followed] {
            let answer = post(&api, encoding, spoilt).await;
            answer.is_problem(400, "/problems/corrupt-encoding");
        }
        assert_eq!(post(&api, encoding, whole).await.status, 201);
    }
}

#[tokio::test]
async fn ndjson_may_inflate_beyond_the_limit_of_a_body() {
    let api = Api::with(RedisServer::start().await, &[("producer.body_limit_bytes", "2000")]);
    let lines = lines("o", 1_000);
    for (encoding, body) in [("gzip", gzip(lines.as_bytes()).await), ("zstd", zstd(lines.as_bytes()).await)] {
        let mut import = Import::with(&api, &format!("content-encoding: {encoding}\r\n")).await;
        for piece in body.chunks(1_000) {
            import.send(piece).await;
        }
        import.end().await;
        let results = import.results().await;
        assert_eq!(results.iter().filter(|result| result["id"].is_string()).count(), 1_000);
    }
}

#[tokio::test]
async fn ndjson_that_is_cut_off_ends_with_a_problem() {
    let api = Api::start().await;
    let lines = format!("{}\n{}\n", event("a"), event("b"));
    let body = gzip(lines.as_bytes()).await;
    let mut import = Import::with(&api, "content-encoding: gzip\r\n").await;
    import.send(&body[..body.len() - 4]).await;
    import.end().await;
    let results = import.results().await;
    let last = results.last().unwrap();
    assert_eq!((&last["line"], &last["problem"]["type"]), (&json!(3), &json!("/problems/corrupt-encoding")));
    assert_eq!(last["problem"]["last"], true);
    assert_eq!(api.stored_orders().await, ["a", "b"], "what had come was whole");

    let mut spoilt = Import::with(&api, "content-encoding: gzip\r\n").await;
    spoilt.send("no gzip").await;
    assert!(spoilt.answer.head().await.starts_with("http/1.1 400 "), "before the answer began");
}

/// A client that nobody here wrote.
#[tokio::test]
async fn curl_imports_a_compressed_file() {
    let api = Api::start().await;
    let lines = lines("o", 20_000);
    for (encoding, body) in [("gzip", gzip(lines.as_bytes()).await), ("zstd", zstd(lines.as_bytes()).await)] {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "60", "--upload-file", "-"]);
        curl.args(["--request", "POST", "--header", "Content-Type: application/x-ndjson"]);
        curl.args(["--header", &format!("Content-Encoding: {encoding}"), "--header", "Expect: 100-continue"]);
        curl.arg(format!("http://{}/v1/events", api.addr)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || {
            let mut child = curl.spawn().expect("curl");
            let mut stdin = child.stdin.take().expect("a pipe");
            let writer = std::thread::spawn(move || stdin.write_all(&body));
            let output = child.wait_with_output().expect("its output");
            writer.join().expect("a writer").expect("everything is taken");
            output
        });
        let output = output.await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let results = String::from_utf8(output.stdout).unwrap();
        assert_eq!(results.lines().filter(|line| line.contains("\"id\"")).count(), 20_000);
    }
    assert_eq!(api.redis::<usize>(&format!("XLEN {}", api.stream)).await, 40_000);
}
