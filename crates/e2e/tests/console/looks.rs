//! How the console looks, and whether everybody can use it: pictures of every view in light and dark, on a phone and on a
//! wide screen, and axe-core over each of them.

use std::path::PathBuf;

use e2e::{Pipeline, Role};
use serde_json::{Value, json};

use crate::{
    browser::{Look, target_dir},
    page::{Page, part},
};

const LOOKS: [(&str, Look); 4] =
    [("light", Look::LIGHT), ("dark", Look::DARK), ("phone", Look::PHONE), ("wide", Look::WIDE)];

/// Scripts, styles and the page itself may have so many bytes before the first paint.
const FIRST_PAINT_MAX: u64 = 100_000;

fn axe() -> String {
    let path: PathBuf = target_dir().join("axe/axe.min.js");
    std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; deploy/scripts/ensure-browser.sh fetches it", path.display())
    })
}

/// What axe-core finds on the page as it is, of impact serious or critical: rule and the elements.
async fn findings(page: &Page, axe: &str) -> Vec<Value> {
    let script = format!(
        "{axe}; const done = arguments[arguments.length - 1];
         axe.run(document, {{resultTypes: ['violations']}}).then(
             found => done(found.violations.filter(it => ['serious', 'critical'].includes(it.impact))
                 .map(it => ({{rule: it.id, help: it.help, nodes: it.nodes.slice(0, 5).map(node => node.html)}}))),
             error => done([String(error)]))"
    );
    page.browser.run_async(&script).await.as_array().cloned().expect("a list")
}

/// A pipeline that has something to show in every view.
async fn busy() -> (Pipeline, Vec<e2e::Service>, String) {
    let mut pipeline = Pipeline::new().await;
    pipeline.set("ORDERFLOW__ADMIN__TOKEN", "0123456789abcdef");
    pipeline.set("ORDERFLOW__ADMIN__FAULT_INJECTION", "true");
    let roles = [Role::Producer, Role::Notifications, Role::Analytics, Role::Reaper, Role::Console];
    let services = pipeline.start_all(roles).await.into();
    for order in 0..40 {
        for (kind, amount) in [("order.placed", "0.00"), ("order.paid", "19.99"), ("order.shipped", "0.00")] {
            let order = format!("o-{order}");
            let fields = [("type", kind), ("order_id", &order), ("customer", "alice"), ("amount", amount)];
            pipeline.xadd(&fields).await;
        }
    }
    pipeline
        .xadd(&[("type", "order.paid"), ("order_id", "o-1"), ("customer", "eve"), ("amount", "a lot")])
        .await;
    pipeline.settled().await;
    let id = pipeline
        .xadd(&[("type", "order.cancelled"), ("order_id", "o-7"), ("customer", "alice"), ("amount", "1.00")])
        .await;
    pipeline.settled().await;
    (pipeline, services, id)
}

#[tokio::test]
async fn every_view_can_be_used_by_everybody_in_every_look() {
    let (pipeline, _services, id) = busy().await;
    let axe = axe();
    let views = [
        ("overview", "overview".to_owned(), "stream-length"),
        ("pending", "pending?group=notifications".to_owned(), "pending-panel"),
        ("replay", "replay?start=-&end=%2B".to_owned(), "replay-form"),
        ("tail", "tail".to_owned(), "tail-form"),
        ("dead-letters", "dead-letters?group=analytics".to_owned(), "dlq-table"),
        ("entry", format!("entries/{id}"), "entry-fields"),
        ("order", "orders/o-7".to_owned(), "order-state"),
        ("analytics", "analytics".to_owned(), "analytics-top"),
        ("workers", "workers".to_owned(), "workers-table"),
        ("server", "server".to_owned(), "server-capabilities"),
        ("maintenance", "maintenance".to_owned(), "trim-form"),
        ("nowhere", "nowhere".to_owned(), ""),
    ];
    let page = Page::open(&pipeline.url(Role::Console, ""), Look::LIGHT).await;
    let mut found = Vec::new();
    for (look_name, look) in LOOKS {
        page.browser.look(look).await;
        for (name, address, shows) in &views {
            page.view(address).await;
            if !shows.is_empty() {
                page.count(&part(shows), 1).await;
            }
            page.loaded().await;
            page.browser.screenshot(&format!("{name}-{look_name}")).await;
            for finding in findings(&page, &axe).await {
                found.push(format!("{name}, {look_name}: {finding:#}"));
            }
            // Nothing is wider than the screen: one scrolls a page in one direction.
            let overflow = page.browser.run("return document.documentElement.scrollWidth - innerWidth").await;
            if overflow.as_i64().is_some_and(|by| by > 0) {
                found.push(format!("{name}, {look_name}: {overflow} pixels wider than the screen"));
            }
        }
    }
    // A question that is open, which is where mistakes are made.
    page.view("maintenance").await;
    page.click("trim-submit").await;
    page.says("trim-dialog", "macro-node").await;
    page.browser.screenshot("dialog-wide").await;
    found.extend(findings(&page, &axe).await.iter().map(|finding| format!("dialog: {finding:#}")));
    let focus = page.browser.run("return document.activeElement.dataset.testid").await;
    assert_eq!(focus, "dialog-cancel", "the harmless answer has the focus");
    assert!(found.is_empty(), "{}", found.join("\n"));
    page.is_well(&[]).await;
}

