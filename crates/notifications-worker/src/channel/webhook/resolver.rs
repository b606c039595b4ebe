//! [`GuardedResolver`]: looks names up, and lets no address through that requests may not go to.
//!
//! The connection is made to the very addresses that were looked at here, so a name that leads somewhere else the second
//! time (DNS rebinding) gains nothing.

use std::{io, net::SocketAddr, sync::Arc};

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::ssrf;

/// The most addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 64;

/// A name leads to an address that requests may not go to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} leads to {what}, where requests may not go")]
pub(super) struct Blocked {
    host: String,
    what: &'static str,
}

type Lookup = dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// Resolves as the system does, and refuses a name of which any address is refused.
pub(super) struct GuardedResolver {
    lookup: Arc<Lookup>,
    allow_private: bool,
}

impl GuardedResolver {
    /// The system's resolver behind the guard.
    pub(super) fn system(allow_private: bool) -> Self {
        let lookup = |host: String| -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            Box::pin(async move {
                let addresses = tokio::net::lookup_host((host.as_str(), 0)).await?;
                Ok(addresses.take(ADDRESSES_MAX).collect())
            })
        };
        Self { lookup: Arc::new(lookup), allow_private }
    }

    #[cfg(test)]
    fn answering(
        answers: impl Fn(&str) -> Vec<SocketAddr> + Send + Sync + 'static,
        allow_private: bool,
    ) -> Self {
        let lookup = move |host: String| -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            let addresses = answers(&host);
            Box::pin(async move { Ok(addresses) })
        };
        Self { lookup: Arc::new(lookup), allow_private }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, allow_private) = (Arc::clone(&self.lookup), self.allow_private);
        let host = name.as_str().to_owned();
        Box::pin(async move {
            let blocked = |what| Blocked { host: host.clone(), what };
            if ssrf::is_metadata_name(&host) {
                return Err(blocked("a metadata service").into());
            }
            let addresses = lookup(host.clone()).await?;
            // One is enough: whoever answers with an address of ours beside their own means no good.
            if let Some(what) =
                addresses.iter().find_map(|address| ssrf::refusal(address.ip(), allow_private))
            {
                return Err(blocked(what).into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::channel::{SendError, webhook};

    async fn resolved(resolver: &GuardedResolver, host: &str) -> Result<Vec<SocketAddr>, String> {
        let name = host.parse().expect("a name");
        resolver.resolve(name).await.map(Iterator::collect).map_err(|error| error.to_string())
    }

    fn address(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().expect("an address"), 0)
    }

    #[tokio::test]
    async fn one_address_of_ours_among_others_is_enough() {
        let answers = |_: &str| vec![address("93.184.216.34"), address("10.0.0.1")];
        let problem = resolved(&GuardedResolver::answering(answers, false), "crm.example").await;
        assert_eq!(
            problem,
            Err("crm.example leads to a private address, where requests may not go".to_owned())
        );
        assert_eq!(
            resolved(&GuardedResolver::answering(answers, true), "crm.example").await.unwrap().len(),
            2
        );
    }

    #[tokio::test]
    async fn this_machine_is_refused_under_its_names() {
        let system = GuardedResolver::system(false);
        assert!(resolved(&system, "localhost").await.is_err_and(|problem| problem.contains("loopback")));
        assert!(resolved(&GuardedResolver::system(true), "localhost").await.is_ok());
        assert!(resolved(&GuardedResolver::system(true), "metadata.google.internal").await.is_err());
    }

    /// A receiver at a public name first, at an address of ours the second time.
    #[tokio::test]
    async fn a_name_that_leads_elsewhere_the_second_time_gains_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let here = listener.local_addr().expect("an address");
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                _ = socket.read(&mut request).await;
                // Closed, so that the next request looks the name up anew.
                _ = socket
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .await;
            }
        });
        let asked = Arc::new(AtomicUsize::new(0));
        let lookups = Arc::clone(&asked);
        let answers = move |_: &str| match lookups.fetch_add(1, Ordering::SeqCst) {
            0 => vec![SocketAddr::new(here.ip(), 0)],
            _ => vec![address("169.254.169.254")],
        };
        let resolver = GuardedResolver::answering(answers, true);
        let client = webhook::client(Duration::from_secs(20), resolver, None).expect("a client");
        let url = format!("http://rebound.example:{}/", here.port());
        assert!(client.post(&url).send().await.expect("an answer").status().is_success());
        let error = client.post(&url).send().await.expect_err("the address is refused");
        let SendError::Permanent(reason) = webhook::failure(&error) else { panic!("{error:?}") };
        assert!(reason.contains("rebound.example leads to a metadata address"), "{reason}");
        assert_eq!((accepted.load(Ordering::SeqCst), asked.load(Ordering::SeqCst)), (1, 2));
    }

    #[tokio::test]
    async fn an_address_of_ours_is_not_even_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let client = webhook::client(Duration::from_secs(20), GuardedResolver::system(false), None);
        let client = client.expect("a client");
        for host in ["localhost", "LOCALHOST"] {
            let error = client.post(format!("http://{host}:{port}/")).send().await.expect_err("refused");
            assert!(matches!(webhook::failure(&error), SendError::Permanent(_)), "{host}: {error:?}");
        }
        let accepted = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
        assert!(accepted.is_err(), "somebody connected");
    }
}
