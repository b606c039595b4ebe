//! A channel that is down: the others go on, nothing is given up, and everything arrives once it is back.

use std::collections::HashSet;

use crate::{
    bench::{Bench, sent},
    mail_server::{MailServer, Security},
    receiver::{Answer, OK, Receiver},
};

const BREAKER: &str = "notifications_breaker_state{channel=\"smtp\"}";

async fn bench(server: &MailServer, receiver: &Receiver) -> Bench {
    let mut bench = Bench::start(server.settings()).await;
    bench.set("NOTIFICATIONS__CHANNELS", "smtp,webhook");
    bench.set("WEBHOOK__ENDPOINTS", &format!("[{}]", receiver.endpoint("crm", "")));
    bench.set("SMTP__TIMEOUT", "2s");
    bench
}

#[tokio::test]
async fn a_mail_server_that_is_away_holds_no_webhook_back_and_loses_no_mail() {
    const EVENTS: usize = 600;
    let (mut server, receiver) = (MailServer::start(Security::None).await, Receiver::start().await);
    let bench = bench(&server, &receiver).await;
    let worker = bench.worker().await;
    server.stop().await;
    bench.many(EVENTS).await;
    // All of them at once, though no mail can be sent, each in its first delivery.
    receiver.received(EVENTS).await;
    worker.metric_is(BREAKER, |state| state > 0.0).await;
    // Far more tries of the server than an entry has attempts.
    worker.metric_is(&sent("smtp", "postponed"), |postponed| postponed > 20.0 * EVENTS as f64).await;
    assert_eq!((bench.pending().await, bench.dead_letters().await), (EVENTS as u64, Vec::new()));
    assert!(bench.delivery_counts().await.iter().all(|count| *count <= 5), "waiting does not count");
    server.restart().await;
    bench.settled().await;
    let mails = server.received(EVENTS).await;
    let ids: HashSet<String> = mails.iter().map(|mail| mail.header("Message-ID")).collect();
    assert_eq!((mails.len(), ids.len()), (EVENTS, EVENTS), "each mail once");
    assert_eq!(receiver.requests().len(), EVENTS, "each webhook once");
    assert!(bench.dead_letters().await.is_empty());
    worker.metric_is(BREAKER, |state| state == 0.0).await;
}

/// The only entry of a quiet stream fails again and again: that is its server's fault, not its own.
#[tokio::test]
async fn an_outage_uses_up_nobodys_attempts() {
    let (mut server, receiver) = (MailServer::start(Security::None).await, Receiver::start().await);
    let bench = bench(&server, &receiver).await;
    let worker = bench.worker().await;
    server.stop().await;
    bench.paid("o-1", &[]).await;
    receiver.received(1).await;
    worker.metric_is(&sent("smtp", "postponed"), |postponed| postponed >= 10.0).await;
    assert_eq!((bench.pending().await, bench.dead_letters().await), (1, Vec::new()));
    // Not by a crash either.
    worker.kill().await;
    let worker = bench.worker().await;
    worker.metric_is(&sent("smtp", "postponed"), |postponed| postponed >= 5.0).await;
    assert_eq!((bench.pending().await, bench.dead_letters().await), (1, Vec::new()));
    server.restart().await;
    bench.settled().await;
    assert_eq!((server.received(1).await.len(), receiver.requests().len()), (1, 1));
    assert!(bench.dead_letters().await.is_empty());
}

/// A server that takes connections and says nothing is worse than one that is away.
#[tokio::test]
async fn a_mail_server_that_hangs_holds_up_only_its_own() {
    const EVENTS: usize = 300;
    let (server, receiver) = (MailServer::start(Security::None).await, Receiver::start().await);
    let mut bench = bench(&server, &receiver).await;
    bench.set("SMTP__CONCURRENCY", "2");
    bench.set("WORKER__CONCURRENCY", "16");
    let worker = bench.worker().await;
    server.answers("hang");
    bench.many(EVENTS).await;
    receiver.received(EVENTS).await;
    assert!(worker.sent("smtp", "sent").await < 1.0, "all of that without a single mail");
    assert!(bench.dead_letters().await.is_empty());
    assert!(worker.metric("notifications_in_flight{channel=\"smtp\"}").await <= 2.0);
}

/// One channel refuses for good, the other is away: the entry is given up only after both have had their say, and what
/// was refused is not asked again meanwhile.
#[tokio::test]
async fn a_refusal_waits_for_the_channel_that_is_down() {
    let (mut server, receiver) = (MailServer::start(Security::None).await, Receiver::start().await);
    let bench = bench(&server, &receiver).await;
    receiver.answers(|_, _| Answer::Says(410, "", ""));
    let worker = bench.worker().await;
    server.stop().await;
    bench.paid("o-1", &[]).await;
    worker.metric_is(&sent("smtp", "postponed"), |postponed| postponed >= 3.0).await;
    assert!(bench.dead_letters().await.is_empty());
    assert_eq!(receiver.requests().len(), 1);
    receiver.answers(|_, _| OK);
    server.restart().await;
    let (reason, error) = bench.dead(1).await.remove(0);
    assert_eq!((reason.as_str(), error.as_str()), ("rejected", "webhook:crm: answered 410"));
    assert_eq!((server.received(1).await.len(), receiver.requests().len()), (1, 1));
}

#[tokio::test]
async fn an_endpoint_that_is_down_holds_no_other_endpoint_back() {
    let (dead, alive) = (Receiver::start().await, Receiver::start().await);
    dead.answers(|_, _| Answer::Says(503, "retry-after: 2\r\n", ""));
    let mut bench = Bench::start(Vec::new()).await;
    bench.set("NOTIFICATIONS__CHANNELS", "webhook");
    let endpoints = [dead.endpoint("dead", ""), alive.endpoint("alive", "")].join(", ");
    bench.set("WEBHOOK__ENDPOINTS", &format!("[{endpoints}]"));
    let worker = bench.worker().await;
    bench.many(100).await;
    alive.received(100).await;
    worker.metric_is("notifications_breaker_state{channel=\"webhook:dead\"}", |state| state > 0.0).await;
    assert_eq!(worker.metric("notifications_breaker_state{channel=\"webhook:alive\"}").await, 0.0);
    assert!(dead.requests().len() < 40, "it is left alone: {}", dead.requests().len());
    dead.answers(|_, _| OK);
    bench.settled().await;
    let told: HashSet<String> = dead.requests().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!((told.len(), alive.requests().len()), (100, 100));
    assert!(bench.dead_letters().await.is_empty());
}
