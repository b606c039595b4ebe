//! The script of the Redis guide's demo, step by step in the browser, against `orderflow up --demo`.

use std::time::Duration;

use e2e::Up;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    browser::Look,
    page::{Page, cell, part},
};

const SOON: Duration = Duration::from_secs(30);

async fn demo() -> (Up, Page) {
    let up = Up::start(&["--demo"]).await;
    let page = Page::open(&format!("http://{}", up.address("CONSOLE__LISTEN")), Look::LIGHT).await;
    (up, page)
}

/// Waits until both groups have handled everything.
async fn drained(page: &Page) {
    for group in ["notifications", "analytics"] {
        for figure in ["lag", "pending"] {
            page.value(&part(&format!("group-{group}-{figure}")), 0).await;
        }
    }
}

/// Has a consumer of analytics drop its next three deliveries, and waits until it knows.
async fn crash(page: &Page, consumer: &str) {
    page.click(&format!("crash-analytics-{consumer}")).await;
    let extra = cell("analytics", consumer, "extra");
    page.browser.reads(&extra, "it drops the next ones", |it| it.contains("drops the next")).await;
}

#[tokio::test]
async fn produce_crash_claim_replay_trim_and_remove() {
    let (up, page) = demo().await;

    // Produce 25 events; both groups get all of them.
    page.value(&part("group-notifications-lag"), 0).await;
    page.produce(25).await;
    page.value(&part("total-produced"), 25).await;
    page.value(&part("total-acked"), 50).await;
    drained(&page).await;
    page.value(&cell("analytics", "worker-c", "processed"), 25).await;

    // Add a consumer.
    page.fill("add-name-notifications", "worker-d").await;
    page.click("add-consumer-notifications").await;
    page.browser
        .reads(&cell("notifications", "worker-d", "state"), "it runs", |it| it.contains("running"))
        .await;

    // Crash the next three of worker-c, which is alone in its group: whatever comes is its.
    crash(&page, "worker-c").await;
    page.produce(3).await;
    page.value(&part("group-analytics-pending"), 3).await;
    page.value(&cell("analytics", "worker-c", "pending"), 3).await;

    // XPENDING: three entries, delivered once, that come to be idle for longer than the threshold.
    page.fill("add-name-analytics", "worker-e").await;
    page.click("add-consumer-analytics").await;
    page.browser.reads(&cell("analytics", "worker-e", "state"), "it runs", |it| it.contains("running")).await;
    page.view("pending?group=analytics").await;
    page.count(&format!("{} tbody tr", part("pending-table")), 3).await;
    let deliveries = format!("{} tbody [data-field=deliveries]", part("pending-table"));
    page.browser.reads(&deliveries, "delivered once", |it| it.trim() == "1").await;
    let claimable = format!(
        "const told = [...document.querySelectorAll({})].map(it => it.innerText);
         return told.length === 3 && told.every(it => it.startsWith('yes')) || told",
        json!(format!("{} tbody [data-field=claimable]", part("pending-table")))
    );
    page.browser.until("all three may be claimed", &claimable).await;

    // XAUTOCLAIM to the other consumer: claimed, processed, and pending no more. The delivery count was 2 then.
    page.choose("claim-target", "worker-e").await;
    page.click("claim-submit").await;
    page.value(&part("claim-claimed"), 3).await;
    page.value(&part("claim-processed"), 3).await;
    page.value(&part("claim-deleted"), 0).await;
    page.count(&format!("{} a", part("claimed-ids")), 3).await;
    page.view("overview").await;
    page.value(&part("group-analytics-pending"), 0).await;
    page.value(&cell("analytics", "worker-e", "reaped"), 3).await;
    page.value(&part("total-claimed"), 3).await;
    page.click("recent-toggle-analytics-worker-e").await;
    page.says("recent-analytics-worker-e", "attempt 2").await;

    // Replay: the whole history, whatever the groups have done.
    page.view("replay").await;
    page.fill("replay-count", "100").await;
    page.click("replay-submit").await;
    page.count(&format!("{} tbody tr", part("replay-table")), 28).await;

    // Trim 300 entries to 50, approximately: only whole macro-nodes go, so that up to a node more stay.
    page.view("overview").await;
    page.produce(272).await;
    page.value(&part("stream-length"), 300).await;
    drained(&page).await;
    page.view("maintenance").await;
    page.click("trim-explained").await;
    page.says("trim-explained", "macro-node").await;
    page.fill("trim-maxlen", "50").await;
    page.click("trim-submit").await;
    page.click("dialog-confirm").await;
    let told = page.says("trim-result", "left").await;
    let left = told.split(' ').nth(3).and_then(|left| left.parse().ok()).expect("how many are left");
    assert!((50..150).contains(&left), "{told}");
    page.view("overview").await;
    page.value(&part("stream-length"), left).await;

    // Remove a consumer with pending entries: a peer gets them first.
    crash(&page, "worker-e").await;
    page.click("pause-analytics-worker-c").await;
    page.browser
        .reads(&cell("analytics", "worker-c", "state"), "it is paused", |it| it.contains("paused"))
        .await;
    page.produce(2).await;
    page.value(&cell("analytics", "worker-e", "pending"), 2).await;
    page.click("remove-analytics-worker-e").await;
    page.says("remove-dialog", "handed over").await;
    page.click("dialog-confirm").await;
    page.toast("worker-c").await;
    page.count(&part("consumer-analytics-worker-e"), 0).await;
    page.click("pause-analytics-worker-c").await;
    page.value(&part("group-analytics-pending"), 0).await;

    // The last consumer of a group cannot be removed while it holds something that nobody could take over.
    crash(&page, "worker-c").await;
    page.produce(1).await;
    page.value(&cell("analytics", "worker-c", "pending"), 1).await;
    page.click("remove-analytics-worker-c").await;
    page.says("remove-dialog", "no other live consumer").await;
    page.click("dialog-cancel").await;
    page.count(&part("consumer-analytics-worker-c"), 1).await;

    page.is_well(&[]).await;
    assert_eq!(up.stop(Signal::SIGINT).await.code(), Some(0));
}

