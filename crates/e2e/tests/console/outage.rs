//! The page while things go away: Redis killed and started again, and the console itself.

use e2e::{Pipeline, Role};
use testkit::RedisServer;

use crate::{
    browser::Look,
    page::{Page, cell, part},
};

#[tokio::test]
async fn redis_stopped_and_started_while_the_page_is_open() {
    let mut pipeline = Pipeline::on(RedisServer::builder().append_only(true).start().await);
    pipeline.set("ORDERFLOW__ADMIN__TOKEN", "0123456789abcdef");
    let roles = [Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper, Role::Console];
    let _services = pipeline.start_all(roles).await;
    let page = Page::open(&pipeline.url(Role::Console, ""), Look::LIGHT).await;
    page.produce(7).await;
    page.value(&part("total-acked"), 14).await;
    // Something half typed is nobody's to throw away.
    page.fill("add-name-notifications", "half-typ").await;

    pipeline.redis.kill();
    page.says("banner-redis", "Redis is away").await;
    page.browser.screenshot("redis-away").await;
    // What was seen last stays, marked as old.
    page.value(&part("stream-length"), 7).await;
    page.browser.until("it is marked as old", "return document.body.classList.contains('stale')").await;
    page.produce(1).await;
    page.toast("Problem").await;

    pipeline.redis.restart().await;
    page.count(&part("banner-redis"), 0).await;
    page.browser.until("it is fresh", "return !document.body.classList.contains('stale')").await;
    let typed =
        page.browser.run("return document.querySelector('[data-testid=add-name-notifications]').value").await;
    assert_eq!(typed, "half-typ");
    page.produce(2).await;
    page.value(&part("total-acked"), 18).await;
    page.is_well(&["503", "502", "504"]).await;
}

#[tokio::test]
async fn the_console_and_a_worker_killed_and_started_while_the_page_is_open() {
    let mut pipeline = Pipeline::new().await;
    pipeline.set("ORDERFLOW__ADMIN__TOKEN", "0123456789abcdef");
    let [_producer, mut notifications, _analytics, mut console] =
        pipeline.start_all([Role::Producer, Role::Notifications, Role::Analytics, Role::Console]).await;
    let page = Page::open(&pipeline.url(Role::Console, ""), Look::LIGHT).await;
    page.produce(3).await;
    page.value(&part("total-acked"), 6).await;

    // A worker that is gone is told as such; the rest goes on.
    let consumer = pipeline.consumers("notifications").await.remove(0);
    notifications.kill().await;
    let state = cell("notifications", &consumer, "state");
    page.browser
        .reads(&state, "it is not running", |it| it.contains("unreachable") || it.contains("dead"))
        .await;
    page.produce(2).await;
    page.value(&part("group-notifications-lag"), 2).await;
    page.value(&part("group-analytics-lag"), 0).await;
    let mut again = pipeline.start(Role::Notifications);
    again.ready().await;
    page.value(&part("group-notifications-lag"), 0).await;

    console.kill().await;
    page.says("banner-console", "No connection to the console").await;
    let mut console = pipeline.start(Role::Console);
    console.ready().await;
    page.count(&part("banner-console"), 0).await;
    page.produce(1).await;
    page.value(&part("stream-length"), 6).await;
    page.is_well(&[
        "ERR_CONNECTION_REFUSED",
        "ERR_INCOMPLETE_CHUNKED_ENCODING",
        "ERR_EMPTY_RESPONSE",
        "ERR_CONNECTION_RESET",
    ])
    .await;
}

#[tokio::test]
async fn a_console_that_has_forgotten_the_login_asks_for_it_again() {
    let mut pipeline = Pipeline::new().await;
    pipeline.set("ORDERFLOW__CONSOLE__TOKEN", "open-sesame-0123");
    let [mut console] = pipeline.start_all([Role::Console]).await;
    let page = Page::open(&pipeline.url(Role::Console, ""), Look::LIGHT).await;
    page.fill("login-token", "open-sesame-0123").await;
    page.click("login-submit").await;
    page.says("connection", "Live").await;
    page.view("tail").await;
    page.says("tail-status", "0 entries").await;

    console.kill().await;
    page.says("banner-console", "No connection to the console").await;
    let mut console = pipeline.start(Role::Console);
    console.ready().await;
    page.fill("login-token", "open-sesame-0123").await;
    page.click("login-submit").await;
    page.says("connection", "Live").await;
    // It is where it was before.
    page.says("tail-status", "0 entries").await;
    page.is_well(&[
        "ERR_CONNECTION_REFUSED",
        "ERR_INCOMPLETE_CHUNKED",
        "ERR_EMPTY_RESPONSE",
        "ERR_CONNECTION_RESET",
        "401",
    ])
    .await;
}
