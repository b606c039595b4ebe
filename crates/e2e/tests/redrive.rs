//! Redrive from end to end: dead letters of one group, sent back with the command, handled by that group alone.

use std::{collections::HashMap, process::Output, time::Duration};

use e2e::{Pipeline, Role, Service, binary};
use serde_json::Value;
use testkit::eventually;
use tokio::process::Command;

const SOON: Duration = Duration::from_secs(20);
const GROUP: &str = "notifications";

async fn dlq(pipeline: &Pipeline, args: &[&str]) -> Output {
    let mut command = Command::new(binary("orderflow"));
    command.env_remove("REDIS_URL").env_remove("RUST_LOG").arg("dlq").args(args);
    let url = pipeline.redis.url();
    command.args(["--redis-url", &url, "--stream", &pipeline.stream]);
    command.output().await.expect("orderflow runs")
}

async fn length(pipeline: &Pipeline, key: &str) -> i64 {
    let mut connection = pipeline.connection().await;
    redis::cmd("XLEN").arg(key).query_async(&mut connection).await.expect("XLEN")
}

async fn sent(service: &Service) -> f64 {
    service.metric("notifications_sent_total{channel=\"log\",outcome=\"sent\"}").await
}

#[tokio::test]
async fn what_died_in_one_group_goes_back_to_it_alone() {
    let mut pipeline = Pipeline::new().await;
    let roles = [Role::Notifications, Role::Analytics, Role::Reaper];
    let [notifications, analytics, _reaper] = pipeline.start_all(roles).await;
    let mut ids = Vec::new();
    for order in ["o-1", "o-2", "o-3"] {
        let order = [("type", "order.paid"), ("order_id", order), ("customer", "eve"), ("amount", "1.00")];
        ids.push(pipeline.xadd(&order).await);
    }
    pipeline.settled().await;
    assert!((sent(&notifications).await - 3.0).abs() < 0.5);
    for id in &ids {
        pipeline.let_die(GROUP, id).await;
    }

    let output = dlq(&pipeline, &["redrive", GROUP, "--all"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "3 sent back\n");
    let redrive = format!("{{{}}}:redrive:{GROUP}", pipeline.stream);
    eventually(SOON, "the group has handled them again", async || {
        let (sent, left) = (sent(&notifications).await, length(&pipeline, &redrive).await);
        if (sent - 6.0).abs() < 0.5 && left == 0 { Ok(()) } else { Err(format!("{sent} sent, {left} left")) }
    })
    .await;
    let handled = "worker_deliveries_total{group=\"analytics\",outcome=\"acked\"}";
    assert!((analytics.metric(handled).await - 3.0).abs() < 0.5, "analytics did not see them again");
    let paid = &pipeline.analytics("/v1/analytics/summary").await["by_type"]["order.paid"];
    assert_eq!((&paid["count"], &paid["amount"]), (&Value::from(3), &Value::from("3.00")));
    assert!(pipeline.dead_letters(GROUP).await.is_empty());
    assert_eq!(dlq(&pipeline, &["redrive", GROUP, "--all"]).await.stdout, b"0 sent back\n");
}

#[tokio::test]
async fn what_is_poison_still_dies_again_and_says_how_often() {
    let mut pipeline = Pipeline::new().await;
    let _services = pipeline.start_all([Role::Notifications, Role::Analytics, Role::Reaper]).await;
    let bad = [("type", "order.paid"), ("order_id", "o-2"), ("customer", "eve"), ("amount", "1e3")];
    let poison = pipeline.xadd(&bad).await;
    pipeline.settled().await;
    let analytics_before = pipeline.dead_letters("analytics").await;
    for round in 1..=2 {
        let output = dlq(&pipeline, &["redrive", GROUP, "--reason", "poison"]).await;
        assert_eq!(String::from_utf8_lossy(&output.stdout), "1 sent back\n", "{output:?}");
        let letter = eventually(SOON, "it died again", async || {
            let mut letters = pipeline.dead_letters(GROUP).await;
            let letter: Option<HashMap<String, String>> = letters.pop();
            letter.filter(|letter| letter.get("_dl_redrives") == Some(&round.to_string()))
        })
        .await;
        assert_eq!((&letter["_dl_id"], &letter["amount"]), (&poison, &"1e3".to_owned()));
        assert_eq!(letter.get("_redrive_of"), None);
    }
    assert_eq!(pipeline.dead_letters(GROUP).await.len(), 1);
    assert_eq!(
        pipeline.dead_letters("analytics").await,
        analytics_before,
        "the other group saw nothing of it"
    );
}
