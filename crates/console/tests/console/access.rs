//! Who may do what: login, tokens, other pages, other names, read-only mode.

use std::net::IpAddr;

use reqwest::Method;
use serde_json::json;

use crate::{
    bench::{Bench, SOON},
    http::{listen, read},
};

const TOKEN: &str = "console-token-0123456789";

#[tokio::test]
async fn with_a_token_only_who_has_it_gets_in_and_a_login_is_as_good() {
    let bench = Bench::start(&[("CONSOLE__TOKEN", TOKEN)]).await;
    let session = bench.get("/api/session").await.ok();
    assert_eq!((&session["login_required"], &session["logged_in"]), (&json!(true), &json!(false)));
    assert_eq!(bench.get("/").await.status, 200, "the page itself needs no login");
    for (method, path) in [
        (Method::GET, "/api/state"),
        (Method::GET, "/api/live"),
        (Method::GET, "/api/tail"),
        (Method::GET, "/api/server"),
        (Method::POST, "/api/trim"),
        (Method::DELETE, "/api/groups/g/consumers/a"),
    ] {
        let answer = bench.client.send(method.clone(), path, None).await;
        assert_eq!(answer.problem(), (401, "/problems/unauthorized".to_owned()), "{path}");
        for wrong in ["Bearer wrong", "Basic console-token-0123456789", "Bearer "] {
            let request = bench.client.request(method.clone(), path).header("authorization", wrong);
            assert_eq!(read(request).await.status, 401, "{path}");
        }
    }
    let demo = bench.get("/state").await;
    assert_eq!((demo.status, demo.json()["error"].is_string()), (401, true));

    let with_token = |path: &str| {
        bench.client.request(Method::GET, path).header("authorization", format!("Bearer {TOKEN}"))
    };
    assert_eq!(read(with_token("/api/state")).await.status, 200);
    assert_eq!(read(with_token("/state")).await.status, 200);

    let wrong = bench.post("/api/login", json!({ "token": "wrong" })).await;
    assert_eq!(wrong.problem(), (401, "/problems/wrong-token".to_owned()));
    let login = bench.post("/api/login", json!({ "token": TOKEN })).await;
    assert_eq!(login.status, 204);
    let cookie = login.headers["set-cookie"].to_str().unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let with_cookie =
        |method: Method, path: &str| bench.client.request(method, path).header("cookie", &cookie);
    assert_eq!(read(with_cookie(Method::GET, "/api/state")).await.status, 200);
    assert_eq!(read(with_cookie(Method::GET, "/api/session")).await.ok()["logged_in"], true);
    assert_eq!(read(with_cookie(Method::POST, "/api/logout")).await.status, 204);
    assert_eq!(read(with_cookie(Method::GET, "/api/state")).await.status, 401);
}

