//! API keys: who gets in with one, how far, until when; and what the console itself presents to the others.

use std::{fs, path::Path};

use reqwest::Method;
use serde_json::json;
use service_kit::auth::Digest;
use testkit::{eventually, free_port};

use crate::{
    bench::{Bench, SOON, Service, sibling},
    http::read,
};

const TOKEN: &str = "console-token-0123456789";

fn key(id: &str) -> String {
    format!("ofk_{id}_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG")
}

fn entry(id: &str, scopes: &str) -> String {
    let sha256 = Digest::of(key(id).as_bytes()).to_hex();
    format!("[[auth.keys]]\nid = \"{id}\"\nsha256 = \"{sha256}\"\nscopes = [{scopes}]\n")
}

/// Puts another file in its place, as one should.
fn put(path: &Path, entries: &[String]) {
    let new = path.with_extension("new");
    fs::write(&new, entries.concat()).unwrap();
    fs::rename(new, path).unwrap();
}

#[tokio::test]
async fn a_key_lets_in_as_far_as_its_scope_goes_and_as_long_as_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.toml");
    let (boss, guest, shop) =
        (entry("boss", "\"admin\""), entry("guest", "\"read\""), entry("shop", "\"produce\""));
    put(&path, &[boss.clone(), guest, shop]);
    let keys_file = path.to_str().unwrap();
    let bench = Bench::start(&[("AUTH__KEYS_FILE", keys_file), ("CONSOLE__TOKEN", TOKEN)]).await;
    let with_key = |key: &str, method: Method, path: &str| {
        let request = bench.client.request(method, path).header("authorization", format!("Bearer {key}"));
        request.json(&json!({ "maxlen": 5 }))
    };
    let status = async |key: &str, method: Method, path: &str| read(with_key(key, method, path)).await.status;

    assert_eq!(bench.get("/api/state").await.problem(), (401, "/problems/unauthorized".to_owned()));
    for full in [key("boss"), TOKEN.to_owned()] {
        assert_eq!(status(&full, Method::GET, "/api/state").await, 200);
        assert_eq!(status(&full, Method::POST, "/api/trim").await, 200);
        assert_eq!(read(with_key(&full, Method::GET, "/api/session")).await.ok()["read_only"], false);
    }
    assert_eq!(status(&key("guest"), Method::GET, "/api/state").await, 200);
    let refused = read(with_key(&key("guest"), Method::POST, "/api/trim")).await;
    assert_eq!(refused.problem(), (403, "/problems/insufficient-scope".to_owned()));
    assert_eq!(refused.json()["scope"], "admin");
    assert_eq!(read(with_key(&key("guest"), Method::GET, "/api/session")).await.ok()["read_only"], true);
    let refused = read(with_key(&key("shop"), Method::GET, "/api/state")).await;
    assert_eq!(refused.problem(), (403, "/problems/insufficient-scope".to_owned()));
    assert_eq!(status(&key("nobody"), Method::GET, "/api/state").await, 401);

    // The same with a login in the browser.
    let login = async |key: &str| bench.post("/api/login", json!({ "token": key })).await;
    assert_eq!(login(&key("shop")).await.problem(), (403, "/problems/insufficient-scope".to_owned()));
    assert_eq!(login(&key("nobody")).await.problem(), (401, "/problems/wrong-token".to_owned()));
    let cookie = async |key: &str| {
        let login = login(key).await;
        assert_eq!(login.status, 204);
        login.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    };
    let (boss_cookie, guest_cookie, token_cookie) =
        (cookie(&key("boss")).await, cookie(&key("guest")).await, cookie(TOKEN).await);
    let with_cookie = async |cookie: &str, method: Method, path: &str| {
        let request = bench.client.request(method, path).header("cookie", cookie);
        read(request.json(&json!({ "maxlen": 5 }))).await
    };
    assert_eq!(with_cookie(&boss_cookie, Method::POST, "/api/trim").await.status, 200);
    assert_eq!(with_cookie(&guest_cookie, Method::GET, "/api/state").await.status, 200);
    assert_eq!(with_cookie(&guest_cookie, Method::POST, "/api/trim").await.status, 403);
    assert_eq!(with_cookie(&guest_cookie, Method::GET, "/api/session").await.ok()["read_only"], true);

    // A session ends with its key.
    put(&path, &[boss]);
    eventually(SOON, "the guest's session has ended", async || {
        (with_cookie(&guest_cookie, Method::GET, "/api/state").await.status == 401).then_some(())
    })
    .await;
    assert_eq!(with_cookie(&boss_cookie, Method::GET, "/api/state").await.status, 200);
    assert_eq!(with_cookie(&token_cookie, Method::GET, "/api/state").await.status, 200);
}

#[tokio::test]
async fn wrong_tokens_are_slowed_down_without_keys_too() {
    let bench = Bench::start(&[("CONSOLE__TOKEN", TOKEN)]).await;
    let with = |token: &str| {
        bench.client.request(Method::GET, "/api/state").header("authorization", format!("Bearer {token}"))
    };
    for _ in 0..10 {
        assert_eq!(read(with("wrong")).await.status, 401);
    }
    let slowed = read(with("wrong")).await;
    assert_eq!(slowed.problem(), (429, "/problems/too-many-attempts".to_owned()));
    assert!(slowed.headers.contains_key("retry-after"));
    assert_eq!(read(with(TOKEN)).await.status, 200);
    assert_eq!(
        bench.post("/api/login", json!({ "token": TOKEN })).await.status,
        204,
        "logins are counted apart"
    );
}

#[tokio::test]
async fn the_console_presents_its_own_key_and_says_so_where_it_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.toml");
    put(&path, &[entry("console", "\"produce\", \"read\", \"admin\""), entry("reader", "\"read\"")]);
    let keys_file = path.to_str().unwrap();
    for (own, status, detail) in [
        (key("console"), 201, ""),
        (key("reader"), 502, "has not the scopes"),
        (key("nobody"), 502, "is not known there"),
        (String::new(), 502, "console has none"),
    ] {
        let producer = format!("127.0.0.1:{}", free_port());
        let url = format!("http://{producer}");
        let bench = Bench::start(&[
            ("CONSOLE__PRODUCER_URL", &url),
            ("CONSOLE__API_KEY", &own),
            ("CONSOLE__TOKEN", TOKEN),
            ("PRODUCER__LISTEN", &producer),
            ("AUTH__KEYS_FILE", keys_file),
        ])
        .await;
        let service = Service::start(&sibling("producer-api"), "PRODUCER", &bench.settings(&[]));
        service.ready().await;
        let request = bench
            .client
            .request(Method::POST, "/api/produce")
            .header("authorization", format!("Bearer {TOKEN}"));
        let answer = read(request.json(&json!({ "count": 3 }))).await;
        if status == 201 {
            assert!(answer.status < 300, "{answer:?}");
            assert_eq!(bench.stream.info().await.unwrap().length, 3);
        } else {
            assert_eq!(
                answer.problem(),
                (status, "/problems/upstream-unauthorized".to_owned()),
                "{answer:?}"
            );
            let told = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(told.contains(detail) && told.contains("ORDERFLOW__CONSOLE__API_KEY"), "{told}");
            assert!(own.is_empty() || !answer.text.contains(&own));
        }
    }
}
