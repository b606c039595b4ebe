//! Mails: what arrives, over which connection, and what the server's answers lead to.

use crate::{
    bench::{Bench, sent},
    mail_server::{LOGIN, MailServer, Security},
};

async fn bench(server: &MailServer) -> Bench {
    let mut bench = Bench::start(server.settings()).await;
    bench.set("NOTIFICATIONS__CHANNELS", "smtp");
    bench
}

#[tokio::test]
async fn a_mail_for_each_recipient_with_starttls_and_login() {
    let server = MailServer::start(Security::Starttls).await;
    let mut bench = bench(&server).await;
    bench.set("SMTP__TO_FIELD", "email");
    let worker = bench.worker().await;
    bench.paid("o-1", &[("email", "bob@customer.example")]).await;
    bench.settled().await;
    let mut mails = server.received(2).await;
    mails.sort_by_key(|mail| mail.header("To"));
    for (mail, to) in mails.iter().zip(["bob@customer.example", "ops@shop.example"]) {
        assert_eq!((mail.0["to"].clone(), mail.header("To").as_str()), (serde_json::json!([to]), to));
        assert_eq!((mail.0["from"].as_str(), &mail.0["tls"]), (Some("orders@shop.example"), &true.into()));
        assert_eq!(mail.0["login"], LOGIN.0);
        assert_eq!(mail.header("From"), "Shop <orders@shop.example>");
        assert_eq!(mail.header("Subject"), "Order o-1 has been paid");
        assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
        assert!(mail.header("Message-ID").ends_with("@shop.example>"), "{mail:?}");
        let text = mail.part("text/plain").expect("a text");
        assert_eq!(text.trim_end(), "bob, we have received 49.50 for your order o-1.");
        let html = mail.part("text/html").expect("HTML");
        assert!(html.contains("<p>bob, we have received 49.50 for your order o-1.</p>"), "{html}");
    }
    assert_ne!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
    bench.paid("o-2", &[]).await;
    assert_eq!(server.received(3).await[2].header("To"), "ops@shop.example");
    worker.metric_is(&sent("smtp", "sent"), |sent| sent == 3.0).await;
    assert_eq!(worker.metric("notifications_send_duration_seconds_count{channel=\"smtp\"}").await, 3.0);
    assert_eq!(worker.metric("notifications_breaker_state{channel=\"smtp\"}").await, 0.0);
    assert!(!worker.log().contains(LOGIN.1));
}

#[tokio::test]
async fn tls_from_the_start_works_too() {
    let server = MailServer::start(Security::Tls).await;
    let bench = bench(&server).await;
    let _worker = bench.worker().await;
    bench.many(20).await;
    bench.settled().await;
    let mails = server.received(20).await;
    assert_eq!(mails.len(), 20);
    assert!(mails.iter().all(|mail| mail.0["tls"] == true));
}

/// Nothing is sent in the clear, and nothing is given up, because the connection cannot be made safe.
#[tokio::test]
async fn a_server_that_cannot_be_trusted_gets_nothing() {
    for (set, value) in [
        // It does not offer STARTTLS, or nobody knows who has signed its certificate, or it wants another login.
        ("SMTP__SECURITY", "starttls"),
        ("NOTIFICATIONS__CA_FILE", ""),
        ("SMTP__PASSWORD", "another"),
    ] {
        let security = if set == "SMTP__SECURITY" { Security::None } else { Security::Starttls };
        let server = MailServer::start(security).await;
        let mut bench = bench(&server).await;
        bench.set(set, value);
        let worker = bench.worker().await;
        bench.paid("o-1", &[]).await;
        worker.metric_is("notifications_breaker_state{channel=\"smtp\"}", |state| state > 0.0).await;
        worker.metric_is(&sent("smtp", "postponed"), |postponed| postponed >= 3.0).await;
        assert_eq!((bench.pending().await, bench.dead_letters().await.len()), (1, 0), "{set}");
        assert!(server.mails().is_empty(), "{set}");
        assert!(!worker.log().contains("another") && !worker.log().contains(LOGIN.1), "{}", worker.log());
    }
}

#[tokio::test]
async fn a_refused_mail_is_a_dead_letter_with_the_servers_words() {
    let server = MailServer::start(Security::None).await;
    let bench = bench(&server).await;
    let worker = bench.worker().await;
    server.answers("rcpt 550 5.1.1 no such user here");
    bench.paid("o-1", &[]).await;
    let (reason, error) = bench.dead(1).await.remove(0);
    assert_eq!(reason, "rejected");
    assert!(error.starts_with("smtp: ") && error.contains("no such user here"), "{error}");
    assert_eq!(worker.sent("smtp", "refused").await, 1.0);
    // The server works: the next mail goes out.
    server.answers("ok");
    bench.paid("o-2", &[]).await;
    server.received(1).await;
    assert_eq!(worker.metric("notifications_breaker_state{channel=\"smtp\"}").await, 0.0);
}

#[tokio::test]
async fn not_now_is_kept_to() {
    let server = MailServer::start(Security::None).await;
    let bench = bench(&server).await;
    let worker = bench.worker().await;
    server.answers("data 451 4.7.1 greylisted, come back later");
    bench.paid("o-1", &[]).await;
    worker.metric_is(&sent("smtp", "failed"), |failed| failed == 1.0).await;
    worker.metric_is("worker_parked{group=\"notifications\"}", |parked| parked == 1.0).await;
    server.answers("ok");
    // A minute has not passed; others are not kept waiting by it.
    bench.paid("o-2", &[]).await;
    let mails = server.received(1).await;
    assert_eq!((mails.len(), mails[0].header("Subject").as_str()), (1, "Order o-2 has been paid"));
    assert_eq!(bench.delivery_counts().await, [1]);
}

/// A mail that is given up half-way must not be finished by the next one's commands.
#[tokio::test]
async fn a_server_that_falls_silent_is_left_and_its_connection_not_used_again() {
    let server = MailServer::start(Security::None).await;
    let mut bench = bench(&server).await;
    bench.set("SMTP__TIMEOUT", "1s");
    let worker = bench.worker().await;
    server.answers("hang");
    bench.paid("o-1", &[]).await;
    server.received(1).await;
    worker.metric_is(&sent("smtp", "failed"), |failed| failed >= 1.0).await;
    server.answers("ok");
    bench.paid("o-2", &[]).await;
    bench.settled().await;
    let mails = server.mails();
    let of = |order: &str| -> Vec<String> {
        let subject = format!("Order {order} has been paid");
        let named = mails.iter().filter(|mail| mail.header("Subject") == subject);
        named.map(|mail| mail.header("Message-ID")).collect()
    };
    let (first, second) = (of("o-1"), of("o-2"));
    assert!(first.len() >= 2 && first.iter().all(|id| *id == first[0]), "{first:?}");
    assert_eq!(second.len(), 1, "{second:?}");
    assert!(bench.dead_letters().await.is_empty());
}

#[tokio::test]
async fn an_event_without_a_recipient_is_counted() {
    let server = MailServer::start(Security::None).await;
    let mut bench = bench(&server).await;
    bench.set("SMTP__TO", "");
    bench.set("SMTP__TO_FIELD", "email");
    let worker = bench.worker().await;
    bench.paid("o-1", &[]).await;
    worker.metric_is(&sent("smtp", "no_recipient"), |events| events == 1.0).await;
    bench.settled().await;
    assert!(server.mails().is_empty());
    assert!(bench.dead_letters().await.is_empty());
}
