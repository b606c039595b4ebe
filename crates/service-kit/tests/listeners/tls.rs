//! Ports under TLS, as openssl, rustls and an HTTP client see them: versions, ALPN, client certificates, renewal.

use std::{fs, path::Path, process::Stdio, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use service_kit::Settings;
use tempfile::TempDir;
use testkit::{Authority, Identity, eventually, install_tls_provider};
use tokio::{net::TcpStream, process::Command};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    client::{RawClient, SOON},
    server::Server,
};

const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

struct Bench {
    authority: Authority,
    dir: TempDir,
    server: Server,
}

impl Bench {
    async fn start(change: impl FnOnce(&Path, &mut Settings)) -> Self {
        install_tls_provider();
        let authority = Authority::new("the right one");
        let dir = TempDir::new().unwrap();
        authority.write(dir.path(), "ca");
        let files = authority.issue(&NAMES).write(dir.path(), "server");
        let server = Server::with(|settings| {
            (settings.tls.cert, settings.tls.key) = (files.cert, files.key);
            change(dir.path(), settings);
        })
        .await;
        Self { authority, dir, server }
    }

    fn client_config(&self, identity: Option<&Identity>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder().with_root_certificates(roots);
        match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { cert, key }) => {
                let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![cert], key).unwrap()
            }
        }
    }

    /// A new HTTP client, so that it makes a new connection.
    fn http(&self, identity: Option<&Identity>) -> reqwest::Client {
        let config = self.client_config(identity);
        reqwest::Client::builder().no_proxy().tls_backend_preconfigured(config).build().unwrap()
    }

    async fn handshake(&self, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.server.addr).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }

    /// The certificate that a new connection is shown.
    async fn shown(&self) -> CertificateDer<'static> {
        let stream = self.handshake(self.client_config(None)).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    }

    async fn openssl(&self, args: &[&str]) -> (bool, String) {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &self.server.addr.to_string(), "-CAfile"]);
        command.arg(self.dir.path().join("ca.pem")).arg("-verify_return_error").args(args);
        let output = command.stdin(Stdio::null()).output().await.expect("openssl is there");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }
}

#[tokio::test]
async fn openssl_gets_tls_1_2_and_1_3_and_nothing_older_and_the_protocol_it_asks_for() {
    let bench = Bench::start(|_, _| {}).await;
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (ok, said) = bench.openssl(&[version, "-alpn", "h2,http/1.1"]).await;
        assert!(ok && said.contains("Verify return code: 0 (ok)"), "{said}");
        assert!(said.contains(name) && said.contains("ALPN protocol: h2"), "{said}");
    }
    let (_, said) = bench.openssl(&["-alpn", "http/1.1"]).await;
    assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
    // Debian's openssl must be talked into speaking it at all.
    let (ok, said) = bench.openssl(&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]).await;
    assert!(!ok && said.contains("alert"), "{said}");
}

#[tokio::test]
async fn requests_are_answered_in_both_protocols_and_the_peer_is_known() {
    let bench = Bench::start(|_, _| {}).await;
    let mut config = bench.client_config(None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let http2 = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(config).build().unwrap();
    let answer = http2.get(bench.server.url("/who")).send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, "127.0.0.1 over HTTP/2.0");
    let config = bench.client_config(None);
    let http1 =
        reqwest::Client::builder().no_proxy().http1_only().tls_backend_preconfigured(config).build().unwrap();
    let answer = http1.get(bench.server.url("/who")).send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, "127.0.0.1 over HTTP/1.1");
    // Whoever does not know that it is TLS is sent away.
    let plain = RawClient::connect(bench.server.addr).await.get("/who").await;
    assert!(!plain.starts_with("HTTP/"), "{plain}");
}

#[tokio::test]
async fn without_a_client_certificate_of_the_right_authority_nobody_gets_in() {
    let bench = Bench::start(|dir, settings| settings.tls.client_ca = dir.join("ca.pem")).await;
    let right = bench.authority.issue(&["a client"]);
    let wrong = Authority::new("another").issue(&["a client"]);
    let ended = bench.authority.issue_until(&["a client"], 2021);
    let ask = async |identity: Option<&Identity>| {
        bench.http(identity).get(bench.server.url("/who")).send().await.map(|answer| answer.status().as_u16())
    };
    assert_eq!(ask(Some(&right)).await.unwrap(), 200);
    for identity in [None, Some(&wrong), Some(&ended)] {
        assert!(ask(identity).await.is_err());
    }
    eventually(SOON, "the refused are counted", async || {
        let cut = bench.server.cut("tls_handshake");
        (cut >= 3.0).then_some(()).ok_or(cut)
    })
    .await;
    let (_, said) = bench.openssl(&["-tls1_3"]).await;
    assert!(
        said.contains("certificate required") || said.contains("Acceptable client certificate CA names"),
        "{said}"
    );
}