#[tokio::test]
async fn who_listens_is_cut_off_with_the_login() {
    let bench = Bench::start(&[("CONSOLE__TOKEN", TOKEN)]).await;
    let login = bench.post("/api/login", json!({ "token": TOKEN })).await;
    let cookie = login.headers["set-cookie"].to_str().unwrap();
    assert!(!cookie.contains("Max-Age"), "the session knows how long it lasts: {cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let with_cookie =
        |method: Method, path: &str| bench.client.request(method, path).header("cookie", &cookie);
    let mut live = listen(with_cookie(Method::GET, "/api/live")).await;
    let mut tail = listen(with_cookie(Method::GET, "/api/tail")).await;
    live.find("state", |_| true).await;
    live.find("state", |_| true).await;
    assert_eq!(read(with_cookie(Method::POST, "/api/logout")).await.status, 204);
    let ended = async {
        while live.next().await.is_some() {}
        while tail.next().await.is_some() {}
    };
    tokio::time::timeout(SOON, ended).await.expect("nothing is told any more");
}

#[tokio::test]
async fn guessing_is_slowed_down_for_the_one_who_guesses() {
    let bench = Bench::start(&[("CONSOLE__TOKEN", TOKEN)]).await;
    for _ in 0..10 {
        assert_eq!(bench.post("/api/login", json!({ "token": "guess" })).await.status, 401);
    }
    let answer = bench.post("/api/login", json!({ "token": TOKEN })).await;
    assert_eq!(answer.problem(), (429, "/problems/too-many-logins".to_owned()));
    assert!(answer.headers.contains_key("retry-after"));
    // From another address nothing was tried.
    let other = reqwest::Client::builder().no_proxy().local_address(IpAddr::from([127, 0, 0, 2]));
    let other = other.build().unwrap().post(format!("{}/api/login", bench.client.base));
    assert_eq!(read(other.json(&json!({ "token": TOKEN }))).await.status, 204);
    // Whoever has the token already is not in the way of that.
    let request =
        bench.client.request(Method::GET, "/api/state").header("authorization", format!("Bearer {TOKEN}"));
    assert_eq!(read(request).await.status, 200);
}

#[tokio::test]
async fn other_pages_cannot_change_anything_and_strange_names_lead_nowhere() {
    let bench = Bench::start(&[("CONSOLE__ALLOWED_HOSTS", "console.example")]).await;
    let own = bench.client.base.clone();
    let trim = |headers: &[(&str, &str)]| {
        let request = bench.client.request(Method::POST, "/api/trim").json(&json!({ "maxlen": 5 }));
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    for headers in [
        &[][..],
        &[("origin", own.as_str())],
        &[("origin", own.as_str()), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
    ] {
        assert_eq!(read(trim(headers)).await.status, 200, "{headers:?}");
    }
    for headers in [
        &[("origin", "http://evil.example")][..],
        &[("origin", "null")],
        &[("origin", own.as_str()), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
    ] {
        assert_eq!(
            read(trim(headers)).await.problem(),
            (403, "/problems/cross-origin".to_owned()),
            "{headers:?}"
        );
    }
    // The guide's routes take forms, which any page could send.
    let form = bench.client.request(Method::POST, "/trim").header("origin", "http://evil.example");
    let form = form.header("content-type", "application/x-www-form-urlencoded").body("maxlen=0");
    assert_eq!(read(form).await.status, 403);

    let named = |host: &str| bench.client.request(Method::GET, "/api/state").header("host", host);
    for host in ["localhost:1", "127.0.0.1", "[::1]:8788", "console.example:8788"] {
        assert_eq!(read(named(host)).await.status, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example"] {
        assert_eq!(read(named(host)).await.problem(), (403, "/problems/unknown-host".to_owned()), "{host}");
    }
    let page = bench.client.request(Method::GET, "/").header("host", "evil.example");
    assert_eq!(read(page).await.status, 403);
}

#[tokio::test]
async fn in_read_only_mode_everything_is_seen_and_nothing_changed() {
    let bench = Bench::start(&[("CONSOLE__READ_ONLY", "true"), ("CONSOLE__DEMO", "true")]).await;
    bench.append("o-1", "").await;
    assert_eq!(bench.get("/api/session").await.ok()["read_only"], true);
    assert_eq!(bench.state().await["stream"]["length"], 1);
    for (method, path) in [
        (Method::POST, "/api/produce"),
        (Method::POST, "/api/groups/g/consumers"),
        (Method::DELETE, "/api/groups/g/consumers/a"),
        (Method::POST, "/api/groups/g/consumers/a/pause"),
        (Method::POST, "/api/groups/g/consumers/a/claim"),
        (Method::POST, "/api/groups/g/claiming"),
        (Method::POST, "/api/groups/g/dead-letters/purge"),
        (Method::POST, "/api/groups/g/dead-letters/redrive"),
        (Method::POST, "/api/trim"),
        (Method::POST, "/api/reset"),
    ] {
        let answer = bench.client.send(method, path, Some(json!({ "maxlen": 0 }))).await;
        assert_eq!(answer.problem(), (403, "/problems/read-only".to_owned()), "{path}");
    }
    for path in ["/produce", "/add-worker", "/remove-worker", "/crash", "/autoclaim", "/trim", "/reset"] {
        let answer = bench.client.form(path, "maxlen=0").await;
        assert_eq!((answer.status, answer.json()["error"].is_string()), (403, true), "{path}");
    }
    assert_eq!(bench.stream.info().await.unwrap().length, 1);
    assert_eq!(bench.post("/api/login", json!({ "token": "x" })).await.status, 204);
}
