//! The router without a server: every route is in the OpenAPI document, and nothing else is; what waits for nobody.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{Method, StatusCode},
};
use futures_util::future::join_all;
use prometheus::Registry;
use service_kit::{
    Context, Readiness, Redis, Settings, auth::Authenticator, config::RedisUrl, http::Listeners,
    ops::OpsRoutes,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use super::{document, route_names, router};
use crate::{app::App, levers::reset::reset, service};

/// A console whose Redis is nowhere.
fn app() -> App {
    let mut settings = Settings::default();
    settings.console.demo = true;
    settings.redis.url = RedisUrl::new("redis://127.0.0.1:1");
    settings.console.allowed_hosts.push("test".to_owned());
    let registry = Registry::new();
    let context = Context {
        settings: Arc::new(settings),
        auth: Authenticator::open(&registry).unwrap(),
        registry,
        readiness: Readiness::new([]),
        listeners: Listeners::default(),
        ops: OpsRoutes::default(),
        shutdown: CancellationToken::new(),
    };
    let redis = Redis::open(&context).unwrap();
    service::app(&context, &redis).unwrap()
}

/// The paths that the router knows, as it prints itself.
fn paths(router: &Router) -> BTreeSet<String> {
    let printed = format!("{router:?}");
    let quoted = printed.split('"').skip(1).step_by(2);
    quoted.filter(|text| text.starts_with('/') && !text.contains("__private")).map(str::to_owned).collect()
}

/// The route, unless its path does not take the method.
async fn asked(router: &Router, method: &Method, path: &str) -> Option<String> {
    let uri = path.replace("{*path}", "x").replace(['{', '}'], "");
    // Without a body that fits, nothing is done.
    let request = Request::builder().method(method).uri(uri).header("host", "test");
    let request = request.header("content-type", "text/plain").body(Body::from("x")).unwrap();
    let response = router.clone().call(request).await.unwrap();
    (response.status() != StatusCode::METHOD_NOT_ALLOWED).then(|| format!("{method} {path}"))
}

#[tokio::test]
async fn every_route_is_documented_and_nothing_else_is() {
    let router = router(app());
    let paths = paths(&router);
    assert!(
        paths.contains("/api/state") && paths.contains("/"),
        "the router does not print its routes any more"
    );
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let all = paths.iter().flat_map(|path| methods.iter().map(move |method| (method, path)));
    let asked = join_all(all.map(|(method, path)| asked(&router, method, path))).await;
    let served: BTreeSet<String> = asked.into_iter().flatten().collect();
    let documented: BTreeSet<String> = route_names().into_iter().collect();
    assert_eq!(served, documented);
}

#[tokio::test]
async fn a_reset_that_nobody_waits_for_any_more_does_not_begin() {
    let app = app();
    let under_way = app.resetting.lock().await;
    let second = timeout(Duration::from_millis(50), reset(&app)).await;
    assert!(second.is_err(), "it waits for its turn");
    drop(under_way);
    // Whoever was in the queue would have it now.
    assert!(app.resetting.try_lock().is_ok(), "nothing is left that would wipe the stream later");
}

#[tokio::test]
async fn a_state_that_is_not_built_any_more_keeps_nobody_waiting() {
    let app = app();
    app.shutdown.cancel();
    let state = timeout(Duration::from_secs(5), app.live.now()).await;
    assert!(state.expect("it is told at once").is_err());
}

#[test]
fn the_document_is_openapi_3_1_and_says_what_each_operation_answers() {
    let json = serde_json::to_value(document()).unwrap();
    assert!(json["openapi"].as_str().unwrap().starts_with("3.1"), "{}", json["openapi"]);
    let mut operations = BTreeSet::new();
    for (path, item) in json["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let named = path.matches('{').count();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(in_path, named, "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
            assert!(!operation["responses"].as_object().unwrap().is_empty(), "{method} {path}");
            assert!(
                operations.insert(operation["operationId"].to_string()),
                "two are {}",
                operation["operationId"]
            );
        }
    }
    // Every schema that is referred to is there.
    let text = json.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(json["components"]["schemas"][name].is_object(), "no schema {name}");
    }
}
