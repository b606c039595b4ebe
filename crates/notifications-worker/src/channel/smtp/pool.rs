//! [`Pool`]: connections to the mail server that are used again.
//!
//! lettre's own asynchronous pool takes a connection back whatever state its last mail was left in, and has no bound on
//! the wait for an answer: a mail that is given up half-way would be finished by the next one's commands. Here a
//! connection comes back only after the server has said that it took the mail; otherwise it is closed.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use lettre::{
    address::Envelope,
    transport::smtp::{
        Error as SmtpError,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        extension::ClientId,
    },
};
use service_kit::config::{Smtp, SmtpSecurity};
use tokio::time::Instant;

/// A connection that was not used for so long is closed; servers do so after some minutes.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Servers refuse more after some hundreds.
const MAILS_MAX: u32 = 100;

/// Makes connections, and keeps those that are idle.
pub(super) struct Pool {
    host: String,
    port: u16,
    security: SmtpSecurity,
    tls: Option<TlsParameters>,
    hello: ClientId,
    credentials: Option<Credentials>,
    timeout: Duration,
    idle: Mutex<Vec<Connection>>,
    idle_max: usize,
}

/// A connection that is logged in.
pub(super) struct Connection {
    inner: AsyncSmtpConnection,
    mails: u32,
    used: Instant,
}

impl Pool {
    pub(super) fn new(settings: &Smtp, hello: &str, authorities: Option<&[u8]>) -> anyhow::Result<Self> {
        let Smtp { host, port, security, username, password, timeout, concurrency, .. } = settings;
        let usual = match security {
            SmtpSecurity::Starttls => 587,
            SmtpSecurity::Tls => 465,
            SmtpSecurity::None => 25,
        };
        let tls = match security {
            SmtpSecurity::None => None,
            SmtpSecurity::Starttls | SmtpSecurity::Tls => {
                let mut tls = TlsParameters::builder(host.clone());
                if let Some(pem) = authorities {
                    let certificate = Certificate::from_pem(pem).context("notifications.ca_file")?;
                    tls = tls.add_root_certificate(certificate);
                }
                Some(tls.build_rustls()?)
            }
        };
        let credentials =
            (!username.is_empty()).then(|| Credentials::new(username.clone(), password.expose().to_owned()));
        Ok(Self {
            host: host.clone(),
            port: if *port == 0 { usual } else { *port },
            security: *security,
            tls,
            hello: ClientId::Domain(hello.to_owned()),
            credentials,
            timeout: *timeout,
            idle: Mutex::new(Vec::new()),
            idle_max: *concurrency,
        })
    }

    /// A connection that answers: an idle one, else a new one.
    pub(super) async fn take(&self) -> Result<Connection, SmtpError> {
        while let Some(mut idle) = self.pop() {
            if idle.inner.test_connected().await {
                return Ok(idle);
            }
        }
        self.connect().await
    }

    /// Takes a connection back whose last mail was accepted.
    pub(super) fn put(&self, mut connection: Connection) {
        connection.mails += 1;
        connection.used = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.mails < MAILS_MAX && idle.len() < self.idle_max && !connection.inner.has_broken() {
            idle.push(connection);
        }
    }

    /// The connection that was used last; those that were idle for too long are closed.
    fn pop(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| connection.used.elapsed() < IDLE_MAX);
        idle.pop()
    }

    async fn connect(&self) -> Result<Connection, SmtpError> {
        let wrapped = self.tls.clone().filter(|_| self.security == SmtpSecurity::Tls);
        let server = (self.host.as_str(), self.port);
        let mut inner =
            AsyncSmtpConnection::connect_tokio1(server, Some(self.timeout), &self.hello, wrapped, None)
                .await?;
        if self.security == SmtpSecurity::Starttls
            && let Some(tls) = &self.tls
        {
            // An error where the server does not offer it: nothing is ever sent in the clear.
            inner.starttls(tls.clone(), &self.hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            inner.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await?;
        }
        Ok(Connection { inner, mails: 0, used: Instant::now() })
    }
}

impl Connection {
    /// Sends one mail; returns once the server has accepted it.
    pub(super) async fn send(&mut self, envelope: &Envelope, mail: &[u8]) -> Result<(), SmtpError> {
        self.inner.send(envelope, mail).await.map(drop)
    }
}
