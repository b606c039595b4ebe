//! From configuration to answers: who is let in, who is not, and what either is told.

use std::{fs, net::IpAddr, path::Path, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, Method},
    response::Response,
    routing::post,
};
use prometheus::{Registry, TextEncoder};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use super::*;
use crate::{
    Problem,
    config::{ConfigArgs, Resolved},
};

const LOOPBACK: (&str, &str) = ("producer.listen", "127.0.0.1:8080");
const FROM: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));

fn entry(id: &str, key: &str, more: &str) -> String {
    let sha256 = Digest::of(key.as_bytes()).to_hex();
    format!("[[auth.keys]]\nid = {id:?}\nsha256 = {sha256:?}\n{more}\n")
}

fn load(settings: &[&str], file: &str, listeners: &[(&'static str, &str)]) -> Result<Startup, String> {
    let config = tempfile::NamedTempFile::new().unwrap();
    fs::write(config.path(), file).unwrap();
    let args = ConfigArgs {
        config: Some(config.path().to_owned()),
        set: settings.iter().map(ToString::to_string).collect(),
        ..ConfigArgs::default()
    };
    let resolved = Resolved::load(&args, []).map_err(|errors| errors.to_string())?;
    let listeners: Vec<_> = listeners.iter().map(|(key, addr)| (*key, addr.parse().unwrap())).collect();
    Startup::load(&resolved, &listeners).map_err(|errors| errors.to_string())
}

fn authenticator(file: &str) -> (Authenticator, Registry) {
    let registry = Registry::new();
    let startup = load(&[], file, &[LOOPBACK]).unwrap();
    (Authenticator::new(&startup, &registry).unwrap(), registry)
}

fn bearer(key: &str) -> HeaderMap {
    HeaderMap::from_iter([(axum::http::header::AUTHORIZATION, format!("Bearer {key}").parse().unwrap())])
}

fn metrics(registry: &Registry) -> String {
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}

#[test]
fn a_process_is_never_open_by_accident() {
    let key = entry("a", "k", "scopes = [\"read\"]");
    let open = ("producer.listen", "0.0.0.0:8080");
    let required = |settings: &[&str], file: &str, listeners: &[(&'static str, &str)]| {
        load(settings, file, listeners).map(|startup| startup.keys_are_required())
    };
    assert_eq!(required(&[], "", &[LOOPBACK, ("x.ops_listen", "[::1]:1")]), Ok(false));
    assert_eq!(required(&[], &key, &[LOOPBACK]), Ok(true));
    assert_eq!(required(&[], &key, &[open]), Ok(true));
    assert_eq!(required(&["auth.mode=off"], &key, &[open]), Ok(false));
    assert_eq!(required(&["auth.mode=keys"], &key, &[open]), Ok(true));

    for addr in ["0.0.0.0:8080", "10.0.0.1:8080", "[::]:8080", "[::ffff:10.0.0.1]:8080"] {
        let refused = required(&[], "", &[LOOPBACK, ("producer.ops_listen", addr)]).unwrap_err();
        assert!(refused.starts_with("producer.ops_listen (default): "), "{refused}");
        for remedy in ["127.0.0.1:8080", "orderflow key new", "auth.keys_file", "ORDERFLOW__AUTH__MODE=off"] {
            assert!(refused.contains(remedy), "{remedy}: {refused}");
        }
    }
    let refused = required(&["auth.mode=keys"], "", &[LOOPBACK]).unwrap_err();
    assert!(refused.starts_with("auth.mode (--set auth.mode): a key is asked for"), "{refused}");
}

#[test]
fn a_file_of_keys_that_cannot_be_used_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.toml");
    let start = |text: Option<&str>| {
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        load(&[&format!("auth.keys_file={}", path.display())], "", &[LOOPBACK])
            .map(|startup| startup.keys_are_required())
    };
    assert!(start(None).unwrap_err().contains("cannot be read"));
    assert!(start(Some("")).unwrap_err().contains("it is empty"));
    assert!(start(Some("auth.keys = []")).unwrap_err().contains("a key is asked for"));
    let refused = start(Some("[redis]\nurl = \"redis://h/\"")).unwrap_err();
    assert!(refused.contains("redis.url: does not belong here"), "{refused}");
    let with_secret = "[[auth.keys]]\nid = \"a\"\nsha256 = \"ofk_a_s3cret\"\nscopes = [\"write\"]";
    let refused = start(Some(with_secret)).unwrap_err();
    assert!(refused.contains("auth.keys[0].sha256: the value is not allowed"), "{refused}");
    assert!(refused.contains("auth.keys[0].scopes: the value is not allowed"), "{refused}");
    assert!(!refused.contains("s3cret"), "{refused}");
    assert_eq!(start(Some(&entry("a", "k", "scopes = [\"read\"]"))), Ok(true));
}

#[test]
fn each_scope_is_for_itself_and_each_refusal_is_told_and_counted() {
    let file = [
        entry("shop", "shop-key", "scopes = [\"produce\"]"),
        entry("both", "both-key", "scopes = [\"read\", \"admin\"]\nexpires = \"2999-01-01T00:00:00Z\""),
        entry("old", "old-key", "scopes = [\"produce\"]\nexpires = \"2020-01-01T00:00:00Z\""),
    ];
    let (auth, registry) = authenticator(&file.concat());
    let admit =
        |key: &str, scope| auth.admit(&bearer(key), FROM, scope).map(|caller| caller.id().map(str::to_owned));
    assert_eq!(admit("shop-key", Scope::Produce), Ok(Some("shop".to_owned())));
    assert_eq!(admit("both-key", Scope::Admin), Ok(Some("both".to_owned())));
    assert_eq!(admit("shop-key", Scope::Read), Err(Refusal::MissingScope(Scope::Read)));
    assert_eq!(admit("both-key", Scope::Produce), Err(Refusal::MissingScope(Scope::Produce)));
    assert_eq!(admit("shop-keY", Scope::Produce), Err(Refusal::Unknown));
    assert_eq!(admit("", Scope::Produce), Err(Refusal::Missing));
    assert!(matches!(admit("old-key", Scope::Produce), Err(Refusal::Expired(_))));
    let mut two = bearer("shop-key");
    two.insert(API_KEY, "both-key".parse().unwrap());
    assert_eq!(auth.admit(&two, FROM, Scope::Read).unwrap_err(), Refusal::Ambiguous);

    let metrics = metrics(&registry);
    for (reason, count) in
        [("missing", 1), ("malformed", 1), ("unknown", 1), ("expired", 1), ("scope", 2), ("slowed", 0)]
    {
        let line = format!("auth_failures_total{{reason=\"{reason}\"}} {count}");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    for secret in ["shop-key", "both-key", "old-key"] {
        assert!(!metrics.contains(secret) && !format!("{auth:?}").contains(secret), "{secret}");
    }
}

#[test]
fn a_refusal_says_how_to_be_let_in_as_rfc_6750_has_it() {
    let told = |refusal: Refusal| (refusal.challenge(), refusal.problem());
    let (challenge, problem) = told(Refusal::Missing);
    assert_eq!(challenge.as_deref(), Some("Bearer realm=\"orderflow\""));
    assert_eq!((problem.status().as_u16(), problem.kind()), (401, "/problems/unauthorized"));
    let (challenge, problem) = told(Refusal::Unknown);
    assert_eq!(challenge.as_deref(), Some("Bearer realm=\"orderflow\", error=\"invalid_token\""));
    assert_eq!((problem.status().as_u16(), problem.kind()), (401, "/problems/unauthorized"));
    let (challenge, problem) = told(Refusal::MissingScope(Scope::Admin));
    let scope = "Bearer realm=\"orderflow\", error=\"insufficient_scope\", scope=\"admin\"";
    assert_eq!(challenge.as_deref(), Some(scope));
    assert_eq!((problem.status().as_u16(), &problem.to_json()["scope"]), (403, &"admin".into()));
    let (challenge, problem) = told(Refusal::Slowed(Duration::from_secs(3)));
    assert_eq!((challenge, problem.status().as_u16()), (None, 429));
}

#[test]
fn guessing_is_slowed_down_and_hinders_nobody_who_has_a_key() {
    let (auth, _) = authenticator(&entry("a", "right", "scopes = [\"read\"]"));
    for guess in 0..10 {
        assert_eq!(auth.identify(&bearer(&format!("wrong-{guess}")), FROM).unwrap_err(), Refusal::Unknown);
    }
    assert!(matches!(auth.identify(&bearer("wrong"), FROM), Err(Refusal::Slowed(_))));
    assert!(auth.identify(&bearer("right"), FROM).is_ok(), "others may share the address");
    assert_eq!(auth.identify(&bearer("wrong"), Some([10, 0, 0, 2].into())).unwrap_err(), Refusal::Unknown);
}

#[test]
fn without_keys_nothing_is_asked_and_nothing_is_known() {
    let (auth, _) = authenticator("");
    let caller = auth.admit(&bearer("whatever"), FROM, Scope::Admin).unwrap();
    assert_eq!(caller.id(), None);
    assert!(auth.recognise(&bearer("whatever")).is_none());
    assert!(caller.charge(u32::MAX).is_ok(), "there is no limit");
}

#[test]
fn a_batch_costs_as_many_as_it_has_events() {
    let limited = "scopes = [\"produce\"]\nrate_per_second = 0.01\nburst = 10";
    let (auth, registry) = authenticator(&entry("a", "k", limited));
    let enter = || {
        let caller = auth.identify(&bearer("k"), FROM).unwrap();
        caller.enter().map(|()| caller)
    };
    let caller = enter().unwrap();
    let over = caller.charge(11).unwrap_err();
    assert_eq!(over.retry_after, None);
    let problem = Problem::from(over);
    let kind = (problem.status().as_u16(), problem.kind());
    assert_eq!(kind, (422, "/problems/batch-exceeds-rate-limit"));
    assert!(problem.message().contains("at most 10 in a batch"), "{problem:?}");
    // The request has paid for the first of three; one and two more make three of ten.
    caller.charge(3).unwrap();
    // Nothing of a batch that does not fit is taken: the next one fits exactly.
    let over = enter().unwrap().charge(8).unwrap_err();
    assert!(over.retry_after.is_some_and(|wait| wait > Duration::from_secs(100)), "{over:?}");
    enter().unwrap().charge(6).unwrap();
    let over = enter().unwrap_err();
    assert_eq!(Problem::from(over).status().as_u16(), 429);
    let metrics = metrics(&registry);
    assert!(metrics.contains("auth_rate_limited_total{key=\"a\"} 3"), "{metrics}");
    assert!(metrics.contains("auth_requests_total{key=\"a\"} 3"), "{metrics}");
}

#[test]
fn with_a_rate_for_everybody_all_share_it_and_only_where_no_key_is_asked_for() {
    let registry = Registry::new();
    let startup = load(&["auth.anonymous_rate_per_second=0.001"], "", &[LOOPBACK]).unwrap();
    let auth = Authenticator::new(&startup, &registry).unwrap();
    let caller = auth.identify(&HeaderMap::new(), FROM).unwrap();
    caller.enter().unwrap();
    caller.charge(1_000).unwrap();
    let other = auth.identify(&HeaderMap::new(), Some([10, 0, 0, 2].into())).unwrap();
    assert!(other.enter().unwrap_err().retry_after.is_some());
    assert!(metrics(&registry).contains("auth_rate_limited_total{key=\"anonymous\"} 1"));
}

async fn asked(router: &Router, method: Method, path: &str, headers: HeaderMap) -> Response {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    *request.headers_mut() = headers;
    router.clone().call(request).await.unwrap()
}

#[tokio::test]
async fn a_router_behind_it_is_closed_to_its_last_path_and_tells_the_limits() {
    let limited = "scopes = [\"produce\"]\nrate_per_second = 0.01\nburst = 2";
    let (auth, _) = authenticator(&entry("a", "k", limited));
    let who = |caller: Caller| async move { caller.id().unwrap_or_default().to_owned() };
    let router: Router = auth.protect(Router::new().route("/in", post(who)), read_or_produce);
    let router = router.route("/open", post(|| async { "open" }));
    for path in ["/in", "/nowhere"] {
        let refused = asked(&router, Method::POST, path, HeaderMap::new()).await;
        assert_eq!(refused.status(), 401, "{path}");
        assert_eq!(refused.headers()["www-authenticate"], "Bearer realm=\"orderflow\"");
        assert!(!refused.headers().contains_key("ratelimit"));
    }
    assert_eq!(asked(&router, Method::POST, "/open", HeaderMap::new()).await.status(), 200);
    assert_eq!(asked(&router, Method::GET, "/in", bearer("k")).await.status(), 403, "it may not read");

    let first = asked(&router, Method::POST, "/in", bearer("k")).await;
    assert_eq!(first.status(), 200);
    assert_eq!(first.headers()["ratelimit-policy"], "\"key\";q=2;w=200");
    assert_eq!(first.headers()["ratelimit"], "\"key\";r=1;t=100");
    let second = asked(&router, Method::POST, "/nowhere", bearer("k")).await;
    assert_eq!(
        (second.status().as_u16(), &second.headers()["ratelimit"]),
        (404, &"\"key\";r=0;t=200".parse().unwrap())
    );
    let third = asked(&router, Method::POST, "/in", bearer("k")).await;
    assert_eq!(
        (third.status().as_u16(), &third.headers()["ratelimit"]),
        (429, &"\"key\";r=0;t=200".parse().unwrap())
    );
    let retry_after: u64 = third.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=100).contains(&retry_after), "{retry_after}");
}

/// Puts another file in its place, as one should.
fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[tokio::test]
async fn keys_come_and_go_with_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.toml");
    let limited = "scopes = [\"read\"]\nrate_per_second = 0.01\nburst = 3";
    fs::write(&path, entry("one", "k1", limited)).unwrap();
    let startup = load(&[&format!("auth.keys_file={}", path.display())], "", &[LOOPBACK]).unwrap();
    let registry = Registry::new();
    let auth = Authenticator::new(&startup, &registry).unwrap();
    let stop = CancellationToken::new();
    let watching = tokio::spawn(startup.watch(auth.clone(), stop.clone()));
    let knows = |key: &str| auth.recognise(&bearer(key)).is_some();
    let becomes = async |what: &str, is: &dyn Fn() -> bool| {
        testkit::eventually(Duration::from_secs(20), what, async || is().then_some(())).await;
    };
    let first = auth.identify(&bearer("k1"), FROM).unwrap();
    first.enter().unwrap();
    first.charge(3).unwrap();
    assert!(knows("k1") && !knows("k2"));

    put(&path, &(entry("one", "k1", limited) + &entry("two", "k2", "scopes = [\"read\"]")));
    becomes("the second key is known", &|| knows("k2")).await;
    assert!(knows("k1") && metrics(&registry).contains("auth_keys 2"));
    let again = auth.identify(&bearer("k1"), FROM).unwrap();
    assert!(again.enter().is_err(), "what a key has used up is not given back");

    put(&path, "nonsense");
    becomes("the file is told to be stale", &|| metrics(&registry).contains("auth_keys_file_stale 1")).await;
    assert!(knows("k1") && knows("k2"), "the keys of before stay");
    fs::remove_file(&path).unwrap();

    put(&path, &entry("two", "k2", "scopes = [\"read\"]"));
    becomes("the first key is gone", &|| !knows("k1")).await;
    assert!(knows("k2") && !auth.still_admits(&first, Scope::Read));
    let text = metrics(&registry);
    assert!(text.contains("auth_keys_file_stale 0") && !text.contains("key=\"one\""), "{text}");

    // Written in place, without a rename.
    fs::write(&path, "auth.keys = []\n").unwrap();
    becomes("no key is left", &|| !knows("k2")).await;
    assert!(auth.is_required(), "and yet one is asked for");
    stop.cancel();
    watching.await.unwrap();
}
