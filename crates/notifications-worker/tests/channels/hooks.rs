//! Webhooks: signatures that others verify, and what each answer leads to.

use std::time::Duration;

use crate::{
    bench::{Bench, Worker, sent},
    receiver::{Answer, NEW_SECRET, OK, Receiver, SECRET},
};

async fn bench(endpoints: &[String]) -> Bench {
    let mut bench = Bench::start(Vec::new()).await;
    bench.set("NOTIFICATIONS__CHANNELS", "webhook");
    bench.set("WEBHOOK__ENDPOINTS", &format!("[{}]", endpoints.join(", ")));
    bench
}

async fn with(receiver: &Receiver, more: &str) -> (Bench, Worker) {
    let bench = bench(&[receiver.endpoint("crm", more)]).await;
    let worker = bench.worker().await;
    (bench, worker)
}

#[tokio::test]
async fn the_library_of_standard_webhooks_accepts_what_is_sent() {
    let receiver = Receiver::start().await;
    let (bench, worker) = with(&receiver, "").await;
    let id = bench.paid("o-1", &[("note", "grüße \"quoted\""), ("_source", "ours")]).await;
    bench.settled().await;
    let request = receiver.received(1).await.remove(0);
    assert_eq!(request.verdict(SECRET).await, "ok");
    assert_ne!(request.verdict(NEW_SECRET).await, "ok");
    let mut forged = request.clone();
    forged.body = forged.body.replace("49.50", "0.01");
    assert_ne!(forged.verdict(SECRET).await, "ok");
    let body = request.json();
    let told = ["type", "id", "text"].map(|name| body[name].as_str().expect("text"));
    assert_eq!(told, ["order.paid", id.as_str(), "bob, we have received 49.50 for your order o-1."]);
    assert_eq!((&body["data"]["note"], body["data"].get("_source")), (&"grüße \"quoted\"".into(), None));
    assert_eq!(request.headers["content-type"], "application/json");
    worker.metric_is(&sent("webhook:crm", "sent"), |sent| sent == 1.0).await;
    let log = worker.log();
    assert!(!log.contains("t0ken") && !log.contains("whsec_"), "{log}");
}

/// While a secret is replaced both sign: receivers that know either accept.
#[tokio::test]
async fn a_secret_is_replaced_without_a_gap() {
    let receiver = Receiver::start().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("\n{NEW_SECRET}\n")).expect("a file");
    let (bench, _worker) = with(&receiver, &format!("secrets_file = \"{}\"", file.path().display())).await;
    bench.paid("o-1", &[]).await;
    let request = receiver.received(1).await.remove(0);
    assert_eq!(request.headers["webhook-signature"].split(' ').count(), 2);
    assert_eq!(request.verdict(SECRET).await, "ok");
    assert_eq!(request.verdict(NEW_SECRET).await, "ok");
}

#[tokio::test]
async fn an_endpoint_is_told_of_its_types_and_each_has_its_own_name_for_a_message() {
    let (all, paid) = (Receiver::start().await, Receiver::start().await);
    let bench = bench(&[all.endpoint("all", ""), paid.endpoint("paid", "types = [\"order.paid\"]")]).await;
    let worker = bench.worker().await;
    bench.event("order.placed", "o-1", &[]).await;
    bench.event("order.paid", "o-1", &[]).await;
    bench.event("order.refunded", "o-1", &[]).await;
    bench.settled().await;
    assert_eq!((all.received(2).await.len(), paid.received(1).await.len()), (2, 1));
    let of_paid = |request: &&crate::receiver::Request| request.json()["type"] == "order.paid";
    let (requests, told) = (all.requests(), paid.requests());
    let same = requests.iter().find(of_paid).expect("it was told");
    assert_ne!(same.id(), told[0].id());
    assert_eq!(worker.metric("notifications_other_total").await, 1.0);
    assert_eq!(worker.sent("webhook:paid", "no_recipient").await, 0.0);
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for (status, headers) in [(500, ""), (503, ""), (429, "retry-after: 1\r\n"), (409, "")] {
        let receiver = Receiver::start().await;
        receiver.answers(move |_, nth| if nth < 3 { Answer::Says(status, headers, "later") } else { OK });
        let (bench, worker) = with(&receiver, "").await;
        let began = std::time::Instant::now();
        bench.paid("o-1", &[]).await;
        bench.settled().await;
        let requests = receiver.received(3).await;
        assert!(requests.len() == 3 && requests.iter().all(|request| request.id() == requests[0].id()));
        for request in &requests {
            assert_eq!(request.verdict(SECRET).await, "ok");
        }
        assert_eq!(worker.sent("webhook:crm", "failed").await, 2.0);
        assert!(bench.dead_letters().await.is_empty(), "{status}");
        if !headers.is_empty() {
            assert!(began.elapsed() >= Duration::from_secs(2), "what the receiver asks for is kept to");
        }
    }
}

