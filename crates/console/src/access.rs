//! Who may use the console: everybody where it has no token, else whoever presents it or has logged in with it.

use std::{
    collections::HashMap,
    fmt::Write as _,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, Uri, header, uri::Authority};
use service_kit::{
    config::Console,
    token::{BearerToken, bearer},
};

use crate::attempts::Attempts;

/// The name of the cookie that holds a session's ID.
pub(crate) const COOKIE: &str = "orderflow_console";
/// Sessions at the same time; beyond it the one that was used least recently ends.
const SESSIONS_MAX: usize = 1_000;

/// What a login came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// The ID of the new session.
    Session(String),
    /// There is no token, so that nobody needs to log in.
    NotNeeded,
    WrongToken,
    /// Too many wrong tokens were presented from there; one may be tried again after this time.
    TooMany(Duration),
    /// The system gives no random numbers.
    NoRandomness,
}

/// Who may do what.
#[derive(Debug)]
pub(crate) struct Access {
    token: Option<BearerToken>,
    sessions: Mutex<Sessions>,
    read_only: bool,
    allowed_hosts: Vec<String>,
}

#[derive(Debug)]
struct Sessions {
    ttl: Duration,
    /// By ID: when it was used last.
    used: HashMap<String, Instant>,
    attempts: Attempts,
}

impl Access {
    pub(crate) fn new(settings: &Console) -> Self {
        let (ttl, used) = (settings.session_ttl, HashMap::new());
        Self {
            token: BearerToken::new(&settings.token),
            sessions: Mutex::new(Sessions { ttl, used, attempts: Attempts::default() }),
            read_only: settings.read_only,
            allowed_hosts: settings.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        }
    }

    /// Whether somebody must log in, or present the token.
    pub(crate) const fn login_required(&self) -> bool {
        self.token.is_some()
    }

    /// Whether nothing may be changed.
    pub(crate) const fn read_only(&self) -> bool {
        self.read_only
    }

    /// Whether a request may do what everybody may not.
    pub(crate) fn allows(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        bearer(headers).is_some_and(|presented| token.is(presented))
            || session_id(headers).is_some_and(|id| self.sessions().touch(id))
    }

    /// Begins a session with the token, for somebody at this address.
    pub(crate) fn log_in(&self, presented: &str, from: Option<IpAddr>) -> Login {
        let Some(token) = &self.token else { return Login::NotNeeded };
        let mut sessions = self.sessions();
        if let Some(wait) = sessions.attempts.must_wait(from) {
            return Login::TooMany(wait);
        }
        if !token.is(presented) {
            sessions.attempts.wrong(from);
            return Login::WrongToken;
        }
        random_id().map_or(Login::NoRandomness, |id| {
            sessions.begin(id.clone());
            Login::Session(id)
        })
    }

    /// Ends the session of a request, if it has one.
    pub(crate) fn log_out(&self, headers: &HeaderMap) {
        if let Some(id) = session_id(headers) {
            self.sessions().used.remove(id);
        }
    }

    /// Whether the name that a browser knows this console by cannot be one that somebody else's page was led here with
    /// (DNS rebinding). With a token it does not matter: such a page has none.
    pub(crate) fn knows_host(&self, headers: &HeaderMap) -> bool {
        if self.token.is_some() {
            return true;
        }
        let Some(authority) = host(headers) else { return false };
        let host = authority.host().to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<IpAddr>().is_ok() || self.allowed_hosts.contains(&host)
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// Whether there is such a session; it lasts for another while then.
    fn touch(&mut self, id: &str) -> bool {
        let ttl = self.ttl;
        self.used.retain(|_, used| used.elapsed() < ttl);
        self.used.get_mut(id).is_some_and(|used| {
            *used = Instant::now();
            true
        })
    }

    fn begin(&mut self, id: String) {
        if self.used.len() >= SESSIONS_MAX {
            let oldest = self.used.iter().min_by_key(|(_, used)| **used).map(|(id, _)| id.clone());
            self.used.remove(&oldest.unwrap_or_default());
        }
        self.used.insert(id, Instant::now());
    }
}

/// Whether a request comes from this console's own page, or from no page at all (CSRF).
pub(crate) fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let site = text(header::HeaderName::from_static("sec-fetch-site"));
    if !matches!(site, None | Some("same-origin" | "none")) {
        return false;
    }
    let Some(origin) = text(header::ORIGIN) else { return true };
    let origin = origin.parse::<Uri>().ok();
    let origin = origin.as_ref().and_then(Uri::authority);
    // Behind something that terminates TLS the schemes differ; the host does not.
    origin.is_some() && origin == host(headers).as_ref()
}