#[tokio::test]
async fn of_two_adds_of_one_name_at_once_one_succeeds_and_the_other_says_that_it_exists() {
    let (up, page) = demo().await;
    page.value(&part("group-notifications-lag"), 0).await;
    // Two clicks of two people, as near to each other as a browser can make them.
    let answers = page
        .browser
        .run_async(
            "const done = arguments[arguments.length - 1];
             const add = () => fetch('/api/groups/notifications/consumers', {method: 'POST',
                 headers: {'content-type': 'application/json'}, body: JSON.stringify({name: 'twin'})})
                 .then(async answer => [answer.status, await answer.text()]);
             Promise.all([add(), add()]).then(done)",
        )
        .await;
    let mut answers: Vec<(u64, String)> = serde_json::from_value(answers).expect("two answers");
    answers.sort();
    assert_eq!((answers[0].0, answers[1].0), (201, 409), "{answers:?}");
    assert!(answers[1].1.contains("already exists"), "{answers:?}");
    page.browser.reads(&cell("notifications", "twin", "state"), "it runs", |it| it.contains("running")).await;

    // And in the form: the message says so.
    page.fill("add-name-notifications", "twin").await;
    page.click("add-consumer-notifications").await;
    page.toast("already exists").await;
    page.is_well(&["409"]).await;
    assert_eq!(up.stop(Signal::SIGINT).await.code(), Some(0));
}

#[tokio::test]
async fn a_reset_leaves_an_empty_stream_and_the_guides_consumers() {
    let (up, page) = demo().await;
    page.produce(20).await;
    page.value(&part("total-acked"), 40).await;
    page.fill("add-name-notifications", "worker-d").await;
    page.click("add-consumer-notifications").await;
    page.count(&part("consumer-notifications-worker-d"), 1).await;
    page.view("maintenance").await;
    page.click("reset").await;
    page.says("reset-dialog", "demo:events:orders").await;
    page.click("dialog-confirm").await;
    page.view("overview").await;
    page.value(&part("stream-length"), 0).await;
    page.value(&part("total-acked"), 0).await;
    page.count(&part("consumer-notifications-worker-d"), 0).await;
    for (group, consumer) in
        [("notifications", "worker-a"), ("notifications", "worker-b"), ("analytics", "worker-c")]
    {
        page.browser.reads(&cell(group, consumer, "state"), "it runs", |it| it.contains("running")).await;
    }
    // And on it goes.
    page.produce(5).await;
    page.value(&part("total-acked"), 10).await;
    let summary = format!("http://{}/v1/analytics/summary", up.address("ANALYTICS__LISTEN"));
    eventually(SOON, "analytics count the new events alone", async || {
        let summary: Value = reqwest::get(&summary).await.expect("an answer").json().await.expect("JSON");
        if summary["events"] == 5 { Ok(()) } else { Err(summary.to_string()) }
    })
    .await;
    page.is_well(&[]).await;
    assert_eq!(up.stop(Signal::SIGINT).await.code(), Some(0));
}
