//! Everything that comes from a stream stays text: markup, scripts and control characters in every field, on every view.

use std::fmt::Write as _;

use e2e::{Pipeline, Role};

use crate::{
    browser::Look,
    page::{Page, part},
};

/// Would say so if it ran, whichever way a page gives it a chance to.
const MARKUP: &str =
    "<script>window.pwned=1</script><img src=x onerror=\"window.pwned=1\">\"'><svg onload=window.pwned=1>";

/// The text as a part of an address.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        // Writing to a String cannot fail.
        _ = write!(encoded, "%{byte:02X}");
        encoded
    })
}

#[tokio::test]
async fn scripts_in_every_field_stay_text_on_every_view() {
    let mut pipeline = Pipeline::new().await;
    let roles = [Role::Notifications, Role::Analytics, Role::Reaper, Role::Console];
    let _services = pipeline.start_all(roles).await;
    let fields = [
        ("type", "order.paid"),
        ("order_id", MARKUP),
        ("customer", MARKUP),
        ("amount", "1.00"),
        (MARKUP, MARKUP),
        ("bidi", "\u{202e}gnp.exe\u{0}\u{1b}[2J"),
    ];
    let id = pipeline.xadd(&fields).await;
    // Of an unknown type, and one that dies: its reason and payload are shown too.
    pipeline.xadd(&[("type", MARKUP), ("order_id", "o-1"), ("customer", "c"), ("amount", "1.00")]).await;
    pipeline
        .xadd(&[("type", "order.paid"), ("order_id", MARKUP), ("customer", MARKUP), ("amount", MARKUP)])
        .await;
    pipeline.settled().await;
    // A foreign group and its consumer are called like that as well.
    let mut connection = pipeline.connection().await;
    redis::cmd("XGROUP")
        .arg("CREATE")
        .arg(&pipeline.stream)
        .arg(MARKUP)
        .arg("0")
        .query_async::<()>(&mut connection)
        .await
        .expect("XGROUP CREATE");
    redis::cmd("XREADGROUP")
        .arg("GROUP")
        .arg(MARKUP)
        .arg(MARKUP)
        .arg("COUNT")
        .arg(1)
        .arg("STREAMS")
        .arg(&pipeline.stream)
        .arg(">")
        .query_async::<redis::Value>(&mut connection)
        .await
        .expect("XREADGROUP");

    let page = Page::open(&pipeline.url(Role::Console, ""), Look::LIGHT).await;
    let shown = |what: &'static str| {
        format!(
            "return document.querySelector('main').innerText.includes('<script>window.pwned=1</script>') || {what:?}"
        )
    };
    let views = [
        "overview".to_owned(),
        format!("pending?group={}", encoded(MARKUP)),
        "replay".to_owned(),
        format!("entries/{id}"),
        format!("orders/{}", encoded(MARKUP)),
        "dead-letters?group=notifications".to_owned(),
        "analytics".to_owned(),
        "workers".to_owned(),
        "server".to_owned(),
        "maintenance".to_owned(),
    ];
    for view in views {
        page.view(&view).await;
        if view == "replay" {
            page.click("replay-submit").await;
        }
        if !["workers", "server", "maintenance"].contains(&view.as_str()) {
            page.browser.until(&format!("{view} shows the text as text"), &shown("not yet")).await;
        }
        let ran = page.browser.run("return [window.pwned ?? null, document.querySelectorAll('main script, main img, main [onload], main [onerror]').length]").await;
        assert_eq!(ran, serde_json::json!([null, 0]), "{view}");
    }

    // And live.
    page.view("tail").await;
    page.browser
        .until(
            "the tail listens",
            &format!("return !!document.querySelector('{}')", part("tail-list").replace('\'', "\"")),
        )
        .await;
    page.browser
        .until(
            "the tail is connected",
            "return document.querySelector('[data-testid=tail-status]')?.innerText.length > 0",
        )
        .await;
    pipeline.xadd(&fields).await;
    page.says("tail-list", "<script>window.pwned=1</script>").await;
    assert_eq!(page.browser.run("return window.pwned ?? null").await, serde_json::Value::Null);
    page.is_well(&[]).await;
}