#[tokio::test]
async fn a_renewed_certificate_is_served_while_requests_go_on() {
    let bench = Bench::start(|_, settings| settings.http.idle_timeout = Duration::from_mins(5)).await;
    let kept = bench.http(None);
    let url = bench.server.url("/who");
    let before = bench.shown().await;
    assert_eq!(kept.get(&url).send().await.unwrap().status(), 200);
    let accepted = bench.server.metric("http_connections_accepted_total", "");
    bench.authority.issue_until(&NAMES, 2031).write(bench.dir.path(), "server");
    eventually(SOON, "new connections get the new one", async || {
        assert_eq!(kept.get(&url).send().await.unwrap().status(), 200);
        assert_eq!(bench.http(None).get(&url).send().await.unwrap().status(), 200);
        (bench.shown().await != before).then_some(())
    })
    .await;
    assert_eq!(kept.get(&url).send().await.unwrap().status(), 200, "the old connection lives on");
    assert!(bench.server.metric("http_connections_accepted_total", "") > accepted);
    let end = bench.server.metric("tls_certificate_not_after_timestamp_seconds", "public");
    assert_eq!(end, 1_924_992_000.0, "the first of January 2031");
}

#[tokio::test]
async fn a_pair_of_which_one_half_is_written_changes_nothing() {
    let bench = Bench::start(|_, _| {}).await;
    let before = bench.shown().await;
    let renewed = bench.authority.issue(&NAMES);
    let path = |name: &str| bench.dir.path().join(name);
    let failed = || bench.server.metric("tls_certificate_reload_failed", "public");
    assert_eq!(failed(), 0.0);
    for half in [&renewed.cert[..100], "", renewed.cert.as_str()] {
        fs::write(path("server.pem"), half).unwrap();
        eventually(SOON, "it is noticed", async || {
            assert_eq!(bench.shown().await, before);
            (failed() == 1.0).then_some(())
        })
        .await;
    }
    fs::write(path("server.key"), &renewed.key).unwrap();
    eventually(SOON, "the whole pair is served", async || (bench.shown().await != before).then_some(()))
        .await;
    assert_eq!(failed(), 0.0);
}

#[tokio::test]
async fn a_client_that_is_silent_in_its_handshake_is_cut() {
    let bench = Bench::start(|_, settings| settings.tls.handshake_timeout = Duration::from_millis(300)).await;
    let mut silent = RawClient::connect(bench.server.addr).await;
    assert_eq!(silent.hear_all().await, "");
    assert_eq!(bench.server.cut("tls_handshake"), 1.0);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_with_their_setting() {
    let authority = Authority::new("the right one");
    let dir = TempDir::new().unwrap();
    let files = authority.issue(&NAMES).write(dir.path(), "server");
    let other = authority.issue(&NAMES).write(dir.path(), "other");
    let empty = dir.path().join("empty");
    fs::write(&empty, "").unwrap();
    let refused = async |cert: &Path, key: &Path| {
        let mut settings = Settings::default();
        (settings.tls.cert, settings.tls.key) = (cert.to_owned(), key.to_owned());
        let listeners = service_kit::http::Listeners::register(settings.into(), &prometheus::Registry::new());
        let port = service_kit::http::Port::public(([127, 0, 0, 1], 0).into(), "producer.listen");
        listeners.unwrap().bind(port).await.expect_err("it is refused").to_string()
    };
    let told = refused(&files.cert, &other.key).await;
    assert!(told.starts_with("tls.cert and tls.key: the private key in "), "{told}");
    let told = refused(&empty, &files.key).await;
    assert!(told.starts_with("tls.cert: ") && told.contains("holds no certificate"), "{told}");
    let told = refused(&files.cert, &empty).await;
    assert!(told.starts_with("tls.key: ") && told.contains("holds no private key"), "{told}");
    let told = refused(&files.cert, Path::new("/nowhere/key")).await;
    assert!(told.starts_with("tls.key: cannot read /nowhere/key: "), "{told}");
}
