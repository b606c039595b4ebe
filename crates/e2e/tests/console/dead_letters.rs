//! Dead letters in the browser: filtered, looked at, sent back to their group, purged.

use std::collections::HashMap;

use e2e::{Pipeline, Role};
use serde_json::json;

use crate::{
    browser::Look,
    page::{Page, part},
};

const GROUP: &str = "notifications";

/// Orders of two types that have died in the group, which can handle them.
async fn die(pipeline: &Pipeline, count: usize) {
    for n in 0..count {
        let order = format!("o-{n}");
        let kind = if n % 2 == 0 { "order.paid" } else { "order.placed" };
        let fields = [("type", kind), ("order_id", &order), ("customer", "eve"), ("amount", "1.00")];
        let id = pipeline.xadd(&fields).await;
        pipeline.let_die(GROUP, &id).await;
    }
    pipeline.settled().await;
}

async fn letters(pipeline: &Pipeline) -> Vec<HashMap<String, String>> {
    pipeline.dead_letters(GROUP).await
}

fn rows() -> String {
    format!("{} tbody tr", part("dlq-table"))
}

#[tokio::test]
async fn they_are_filtered_looked_at_sent_back_and_purged() {
    let mut pipeline = Pipeline::new().await;
    let roles = [Role::Notifications, Role::Analytics, Role::Reaper, Role::Console];
    let _services = pipeline.start_all(roles).await;
    die(&pipeline, 12).await;
    let page = Page::open(&pipeline.url(Role::Console, ""), Look::LIGHT).await;
    page.value(&part("group-notifications-dead-letters"), 12).await;

    // Filter, and look at one: why, and the payload byte for byte.
    page.view(&format!("dead-letters?group={GROUP}")).await;
    page.count(&rows(), 12).await;
    page.fill("dlq-type", "order.placed").await;
    page.click("dlq-apply").await;
    page.count(&rows(), 6).await;
    page.browser.click(&format!("{} [data-testid^=inspect-]", rows())).await;
    page.says("letter-error", "smtp: no route to host").await;
    page.says("letter-payload", "order.placed").await;
    page.says("letter-reason", "max_deliveries").await;

    // One goes back to its group, which handles it; the other group sees nothing of it.
    page.click("letter-redrive").await;
    page.click("dialog-confirm").await;
    page.toast("1 dead letter").await;
    page.view(&format!("dead-letters?group={GROUP}&type=order.placed")).await;
    page.count(&rows(), 5).await;

    // Two that were chosen.
    for n in 1..=2 {
        page.browser.click(&format!("{}:nth-child({n}) input[type=checkbox]", rows())).await;
    }
    page.click("redrive-selected").await;
    page.says("redrive-dialog", "2 dead letters").await;
    page.click("dialog-confirm").await;
    page.count(&rows(), 3).await;

    // All that match the filter, with a dry run first that counts them.
    page.click("redrive-all").await;
    page.says("redrive-dialog", "3 dead letters").await;
    page.says("bulk-which", "type order.placed").await;
    page.click("dialog-confirm").await;
    page.toast("3 dead letters").await;
    page.count(&rows(), 0).await;
    assert_eq!(letters(&pipeline).await.len(), 6, "those of another type are still there");
    pipeline.settled().await;
    let summary = pipeline.analytics("/v1/analytics/summary").await;
    assert_eq!(summary["by_type"]["order.placed"]["count"], 6, "counted once each: {summary}");

    // A purge wants its phrase typed, and says what goes.
    page.view(&format!("dead-letters?group={GROUP}")).await;
    page.count(&rows(), 6).await;
    page.click("purge-all").await;
    page.says("purge-dialog", "6").await;
    page.says("bulk-which", "all dead letters").await;
    let is_disabled = format!("return document.querySelector({}).disabled", json!(part("dialog-confirm")));
    assert_eq!(page.browser.run(&is_disabled).await, true, "not before the phrase was typed");
    let phrase = page.browser.text(&format!("{} code", part("purge-dialog"))).await.expect("a phrase");
    page.fill("dialog-typed", &phrase).await;
    page.click("dialog-confirm").await;
    page.count(&rows(), 0).await;
    assert!(letters(&pipeline).await.is_empty());
    // The page of the letter that was sent back from it asks for it once more.
    page.is_well(&["404"]).await;
}
