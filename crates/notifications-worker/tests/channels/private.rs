//! Webhooks do not reach this machine or its network unless they may.

use crate::{
    bench::{Bench, sent},
    receiver::{Receiver, SECRET},
};

async fn bench(url: &str, allow_private: bool) -> Bench {
    let mut bench = Bench::start(Vec::new()).await;
    bench.set("NOTIFICATIONS__CHANNELS", "webhook");
    let endpoint = format!(
        "[{{name = \"crm\", url = \"{url}\", secrets = [\"{SECRET}\"], allow_private = {allow_private}}}]"
    );
    bench.set("WEBHOOK__ENDPOINTS", &endpoint);
    bench
}

#[tokio::test]
async fn an_address_of_ours_in_the_url_is_refused_at_start() {
    let receiver = Receiver::start().await;
    for (host, allow_private) in [
        ("127.0.0.1", false),
        ("2130706433", false),
        ("0x7f000001", false),
        ("0177.0.0.1", false),
        ("127.1", false),
        ("[::1]", false),
        ("[::ffff:127.0.0.1]", false),
        ("[64:ff9b::127.0.0.1]", false),
        ("10.1.2.3", false),
        ("169.254.169.254", true),
        ("[::ffff:169.254.169.254]", true),
        ("metadata.google.internal", true),
    ] {
        let url = format!("http://{host}:{}/t0ken", receiver.port);
        let (code, log) = bench(&url, allow_private).await.spawn().ended().await;
        assert!(code.is_some_and(|code| code != 0), "{host}: {code:?}");
        assert!(log.contains("webhook.endpoints: ") && !log.contains("t0ken"), "{host}: {log}");
    }
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn a_name_that_leads_here_is_refused_when_it_is_looked_up() {
    let receiver = Receiver::start().await;
    for host in ["localhost", "LocalHost"] {
        let bench = bench(&format!("http://{host}:{}/", receiver.port), false).await;
        let worker = bench.worker().await;
        bench.paid("o-1", &[]).await;
        let (reason, error) = bench.dead(1).await.remove(0);
        assert_eq!(reason, "rejected");
        assert!(error.contains("leads to a loopback address"), "{error}");
        assert_eq!(worker.sent("webhook:crm", "refused").await, 1.0);
    }
    assert!(receiver.requests().is_empty(), "nobody has connected");
    let bench = bench(&format!("http://localhost:{}/", receiver.port), true).await;
    let worker = bench.worker().await;
    bench.paid("o-1", &[]).await;
    worker.metric_is(&sent("webhook:crm", "sent"), |sent| sent == 1.0).await;
}

/// A proxy of the environment would connect for us, to whatever address.
#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    let (receiver, proxy) = (Receiver::start().await, Receiver::start().await);
    let bench = bench(&format!("http://127.0.0.1:{}/", receiver.port), true).await;
    let proxy_url = format!("http://127.0.0.1:{}", proxy.port);
    let worker = bench
        .worker_with(&[("HTTP_PROXY", &proxy_url), ("http_proxy", &proxy_url), ("ALL_PROXY", &proxy_url)])
        .await;
    bench.paid("o-1", &[]).await;
    worker.metric_is(&sent("webhook:crm", "sent"), |sent| sent == 1.0).await;
    assert_eq!((receiver.requests().len(), proxy.requests().len()), (1, 0));
}
