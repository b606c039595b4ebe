//! What is checked of settings that are text: names, addresses, files and secrets.

use tracing_subscriber::EnvFilter;

use super::Settings;
use super::check::Checker;

const REDIS_SCHEMES: [&str; 7] =
    ["redis", "rediss", "valkey", "valkeys", "unix", "redis+unix", "valkey+unix"];
/// A token that can be guessed is none.
const TOKEN_BYTES_MIN: usize = 16;

impl Checker<'_> {
    pub(super) fn texts(&mut self, settings: &Settings) {
        match url::Url::parse(settings.redis.url.expose()) {
            Ok(url) if REDIS_SCHEMES.contains(&url.scheme()) => self.redis(&url, &settings.redis),
            Ok(_) => self.fail("redis.url", "has a scheme that is not Redis's", REDIS_SCHEMES.join(", ")),
            Err(error) => self.fail(
                "redis.url",
                format!("is not a URL: {error}"),
                "a URL such as redis://user:password@host:6379/0",
            ),
        }
        if let Err((problem, allowed)) = stream_key(&settings.stream.key) {
            self.fail("stream.key", problem, allowed);
        }
        for (key, token) in [
            ("admin.token", &settings.admin.token),
            ("console.token", &settings.console.token),
            ("console.api_key", &settings.console.api_key),
            ("client.api_key", &settings.client.api_key),
        ] {
            let token = token.expose();
            let is_printable = token.bytes().all(|byte| byte.is_ascii_graphic());
            if !token.is_empty() && (token.len() < TOKEN_BYTES_MIN || !is_printable) {
                let allowed = format!(
                    "empty, or at least {TOKEN_BYTES_MIN} printable ASCII characters without spaces, such as \
                     `openssl rand -hex 32` prints"
                );
                self.fail(key, "cannot be used as a bearer token", allowed);
            }
        }
        for (key, url) in [
            ("console.producer_url", &settings.console.producer_url),
            ("console.analytics_url", &settings.console.analytics_url),
        ] {
            let schemes = ["http", "https"];
            if !url::Url::parse(url).is_ok_and(|url| schemes.contains(&url.scheme()) && url.has_host()) {
                self.fail(
                    key,
                    format!("{url:?} cannot be used"),
                    "http://host[:port] or https://host[:port]",
                );
            }
        }
        if let Err(error) = EnvFilter::try_new(&settings.log.filter) {
            self.fail(
                "log.filter",
                error.to_string(),
                "a level or directives such as info,stream_core=debug",
            );
        }
    }

    /// What goes beside the URL must go with it.
    fn redis(&mut self, url: &url::Url, redis: &super::Redis) {
        if url.fragment().is_some() {
            self.fail(
                "redis.url",
                "has a fragment (#…); a certificate is always verified",
                "a URL without one; redis.tls_ca names a private authority",
            );
        }
        for (key, is_set, is_in_url) in [
            ("redis.username", !redis.username.as_str().is_empty(), !url.username().is_empty()),
            ("redis.password", !redis.password.is_empty(), url.password().is_some()),
        ] {
            if is_set && is_in_url {
                self.fail_pair(key, "redis.url", "is set, and redis.url holds one as well", "one of the two");
            }
        }
        let is_tls = ["rediss", "valkeys"].contains(&url.scheme());
        for (key, path) in [
            ("redis.tls_ca", &redis.tls_ca),
            ("redis.tls_cert", &redis.tls_cert),
            ("redis.tls_key", &redis.tls_key),
        ] {
            if !path.as_os_str().is_empty() && !is_tls {
                self.fail_pair(
                    key,
                    "redis.url",
                    format!("is set, and redis.url ({}://) does not ask for TLS", url.scheme()),
                    "with a URL of scheme rediss or valkeys",
                );
            }
        }
    }

    /// Half a pair would leave a port in the clear that was meant to be under TLS.
    pub(super) fn tls(&mut self, settings: &Settings) {
        let tls = &settings.tls;
        let is_set = |path: &std::path::Path| !path.as_os_str().is_empty();
        for (key, is_set, other, other_is_set) in [
            ("tls.cert", is_set(&tls.cert), "tls.key", is_set(&tls.key)),
            ("tls.client_cert", is_set(&tls.client_cert), "tls.client_key", is_set(&tls.client_key)),
            (
                "redis.tls_cert",
                is_set(&settings.redis.tls_cert),
                "redis.tls_key",
                is_set(&settings.redis.tls_key),
            ),
        ] {
            let (missing, given) = match (is_set, other_is_set) {
                (true, false) => (other, key),
                (false, true) => (key, other),
                _ => continue,
            };
            self.fail_pair(missing, given, format!("is empty, and {given} is set"), "both, or neither");
        }
        for (key, is_wanted) in [("tls.client_ca", is_set(&tls.client_ca)), ("tls.ops", tls.ops)] {
            if is_wanted && !is_set(&tls.cert) {
                self.fail_pair(key, "tls.cert", "is set without tls.cert", "with tls.cert and tls.key");
            }
        }
    }
}

/// A key with braces must have a hash tag by Redis Cluster's rule: `{`, at least one character, `}`.
fn stream_key(key: &str) -> Result<(), (&'static str, &'static str)> {
    if key.is_empty() {
        return Err(("is empty", "the key of a stream, such as events:orders"));
    }
    if !key.contains(['{', '}']) {
        return Ok(());
    }
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    match tag {
        Some(tag) if !tag.is_empty() => Ok(()),
        _ => Err(("has a brace but no hash tag", "no braces, or a tag such as events:orders:{tenant_a}")),
    }
}
