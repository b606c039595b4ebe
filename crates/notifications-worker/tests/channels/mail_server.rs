//! A mail server that nobody here wrote (aiosmtpd), and what it was given.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tempfile::TempDir;
use testkit::eventually;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::bench::SOON;

/// The login that a server with one asks for.
pub(crate) const LOGIN: (&str, &str) = ("orderflow", "s3cret-of-the-mail");

/// How a server protects its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    None,
    Starttls,
    Tls,
}

/// A running server; it ends when it is dropped.
pub(crate) struct MailServer {
    child: Child,
    directory: TempDir,
    security: Security,
    mails: Arc<Mutex<Vec<Mail>>>,
    pub(crate) port: u16,
}

/// One mail, as the server got it.
#[derive(Debug, Clone)]
pub(crate) struct Mail(pub(crate) Value);

impl MailServer {
    pub(crate) async fn start(security: Security) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        if security != Security::None {
            let certified =
                rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
            let write =
                |name: &str, pem: String| std::fs::write(directory.path().join(name), pem).expect("a file");
            write("certificate.pem", certified.cert.pem());
            write("key.pem", certified.signing_key.serialize_pem());
        }
        std::fs::write(directory.path().join("mode"), "ok").expect("a file");
        let mails = Arc::default();
        let (child, port) = run(directory.path(), security, 0, &mails).await;
        Self { child, directory, security, mails, port }
    }

    /// How it answers from now on.
    pub(crate) fn answers(&self, mode: &str) {
        let path = self.directory.path().join("mode");
        // In one step: it is read at any time.
        std::fs::write(path.with_extension("new"), mode).expect("a file");
        std::fs::rename(path.with_extension("new"), path).expect("a file");
    }

    /// Stops it: nothing listens there any more.
    pub(crate) async fn stop(&mut self) {
        self.child.kill().await.expect("its own child can be killed");
    }

    /// Starts it again at its old port.
    pub(crate) async fn restart(&mut self) {
        (self.child, _) = run(self.directory.path(), self.security, self.port, &self.mails).await;
    }

    /// The settings of a worker that sends mail to it, all of it to one recipient.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let certificate = self.certificate();
        let mut settings =
            vec![("SMTP__HOST", "localhost".to_owned()), ("SMTP__PORT", self.port.to_string())];
        settings.push(("SMTP__FROM", "Shop <orders@shop.example>".to_owned()));
        settings.push(("SMTP__TO", "ops@shop.example".to_owned()));
        settings.push((
            "SMTP__SECURITY",
            match self.security {
                Security::None => "none",
                Security::Starttls => "starttls",
                Security::Tls => "tls",
            }
            .to_owned(),
        ));
        if self.security != Security::None {
            settings.push(("NOTIFICATIONS__CA_FILE", certificate.display().to_string()));
            settings.push(("SMTP__USERNAME", LOGIN.0.to_owned()));
            settings.push(("SMTP__PASSWORD", LOGIN.1.to_owned()));
        }
        settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().expect("no panic while locked").clone()
    }

    /// Waits until it was given so many mails.
    pub(crate) async fn received(&self, count: usize) -> Vec<Mail> {
        eventually(SOON, "so many mails have arrived", async || {
            let mails = self.mails();
            if mails.len() >= count { Ok(mails) } else { Err(format!("{} of {count}", mails.len())) }
        })
        .await
    }
}

impl Mail {
    /// The values of every header of this name.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let headers = self.0["headers"].as_array().expect("headers");
        let named = headers
            .iter()
            .filter(|header| header[0].as_str().is_some_and(|header| header.eq_ignore_ascii_case(name)));
        named.map(|header| header[1].as_str().expect("text").to_owned()).collect()
    }

    /// The one header of this name.
    pub(crate) fn header(&self, name: &str) -> String {
        let headers = self.headers(name);
        assert_eq!(headers.len(), 1, "{name}: {headers:?}");
        headers.into_iter().next().unwrap_or_default()
    }

    /// The part of this type, as text.
    pub(crate) fn part(&self, content_type: &str) -> Option<String> {
        let parts = self.0["parts"].as_array().expect("parts");
        let part = parts.iter().find(|part| part[0] == content_type)?;
        Some(part[1].as_str().expect("text").replace("\r\n", "\n"))
    }
}

async fn run(directory: &Path, security: Security, port: u16, mails: &Arc<Mutex<Vec<Mail>>>) -> (Child, u16) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/channels/mail_server.py");
    let mut command = Command::new(python());
    command.arg("-B").arg(script).arg(directory.join("mode")).arg("--port").arg(port.to_string());
    if security != Security::None {
        command.arg("--certificate").arg(directory.join("certificate.pem"));
        command.arg("--key").arg(directory.join("key.pem"));
        command.arg("--login").arg(format!("{}:{}", LOGIN.0, LOGIN.1));
    }
    if security == Security::Tls {
        command.arg("--implicit");
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("deploy/scripts/ensure-notification-tools.sh installs what this needs");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let port = lines.next_line().await.expect("a line").expect("its port");
    let mails = Arc::clone(mails);
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let mail = serde_json::from_str(&line).expect("JSON");
            mails.lock().expect("no panic while locked").push(Mail(mail));
        }
    });
    (child, port.parse().expect("a port"))
}

/// The Python with what `ensure-notification-tools.sh` has installed.
pub(crate) fn python() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_notifications-worker"));
    let target = binary.parent().and_then(Path::parent).expect("a target directory");
    target.join("notification-tools/bin/python")
}
