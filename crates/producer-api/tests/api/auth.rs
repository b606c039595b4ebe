//! API keys: who may do what, keys that come and go, rate limits, and secrets that appear nowhere.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use service_kit::auth::Digest;
use tempfile::TempDir;
use testkit::{RedisServer, eventually};

use crate::{
    client::{Api, batch, event},
    process::HANG,
};

/// A file of keys, replaced as one should: by another one that is ready.
struct Keys {
    _dir: TempDir,
    path: PathBuf,
}

impl Keys {
    fn new(entries: &[String]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let keys = Self { path: dir.path().join("keys.toml"), _dir: dir };
        keys.put(entries);
        keys
    }

    fn put(&self, entries: &[String]) {
        let new = self.path.with_extension("new");
        fs::write(&new, entries.concat()).expect("it is written");
        fs::rename(new, &self.path).expect("it is there");
    }

    fn setting(&self) -> (&str, &str) {
        ("auth.keys_file", self.path.to_str().expect("text"))
    }
}

/// The key of this name: of the form that the command makes.
fn key(id: &str) -> String {
    format!("ofk_{id}_{}", "Kq3-x_9Z".repeat(5))
}

fn entry(id: &str, scopes: &str, more: &str) -> String {
    let sha256 = Digest::of(key(id).as_bytes()).to_hex();
    format!("[[auth.keys]]\nid = {id:?}\nsha256 = {sha256:?}\nscopes = [{scopes}]\n{more}\n")
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {:?}", self.text))
    }

    #[track_caller]
    fn is(&self, status: u16, kind: &str) {
        assert_eq!((self.status, self.json()["type"].as_str()), (status, Some(kind)), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
    }
}

async fn send(request: RequestBuilder) -> Answer {
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Answer { status, headers, text: answer.text().await.expect("text") }
}

fn request(api: &Api, method: Method, path: &str) -> RequestBuilder {
    reqwest::Client::new().request(method, format!("http://{}{path}", api.addr)).timeout(HANG)
}

async fn post(api: &Api, key: &str, body: &Value) -> Answer {
    post_to(&api.addr, key, body).await
}

async fn post_to(addr: &str, key: &str, body: &Value) -> Answer {
    let request = reqwest::Client::new().post(format!("http://{addr}/v1/events")).timeout(HANG);
    send(request.bearer_auth(key).json(body)).await
}

async fn get(api: &Api, key: &str) -> Answer {
    send(request(api, Method::GET, "/v1/events").header("x-api-key", key)).await
}

#[tokio::test]
async fn each_key_may_do_what_it_is_for_and_no_secret_appears_anywhere() {
    let expired = "expires = \"2020-01-01T00:00:00Z\"";
    let keys = Keys::new(&[
        entry("shop", "\"produce\"", ""),
        entry("audit", "\"read\"", ""),
        entry("boss", "\"admin\"", ""),
        entry("old", "\"produce\", \"read\"", expired),
    ]);
    let api = Api::with(RedisServer::start().await, &[keys.setting()]);
    let mut told = String::new();
    let mut problem = |answer: &Answer, status: u16, kind: &str, challenge: &str| {
        answer.is(status, kind);
        assert_eq!(answer.headers["www-authenticate"], challenge);
        told.push_str(&answer.text);
    };

    assert_eq!(post(&api, &key("shop"), &event("o-1")).await.status, 201);
    assert_eq!(get(&api, &key("audit")).await.json()["events"].as_array().map(Vec::len), Some(1));
    let realm = "Bearer realm=\"orderflow\"";
    for path in ["/v1/events", "/v1/events/1-0", "/nowhere"] {
        let answer = send(request(&api, Method::GET, path)).await;
        problem(&answer, 401, "/problems/unauthorized", realm);
    }
    let scope = |scope: &str| format!("{realm}, error=\"insufficient_scope\", scope=\"{scope}\"");
    problem(&get(&api, &key("shop")).await, 403, "/problems/insufficient-scope", &scope("read"));
    let answer = post(&api, &key("audit"), &event("o-2")).await;
    problem(&answer, 403, "/problems/insufficient-scope", &scope("produce"));
    assert_eq!(answer.json()["scope"], "produce");
    problem(&get(&api, &key("boss")).await, 403, "/problems/insufficient-scope", &scope("read"));

    let invalid = format!("{realm}, error=\"invalid_token\"");
    problem(&get(&api, &key("nobody")).await, 401, "/problems/unauthorized", &invalid);
    let answer = get(&api, &key("old")).await;
    problem(&answer, 401, "/problems/key-expired", &invalid);
    assert_eq!(answer.json()["expired_at"], "2020-01-01T00:00:00Z");
    let two =
        request(&api, Method::GET, "/v1/events").bearer_auth(key("shop")).header("x-api-key", key("audit"));
    let invalid = format!("{realm}, error=\"invalid_request\"");
    problem(&send(two).await, 400, "/problems/ambiguous-credentials", &invalid);
    assert_eq!(api.stored_orders().await, ["o-1"]);

    // Wrong keys are slowed down; whoever has a right one is not in the way of that.
    let slowed = async || get(&api, &key("nobody")).await.status == 429;
    for _ in 0..20 {
        slowed().await;
    }
    assert!(slowed().await);
    assert_eq!(get(&api, &key("audit")).await.status, 200);
    for (reason, count) in [("missing", 3.0), ("scope", 3.0), ("expired", 1.0), ("malformed", 1.0)] {
        assert!(
            (api.metric(&format!("auth_failures_total{{reason=\"{reason}\"}}")).await - count).abs() < 0.1
        );
    }
    api.metric_becomes("auth_requests_total{key=\"audit\"}", 2.0).await;

    let metrics = send(reqwest::Client::new().get(format!("http://{}/metrics", api.ops_addr))).await.text;
    let printed = Command::new(env!("CARGO_BIN_EXE_producer-api"))
        .args(["--print-config", "--set", &format!("auth.keys_file={}", keys.setting().1)])
        .args([
            "--set",
            &format!("console.api_key={}", key("shop")),
            "--set",
            &format!("client.api_key={}", key("shop")),
        ])
        .output()
        .expect("it runs");
    assert!(printed.status.success());
    let log = api.process.output();
    assert!(log.contains("a request was refused") && log.contains("\"key\":\"old\""), "{log}");
    let all = log
        + &metrics
        + &told
        + &String::from_utf8_lossy(&printed.stdout)
        + &String::from_utf8_lossy(&printed.stderr);
    for id in ["shop", "audit", "boss", "old", "nobody"] {
        let digest = Digest::of(key(id).as_bytes()).to_hex();
        assert!(!all.contains(&key(id)) && !all.contains(&digest), "the key of {id} appears in {all}");
    }
}

