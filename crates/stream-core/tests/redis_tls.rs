//! Redis over TLS: who is trusted, what is told when it does not come about, and renewal without a restart.

#![expect(clippy::unwrap_used, reason = "in helpers as in tests a panic is the failure report")]

use std::{fs, path::Path, time::Duration};

use redis::aio::MultiplexedConnection;
use stream_core::{
    ConnectSettings, Connector, ErrorKind, EventStream, StartAt, StreamKey, TlsFault, TlsFiles,
};
use tempfile::TempDir;
use testkit::{Authority, IdentityFiles, RedisServer, RedisTls, eventually};

/// Longer than anything takes on a busy machine; a test that waits so long has failed.
const SOON: Duration = Duration::from_secs(15);
const BLOCK: Duration = Duration::from_millis(10);
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// A server with certificates, and those of its clients.
struct Bench {
    authority: Authority,
    dir: TempDir,
    server: RedisServer,
    client: IdentityFiles,
}

impl Bench {
    async fn start(clients_show_one: bool) -> Self {
        let authority = Authority::new("the right one");
        let dir = TempDir::new().unwrap();
        let identity = authority.issue(&NAMES).write(dir.path(), "server");
        let client = authority.issue(&["client"]).write(dir.path(), "client");
        let ca = authority.write(dir.path(), "ca");
        let tls = RedisTls { ca, cert: identity.cert, key: identity.key, clients_show_one };
        let server = RedisServer::builder().tls(tls).start().await;
        Self { authority, dir, server, client }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Settings that trust the authority and show the client's certificate.
    fn settings(&self) -> ConnectSettings {
        let tls = TlsFiles {
            ca: Some(self.path().join("ca.pem")),
            cert: Some(self.client.cert.clone()),
            key: Some(self.client.key.clone()),
        };
        ConnectSettings { url: self.server.url(), tls, ..ConnectSettings::default() }
    }

    /// The same with other files.
    fn with(&self, change: impl FnOnce(&mut TlsFiles)) -> ConnectSettings {
        let mut settings = self.settings();
        change(&mut settings.tls);
        settings
    }

    /// Another certificate of the server's, in use at once.
    async fn renew(&mut self, names: &[&str], until: i32) {
        self.authority.issue_until(names, until).write(self.path(), "server");
        self.server.restart().await;
    }
}

/// What a connection with these settings fails with.
async fn fault(settings: ConnectSettings) -> TlsFault {
    let connector = Connector::new(settings).unwrap();
    let error = connector.commands().unwrap().ping().await.expect_err("it cannot connect");
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert_eq!(connector.errors().with_label_values(&["tls"]).get(), 1);
    let fault = error.tls_fault().unwrap();
    assert!(error.to_string().ends_with(&fault.to_string()), "{error}");
    fault
}

#[tokio::test]
async fn all_kinds_of_connection_speak_tls_and_show_their_certificate() {
    let bench = Bench::start(true).await;
    let connector = Connector::new(bench.settings()).unwrap();
    connector.commands().unwrap().ping().await.unwrap();
    connector.trials().unwrap().ping().await.unwrap();
    let key = StreamKey::new("orders").unwrap();
    let stream = EventStream::new(connector.commands().unwrap(), key);
    let id = stream.append([("a", "1")]).await.unwrap();
    stream.ensure_group("g", StartAt::Beginning).await.unwrap();
    let mut blocking = connector.blocking(BLOCK).unwrap();
    let read = stream.read_new(&mut blocking, "g", "c", 1, BLOCK).await.unwrap();
    assert_eq!(read[0].id, id);
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_is_told() {
    let bench = Bench::start(false).await;
    let other = Authority::new("another").write(bench.path(), "other");
    assert_eq!(fault(bench.with(|tls| tls.ca = Some(other))).await, TlsFault::UnknownIssuer);
    // The system's authorities have not signed it either.
    assert_eq!(fault(bench.with(|tls| tls.ca = None)).await, TlsFault::UnknownIssuer);
}

#[tokio::test]
async fn an_ended_certificate_and_one_for_another_name_are_told() {
    let mut bench = Bench::start(false).await;
    bench.renew(&NAMES, 2021).await;
    assert_eq!(fault(bench.settings()).await, TlsFault::Expired);
    bench.renew(&["redis.internal"], 2100).await;
    assert_eq!(fault(bench.settings()).await, TlsFault::WrongName);
}

#[tokio::test]
async fn a_client_certificate_that_is_missing_or_refused_is_told() {
    let bench = Bench::start(true).await;
    let none = bench.with(|tls| (tls.cert, tls.key) = (None, None));
    assert_eq!(fault(none).await, TlsFault::ClientCertificateRequired);
    let strange = Authority::new("another").issue(&["client"]).write(bench.path(), "strange");
    let strange = bench.with(|tls| (tls.cert, tls.key) = (Some(strange.cert), Some(strange.key)));
    assert_eq!(fault(strange).await, TlsFault::ClientCertificateRefused);
}

#[tokio::test]
async fn one_side_alone_that_speaks_tls_is_told() {
    let bench = Bench::start(true).await;
    let plain = bench.server.url().replace("rediss", "redis");
    assert_eq!(fault(ConnectSettings { url: plain, ..ConnectSettings::default() }).await, TlsFault::WantsTls);
    let plain = RedisServer::builder().arg("--requirepass", ["secret"]).start().await;
    let tls = ConnectSettings { url: plain.url().replace("redis", "rediss"), ..bench.settings() };
    assert_eq!(fault(tls).await, TlsFault::SpeaksNoTls);
}

#[tokio::test]
async fn nothing_turns_verification_off_and_nothing_is_ignored() {
    let bench = Bench::start(false).await;
    let refused =
        |settings: ConnectSettings| Connector::new(settings).expect_err("it is refused").to_string();
    let insecure = ConnectSettings { url: format!("{}/#insecure", bench.server.url()), ..bench.settings() };
    assert!(refused(insecure).contains("always verified"));
    let plain = ConnectSettings { url: "redis://127.0.0.1/".to_owned(), ..bench.settings() };
    assert!(refused(plain).contains("does not ask for TLS"));
    assert!(refused(bench.with(|tls| tls.key = None)).contains("needs its private key"));
    assert!(refused(bench.with(|tls| tls.ca = Some("/nowhere/ca.pem".into()))).contains("/nowhere/ca.pem"));
    fs::write(bench.path().join("ca.pem"), "").unwrap();
    assert!(refused(bench.settings()).contains("holds no certificate"));
}

#[tokio::test]
async fn renewed_certificates_of_both_sides_are_picked_up_without_a_restart_of_ours() {
    let mut bench = Bench::start(true).await;
    let connector = Connector::new(bench.settings()).unwrap();
    let connection = connector.commands().unwrap();
    connection.ping().await.unwrap();
    // Both from a new authority: what we trust and what we show have to change.
    let authority = Authority::new("the next one");
    let old = fs::read(bench.path().join("ca.pem")).unwrap();
    authority.write(bench.path(), "ca");
    authority.issue(&NAMES).write(bench.path(), "server");
    bench.server.restart().await;
    // Ours are not there yet.
    let new = fs::read(bench.path().join("ca.pem")).unwrap();
    fs::write(bench.path().join("ca.pem"), old).unwrap();
    eventually(SOON, "the new server is refused", async || {
        let kind = connection.ping().await.err().map(|error| error.kind());
        (kind == Some(ErrorKind::Tls)).then_some(()).ok_or(format!("{kind:?}"))
    })
    .await;
    // One file after the other, as it happens.
    fs::write(bench.path().join("ca.pem"), new).unwrap();
    eventually(SOON, "the old certificate is refused", async || {
        let fault = connection.ping().await.err().and_then(|error| error.tls_fault());
        (fault == Some(TlsFault::ClientCertificateRefused)).then_some(()).ok_or(format!("{fault:?}"))
    })
    .await;
    let renewed = authority.issue(&["client"]);
    fs::write(&bench.client.cert, &renewed.cert).unwrap();
    assert!(connection.ping().await.is_err(), "certificate and key do not belong together");
    fs::write(&bench.client.key, &renewed.key).unwrap();
    eventually(SOON, "it answers again", async || connection.ping().await).await;
}

#[tokio::test]
async fn user_and_password_come_from_files_of_their_own_and_are_read_again() {
    let bench = Bench::start(false).await;
    let mut admin = bench.server.connection().await;
    let set_user = async |name: &str, password: &str, admin: &mut MultiplexedConnection| {
        let words = ["SETUSER", name, "reset", "on", &format!(">{password}"), "~*", "+@all"];
        redis::cmd("ACL").arg(&words).query_async::<()>(admin).await.unwrap();
    };
    set_user("producer", "first", &mut admin).await;
    let (username, password) = (bench.path().join("username"), bench.path().join("password"));
    fs::write(&username, "producer\n").unwrap();
    fs::write(&password, "first\n").unwrap();
    let settings = ConnectSettings {
        username: "producer".to_owned(),
        username_file: Some(username.clone()),
        password: "first".to_owned(),
        password_file: Some(password.clone()),
        ..bench.settings()
    };
    let connector = Connector::new(settings).unwrap();
    let connection = connector.commands().unwrap();
    connection.ping().await.unwrap();
    // Another user with another password; the old one is thrown out.
    set_user("producer-2", "second", &mut admin).await;
    redis::cmd("ACL").arg(&["DELUSER", "producer"]).query_async::<()>(&mut admin).await.unwrap();
    eventually(SOON, "the old user is refused", async || {
        let kind = connection.ping().await.err().map(|error| error.kind());
        (kind == Some(ErrorKind::Auth)).then_some(()).ok_or(format!("{kind:?}"))
    })
    .await;
    fs::write(&username, "producer-2\n").unwrap();
    fs::write(&password, "second\n").unwrap();
    eventually(SOON, "the new one is used", async || connection.ping().await).await;
    let told = format!("{connector:?} {connection:?}");
    assert!(!told.contains("first") && !told.contains("second"), "{told}");
}