#[tokio::test]
async fn the_first_paint_is_small_and_asks_nobody_else() {
    let (pipeline, _services, _) = busy().await;
    let page = Page::open(&pipeline.url(Role::Console, ""), Look::LIGHT).await;
    page.value(&part("group-notifications-lag"), 0).await;
    let loaded = page
        .browser
        .run(
            "const files = performance.getEntriesByType('resource').filter(it => !it.name.includes('/api/'));
             const page = performance.getEntriesByType('navigation')[0];
             return [[location.href, page.decodedBodySize], ...files.map(it => [it.name, it.decodedBodySize])]",
        )
        .await;
    let loaded: Vec<(String, u64)> = serde_json::from_value(loaded).expect("names and sizes");
    let total: u64 = loaded.iter().map(|(_, size)| size).sum();
    assert!(loaded.len() > 3 && total > 10_000 && total < FIRST_PAINT_MAX, "{total} bytes: {loaded:#?}");
    let own = pipeline.url(Role::Console, "/");
    assert!(loaded.iter().all(|(name, _)| name.starts_with(&own)), "{loaded:#?}");
}

#[tokio::test]
async fn nothing_there_yet_a_login_and_a_page_for_looking_only_are_designed_too() {
    let mut pipeline = Pipeline::new().await;
    pipeline.set("ORDERFLOW__CONSOLE__TOKEN", "open-sesame-0123");
    pipeline.set("ORDERFLOW__CONSOLE__READ_ONLY", "true");
    let _console = pipeline.start_all([Role::Console]).await;
    let axe = axe();
    let page = Page::open(&pipeline.url(Role::Console, ""), Look::LIGHT).await;

    // Nobody gets in without the token, which is not told to scripts.
    page.says("login-form", "oken").await;
    page.browser.screenshot("login-light").await;
    let mut found = findings(&page, &axe).await;
    page.fill("login-token", "wrong-0123456789").await;
    page.click("login-submit").await;
    page.browser.reads(&part("login-problem"), "it is refused", |it| !it.is_empty()).await;
    page.fill("login-token", "open-sesame-0123").await;
    page.click("login-submit").await;
    page.browser.until("it is let in", "return !document.querySelector('[data-testid=login-form]')").await;
    assert_eq!(page.browser.run("return document.cookie").await, "", "scripts do not see the session");

    // No stream, no group, no worker yet.
    page.says("no-groups", "No").await;
    for view in ["overview", "pending", "dead-letters", "workers", "analytics"] {
        page.view(view).await;
        page.loaded().await;
        page.browser.screenshot(&format!("empty-{view}")).await;
        found.extend(findings(&page, &axe).await);
    }
    // Levers are not shown where they would be refused, and refused all the same.
    let levers = "return [...document.querySelectorAll('.lever')].filter(it => it.checkVisibility()).length";
    page.view("overview").await;
    assert_eq!(page.browser.run(levers).await, 0);
    let refused = page
        .browser
        .run_async(
            "const done = arguments[arguments.length - 1];
             fetch('/api/trim', {method: 'POST', headers: {'content-type': 'application/json'},
                 body: JSON.stringify({maxlen: 0})}).then(async it => done([it.status, (await it.json()).type]))",
        )
        .await;
    assert_eq!(refused, json!([403, "/problems/read-only"]));
    assert!(found.is_empty(), "{found:#?}");
    page.is_well(&["401", "403", "502", "503", "504"]).await;
}