#[tokio::test]
async fn keys_are_rotated_under_load_without_one_request_refused() {
    let keys = Keys::new(&[entry("shop-1", "\"produce\"", "")]);
    let api = Api::with(RedisServer::start().await, &[keys.setting()]);
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let current = Arc::new(std::sync::Mutex::new(key("shop-1")));
    let load = tokio::spawn({
        let (addr, stop, sent, current) =
            (api.addr.clone(), Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&current));
        async move {
            while !stop.load(Ordering::Relaxed) {
                let key = current.lock().expect("no panic").clone();
                let answer = post_to(&addr, &key, &event("o")).await;
                assert_eq!(answer.status, 201, "{}", answer.text);
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let more = async |what: &str| {
        let before = sent.load(Ordering::Relaxed);
        eventually(HANG, what, async || (sent.load(Ordering::Relaxed) > before + 20).then_some(())).await;
    };
    for generation in 2..5 {
        let (old, new) = (format!("shop-{}", generation - 1), format!("shop-{generation}"));
        more("requests go on").await;
        keys.put(&[entry(&old, "\"produce\"", ""), entry(&new, "\"produce\"", "")]);
        eventually(HANG, "the new key is known", async || {
            (post(&api, &key(&new), &event("o")).await.status == 201).then_some(())
        })
        .await;
        more("the old key is good meanwhile").await;
        *current.lock().expect("no panic") = key(&new);
        more("the holder has changed over").await;
        keys.put(&[entry(&new, "\"produce\"", "")]);
        eventually(HANG, "the old key is refused", async || {
            (post(&api, &key(&old), &event("o")).await.status == 401).then_some(())
        })
        .await;
    }
    // A file that cannot be used is told once, and changes nothing.
    keys.put(&["[[auth.keys]]\nid = \"x\"\nsha256 = \"s3cret-in-the-wrong-place\"\n".to_owned()]);
    api.metric_becomes("auth_keys_file_stale", 1.0).await;
    more("requests go on").await;
    stop.store(true, Ordering::Relaxed);
    load.await.expect("no request was refused");
    let log = api.process.output();
    assert_eq!(log.matches("auth.keys_file cannot be used").count(), 1, "{log}");
    assert!(!log.contains("s3cret-in-the-wrong-place"), "{log}");
}

#[tokio::test]
async fn a_rate_limit_is_told_kept_and_counted_by_events() {
    let limit = "rate_per_second = 0.5\nburst = 10";
    let keys = Keys::new(&[entry("slow", "\"produce\"", limit), entry("free", "\"produce\"", "")]);
    let api = Api::with(RedisServer::start().await, &[keys.setting()]);
    let answer = post(&api, &key("slow"), &batch("a", 4)).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.headers["ratelimit-policy"], "\"key\";q=10;w=20");
    assert_eq!(answer.headers["ratelimit"], "\"key\";r=6;t=8");

    let answer = post(&api, &key("slow"), &batch("b", 11)).await;
    answer.is(422, "/problems/batch-exceeds-rate-limit");
    assert_eq!((&answer.json()["burst"], &answer.json()["stored"]), (&json!(10), &json!("no")));
    let answer = post(&api, &key("slow"), &batch("c", 10)).await;
    answer.is(429, "/problems/rate-limited");
    assert_eq!(
        (&answer.json()["violated-policies"], &answer.json()["stored"]),
        (&json!(["key"]), &json!("no"))
    );
    let wait: u64 = answer.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=20).contains(&wait), "{wait}");
    assert!(answer.headers.contains_key("ratelimit"));
    assert_eq!(api.stored_orders().await.len(), 4, "nothing was written of what was refused");

    // Others are not concerned, and tell of no limit.
    let answer = post(&api, &key("free"), &batch("d", 50)).await;
    assert!(answer.status == 201 && !answer.headers.contains_key("ratelimit"));
    api.metric_becomes("auth_rate_limited_total{key=\"slow\"}", 2.0).await;
}