#[tokio::test]
async fn what_will_not_pass_is_a_dead_letter_with_the_reason() {
    let elsewhere = Receiver::start().await;
    let location = format!("location: http://127.0.0.1:{}/secret-path\r\n", elsewhere.port);
    let location: &'static str = Box::leak(location.into_boxed_str());
    for (status, headers, expected) in [
        (410, "", "webhook:crm: answered 410: gone for good"),
        (400, "", "webhook:crm: answered 400: gone for good"),
        (301, location, "answered 301, a redirect, which is not followed: to http://127.0.0.1"),
        (307, location, "answered 307, a redirect"),
        (302, "location: http://169.254.169.254/latest/meta-data\r\n", "to http://169.254.169.254"),
    ] {
        let receiver = Receiver::start().await;
        receiver.answers(move |_, _| Answer::Says(status, headers, "gone\r\nfor \u{1b}good"));
        let (bench, _worker) = with(&receiver, "").await;
        bench.paid("o-1", &[]).await;
        let (reason, error) = bench.dead(1).await.remove(0);
        assert_eq!(reason, "rejected");
        assert!(error.contains(expected) && !error.contains("secret-path"), "{error}");
        assert_eq!(receiver.requests().len(), 1);
    }
    assert!(elsewhere.requests().is_empty(), "nobody follows a redirect");
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off() {
    let receiver = Receiver::start().await;
    receiver
        .answers(|request, _| Answer::Endless(if request.body.contains("o-accepted") { 200 } else { 404 }));
    let (bench, worker) = with(&receiver, "").await;
    bench.paid("o-accepted", &[]).await;
    bench.paid("o-refused", &[]).await;
    let (_, error) = bench.dead(1).await.remove(0);
    bench.settled().await;
    assert!(error.contains("answered 404: xxx") && error.len() < 250, "{error}");
    assert_eq!(worker.sent("webhook:crm", "sent").await, 1.0);
    assert_eq!(bench.dead_letters().await.len(), 1);
}

#[tokio::test]
async fn a_receiver_that_says_nothing_is_waited_for_until_its_timeout() {
    let receiver = Receiver::start().await;
    receiver.answers(|_, nth| if nth == 1 { Answer::Hangs } else { OK });
    let (bench, worker) = with(&receiver, "timeout = \"500ms\"").await;
    bench.paid("o-1", &[]).await;
    bench.settled().await;
    assert_eq!(receiver.received(2).await.len(), 2);
    assert_eq!(worker.sent("webhook:crm", "failed").await, 1.0);
    assert!(worker.log().contains("webhook:crm: no answer in time"), "{}", worker.log());
}

/// It fails for one entry alone, while others are accepted: its attempts count.
#[tokio::test]
async fn an_entry_that_fails_by_itself_is_a_dead_letter_in_the_end() {
    let receiver = Receiver::start().await;
    receiver.answers(
        |request, _| {
            if request.body.contains("o-bad") { Answer::Says(500, "", "cannot") } else { OK }
        },
    );
    let bench = bench(&[receiver.endpoint("crm", "")]).await;
    let worker = bench.worker().await;
    bench.paid("o-bad", &[]).await;
    let posting = async {
        loop {
            bench.paid("o-good", &[]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let dead = tokio::select! {
        dead = bench.dead(1) => dead,
        () = posting => unreachable!("it goes on for ever"),
    };
    assert_eq!(dead[0].0, "max_deliveries");
    assert!(dead[0].1.contains("webhook:crm: answered 500: cannot"), "{dead:?}");
    assert_eq!(worker.sent("webhook:crm", "failed").await, 5.0);
}
