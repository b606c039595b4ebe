//! What is sent twice when the process is killed: at most what was being sent, and under the same name.

use crate::{
    bench::{Bench, sent},
    mail_server::{MailServer, Security},
    receiver::{Answer, OK, Receiver},
};

#[tokio::test]
async fn killed_after_the_server_took_a_mail_and_before_it_was_noted() {
    let server = MailServer::start(Security::None).await;
    let mut bench = Bench::start(server.settings()).await;
    bench.set("NOTIFICATIONS__CHANNELS", "smtp");
    let worker = bench.worker().await;
    bench.many(5).await;
    bench.settled().await;
    server.received(5).await;
    // It has the sixth, and does not say so.
    server.answers("hang");
    bench.paid("o-6", &[]).await;
    server.received(6).await;
    worker.kill().await;
    server.answers("ok");
    let worker = bench.worker().await;
    bench.settled().await;
    let mails = server.received(7).await;
    assert_eq!(mails.len(), 7, "the one in flight once more, and no other");
    assert_eq!(mails[5].header("Message-ID"), mails[6].header("Message-ID"));
    let mut ids: Vec<String> = mails.iter().map(|mail| mail.header("Message-ID")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    assert_eq!(worker.sent("smtp", "sent").await, 1.0);
}

#[tokio::test]
async fn killed_after_it_was_noted_and_before_the_ack() {
    let (server, receiver) = (MailServer::start(Security::None).await, Receiver::start().await);
    let mut bench = Bench::start(server.settings()).await;
    bench.set("NOTIFICATIONS__CHANNELS", "smtp,webhook");
    bench.set("WEBHOOK__ENDPOINTS", &format!("[{}]", receiver.endpoint("crm", "timeout = \"14s\"")));
    receiver.answers(|_, nth| if nth == 1 { Answer::Hangs } else { OK });
    let worker = bench.worker().await;
    let id = bench.paid("o-1", &[]).await;
    // The mail is noted while the webhook is still waited for: so there is no ack.
    worker.metric_is(&sent("smtp", "sent"), |sent| sent == 1.0).await;
    receiver.received(1).await;
    let key: Vec<String> =
        redis::cmd("KEYS").arg("*notified:*").query_async(&mut bench.connection.clone()).await.expect("keys");
    assert!(key.len() == 1 && key[0].starts_with(&bench.key(&format!("notified:{id}:smtp:"))), "{key:?}");
    let ttl: i64 =
        redis::cmd("TTL").arg(&key[0]).query_async(&mut bench.connection.clone()).await.expect("a TTL");
    assert!((6 * 86_400..=7 * 86_400).contains(&ttl), "{ttl}");
    worker.kill().await;
    let worker = bench.worker().await;
    bench.settled().await;
    let requests = receiver.received(2).await;
    assert_eq!((requests.len(), requests[0].id() == requests[1].id()), (2, true), "the receiver can tell");
    assert_eq!(server.mails().len(), 1);
    assert_eq!(worker.sent("smtp", "duplicate").await, 1.0);
    assert_eq!(worker.sent("smtp", "sent").await, 0.0);
}

/// A dead letter that is sent back goes to whom it has not been sent.
#[tokio::test]
async fn what_is_sent_back_is_not_sent_twice() {
    let (server, receiver) = (MailServer::start(Security::None).await, Receiver::start().await);
    let mut bench = Bench::start(server.settings()).await;
    bench.set("NOTIFICATIONS__CHANNELS", "smtp,webhook");
    bench.set("WEBHOOK__ENDPOINTS", &format!("[{}]", receiver.endpoint("crm", "")));
    receiver.answers(|_, _| Answer::Says(404, "", ""));
    let worker = bench.worker().await;
    let id = bench.paid("o-1", &[("note", "x")]).await;
    bench.dead(1).await;
    server.received(1).await;
    receiver.answers(|_, _| OK);
    // As a redrive does.
    let redrive = bench.key("redrive:notifications");
    let mut xadd = redis::cmd("XADD");
    xadd.arg(&redrive).arg("*").arg("_redrive_of").arg(&id).arg("_redrive_count").arg(1);
    for (name, value) in
        [("type", "order.paid"), ("order_id", "o-1"), ("customer", "bob"), ("amount", "49.50"), ("note", "x")]
    {
        xadd.arg(name).arg(value);
    }
    let mut connection = bench.connection.clone();
    let _: Option<String> = redis::cmd("XGROUP")
        .arg("CREATE")
        .arg(&redrive)
        .arg("notifications")
        .arg("0-0")
        .arg("MKSTREAM")
        .query_async(&mut connection)
        .await
        .ok();
    let _: String = xadd.query_async(&mut connection).await.expect("it is appended");
    worker.metric_is(&sent("webhook:crm", "sent"), |sent| sent == 1.0).await;
    let requests = receiver.received(2).await;
    assert_eq!(requests[0].id(), requests[1].id());
    assert_eq!(server.mails().len(), 1);
    assert_eq!(worker.sent("smtp", "duplicate").await, 1.0);
}