#[test]
fn a_port_that_others_can_reach_needs_keys_or_a_word() {
    let start = |settings: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_producer-api"));
        command.env_remove("REDIS_URL").args(["--set", "producer.ops_listen=127.0.0.1:0"]);
        // A Redis that is nowhere: it is not needed to be refused.
        command.args(["--redis-url", "redis://127.0.0.1:1/", "--set", "producer.listen=0.0.0.0:0"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        command
    };
    let refused = start(&[]).output().expect("it runs");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{text}");
    assert!(text.contains("producer.listen (--set producer.listen): 0.0.0.0:0 can be reached"), "{text}");
    assert!(text.contains("orderflow key new") && text.contains("ORDERFLOW__AUTH__MODE=off"), "{text}");
}

#[tokio::test]
async fn with_a_word_everybody_is_let_in_and_a_key_does_no_harm() {
    let settings = [("auth.mode", "off"), ("producer.listen", "0.0.0.0:0")];
    let api = Api::with(RedisServer::start().await, &settings);
    assert_eq!(post(&api, "anything", &event("o-1")).await.status, 201);
    assert_eq!(api.post(&event("o-2")).await.status, 201);
}

#[tokio::test]
async fn nothing_that_is_sent_can_forge_a_line_of_the_log() {
    // Every line must be JSON: the reader of the log would panic otherwise, and the output be cut short.
    let keys = Keys::new(&[entry("shop", "\"produce\"", "")]);
    let api = Api::with(RedisServer::start().await, &[keys.setting(), ("log.filter", "trace")]);
    let evil = "\n{\"level\":\"ERROR\",\"message\":\"forged\"}\r\n\u{1b}[2Jforged\u{2028}\u{202e}";
    let mut forged = event("o-1");
    forged["order_id"] = evil.into();
    forged["customer"] = evil.into();
    forged["note"] = evil.into();
    assert_eq!(post(&api, &key("shop"), &forged).await.status, 422);
    let escaped = "/v1/events/%0a%7b%22message%22:%22forged%22%7d%1b%5b2J";
    assert_eq!(send(request(&api, Method::GET, escaped)).await.status, 401);
    let mut noted = event("o-2");
    noted["note"] = evil.into();
    assert_eq!(post(&api, &key("shop"), &noted).await.status, 201, "a further field may hold any text");
    let header = request(&api, Method::GET, "/v1/events").header("user-agent", "\u{e9}\tforged{\"a\":1}");
    assert_eq!(send(header).await.status, 401);
    let log = api.process.output();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("a JSON line");
        assert!(line["message"] != "forged", "{line}");
    }
    assert!(!log.contains('\u{1b}') && log.lines().count() > 3, "{log}");
}

#[tokio::test]
async fn each_caller_has_idempotency_keys_of_its_own() {
    let keys = Keys::new(&[entry("shop", "\"produce\"", ""), entry("market", "\"produce\"", "")]);
    let api = Api::with(RedisServer::start().await, &[keys.setting()]);
    let sent = async |caller: &str, order: &str| {
        let request = request(&api, Method::POST, "/v1/events").bearer_auth(key(caller));
        let answer = send(request.header("idempotency-key", "k").json(&event(order))).await;
        (answer.status, answer.headers.contains_key("idempotency-replayed"))
    };
    assert_eq!(sent("shop", "o-1").await, (201, false));
    assert_eq!(sent("market", "o-2").await, (201, false), "a key of somebody else's");
    assert_eq!(sent("shop", "o-1").await, (201, true));
    assert_eq!(sent("market", "o-1").await, (409, false));
    assert_eq!(api.stored_orders().await, ["o-1", "o-2"]);
}