fn host(headers: &HeaderMap) -> Option<Authority> {
    headers.get(header::HOST)?.to_str().ok()?.parse().ok()
}

fn session_id(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// 128 bits that nobody can guess, in hexadecimal.
fn random_id() -> Option<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use service_kit::{Settings, config::Secret};

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn access(token: &str) -> Access {
        let mut settings = Settings::default().console;
        settings.token = Secret::new(token);
        settings.allowed_hosts = vec!["Console.example".to_owned()];
        Access::new(&settings)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_session_is_as_good_as_the_token_until_it_ends() {
        let access = access(TOKEN);
        assert!(!access.allows(&HeaderMap::new()));
        assert!(access.allows(&headers(&[("authorization", "Bearer 0123456789abcdef")])));
        assert!(!access.allows(&headers(&[("authorization", "Bearer 0123456789abcdee")])));
        let Login::Session(id) = access.log_in(TOKEN, None) else { panic!("the token is right") };
        assert_eq!(id.len(), 32);
        let mine = headers(&[("cookie", &format!("other=1; {COOKIE}={id}"))]);
        assert!(access.allows(&mine));
        assert!(!access.allows(&headers(&[("cookie", &format!("{COOKIE}={id}0"))])));
        access.log_out(&mine);
        assert!(!access.allows(&mine));
    }

    #[test]
    fn sessions_are_bounded_and_expire() {
        let access = access(TOKEN);
        let Login::Session(first) = access.log_in(TOKEN, None) else { panic!("the token is right") };
        for _ in 0..SESSIONS_MAX {
            access.log_in(TOKEN, None);
        }
        assert_eq!(access.sessions().used.len(), SESSIONS_MAX);
        assert!(!access.sessions().touch(&first), "the oldest has ended");
        access.sessions().ttl = Duration::ZERO;
        assert!(!access.sessions().touch(&first));
        assert!(access.sessions().used.is_empty());
    }

    #[test]
    fn after_too_many_wrong_tokens_the_right_one_waits_too() {
        let access = access(TOKEN);
        let mut wrong = 0;
        while access.log_in("wrong", None) == Login::WrongToken {
            wrong += 1;
        }
        assert_eq!(wrong, 10);
        assert!(matches!(access.log_in(TOKEN, None), Login::TooMany(_)));
        assert!(matches!(access.log_in(TOKEN, Some([10, 0, 0, 1].into())), Login::Session(_)));
    }

    #[test]
    fn without_a_token_only_known_names_lead_here() {
        let open = access("");
        for host in
            ["localhost:8788", "LOCALHOST", "127.0.0.1:8788", "[::1]:8788", "10.0.0.7", "console.Example:80"]
        {
            assert!(open.knows_host(&headers(&[("host", host)])), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8788", "127.0.0.1.evil.example", ""] {
            assert!(!open.knows_host(&headers(&[("host", host)])), "{host}");
        }
        assert!(!open.knows_host(&HeaderMap::new()));
        assert!(access(TOKEN).knows_host(&headers(&[("host", "evil.example")])));
    }

    #[test]
    fn other_pages_are_told_apart_from_scripts_and_from_our_own() {
        let host = ("host", "127.0.0.1:8788");
        let own: [&[(&'static str, &str)]; 5] = [
            &[],
            &[("origin", "http://127.0.0.1:8788")],
            &[("origin", "https://127.0.0.1:8788"), ("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin")],
        ];
        for pairs in own {
            assert!(is_own_page(&headers(&[&[host], pairs].concat())), "{pairs:?}");
        }
        let others: [&[(&'static str, &str)]; 6] = [
            &[("origin", "http://evil.example")],
            &[("origin", "http://127.0.0.1:9999")],
            &[("origin", "null")],
            &[("origin", "http://127.0.0.1:8788"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "")],
        ];
        for pairs in others {
            assert!(!is_own_page(&headers(&[&[host], pairs].concat())), "{pairs:?}");
        }
    }
}
