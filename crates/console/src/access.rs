//! Who may use the console: everybody where it has neither a token nor keys, else whoever presents one or has logged in
//! with it.

use std::{
    collections::HashMap,
    fmt::Write as _,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, Uri, header, uri::Authority};
use service_kit::{
    auth::{Attempts, Authenticator, Caller, Refusal, Scope},
    config::Console,
    token::{BearerToken, bearer},
};

/// The name of the cookie that holds a session's ID.
pub(crate) const COOKIE: &str = "orderflow_console";
/// Sessions at the same time; beyond it the one that was used least recently ends.
const SESSIONS_MAX: usize = 1_000;

/// What a login came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// The ID of the new session.
    Session(String),
    /// There is neither a token nor a key, so that nobody needs to log in.
    NotNeeded,
    WrongToken,
    /// It is a key, but one that is not for the console.
    MissingScope,
    /// Too many wrong tokens were presented from there; one may be tried again after this time.
    TooMany(Duration),
    /// The system gives no random numbers.
    NoRandomness,
}

/// Somebody who may come in.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// Whose key this request presents: it is charged for it.
    pub(crate) caller: Caller,
    /// Whether they may change nothing, because of the console or of their key.
    pub(crate) read_only: bool,
}

/// Who may do what.
#[derive(Debug)]
pub(crate) struct Access {
    token: Option<BearerToken>,
    keys: Authenticator,
    sessions: Mutex<Sessions>,
    read_only: bool,
    allowed_hosts: Vec<String>,
}

#[derive(Debug)]
struct Sessions {
    ttl: Duration,
    by_id: HashMap<String, Session>,
    attempts: Attempts,
}

#[derive(Debug)]
struct Session {
    /// When it was used last.
    used: Instant,
    /// Whose key it was begun with, if it was not the token: it ends with that key.
    key: Option<Caller>,
}

impl Access {
    pub(crate) fn new(settings: &Console, keys: Authenticator) -> Self {
        let (ttl, by_id) = (settings.session_ttl, HashMap::new());
        Self {
            token: BearerToken::new(&settings.token),
            keys,
            sessions: Mutex::new(Sessions { ttl, by_id, attempts: Attempts::default() }),
            read_only: settings.read_only,
            allowed_hosts: settings.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        }
    }

    /// Whether somebody must log in, or present the token or a key.
    pub(crate) fn login_required(&self) -> bool {
        self.token.is_some() || self.keys.is_required()
    }

    /// Whether nobody may change anything.
    pub(crate) const fn read_only(&self) -> bool {
        self.read_only
    }

    /// Who sends a request, if they may come in. Nothing is counted.
    pub(crate) fn visitor(&self, headers: &HeaderMap) -> Option<Visitor> {
        let nobody_in_particular = || Visitor { caller: Caller::default(), read_only: self.read_only };
        if !self.login_required() {
            return Some(nobody_in_particular());
        }
        if let Some(token) = &self.token
            && bearer(headers).is_some_and(|presented| token.is(presented))
        {
            return Some(nobody_in_particular());
        }
        if let Some(caller) = self.keys.recognise(headers) {
            return self.is_read_only(&caller).map(|read_only| Visitor { caller, read_only });
        }
        match self.sessions().touch(session_id(headers)?)? {
            None => Some(nobody_in_particular()),
            // What a browser does with its session is not charged to the key.
            Some(key) => {
                self.is_read_only(&key).map(|read_only| Visitor { read_only, ..nobody_in_particular() })
            }
        }
    }

    /// Who sends a request from this address.
    ///
    /// # Errors
    /// Why they may not come in; it was counted and logged.
    pub(crate) fn admit(&self, headers: &HeaderMap, from: Option<IpAddr>) -> Result<Visitor, Refusal> {
        if let Some(visitor) = self.visitor(headers) {
            return Ok(visitor);
        }
        if !self.keys.is_required() {
            let presented = bearer(headers).filter(|presented| !presented.is_empty());
            return Err(presented.map_or_else(|| self.keys.missing(from), |_| self.keys.wrong(from)));
        }
        let caller = self.keys.identify(headers, from)?;
        self.keys.lacks_scope(&caller, from);
        Err(Refusal::MissingScope(Scope::Read))
    }

    /// Whether whoever has this key may change nothing; `None` if they may not even look, or not any more.
    fn is_read_only(&self, key: &Caller) -> Option<bool> {
        if self.keys.still_admits(key, Scope::Admin) {
            Some(self.read_only)
        } else {
            self.keys.still_admits(key, Scope::Read).then_some(true)
        }
    }

    /// Begins a session with the token or a key, for somebody at this address.
    pub(crate) fn log_in(&self, presented: &str, from: Option<IpAddr>) -> Login {
        if !self.login_required() {
            return Login::NotNeeded;
        }
        let mut sessions = self.sessions();
        if let Some(wait) = sessions.attempts.must_wait(from) {
            return Login::TooMany(wait);
        }
        let key = if self.token.as_ref().is_some_and(|token| token.is(presented)) {
            None
        } else {
            match self.keys.recognise_key(presented.as_bytes()) {
                Some(key) if self.is_read_only(&key).is_some() => Some(key),
                Some(_) => return Login::MissingScope,
                None => {
                    sessions.attempts.wrong(from);
                    return Login::WrongToken;
                }
            }
        };
        random_id().map_or(Login::NoRandomness, |id| {
            sessions.begin(id.clone(), key);
            Login::Session(id)
        })
    }

    /// Ends the session of a request, if it has one.
    pub(crate) fn log_out(&self, headers: &HeaderMap) {
        if let Some(id) = session_id(headers) {
            self.sessions().by_id.remove(id);
        }
    }

    /// Whether the name that a browser knows this console by cannot be one that somebody else's page was led here with
    /// (DNS rebinding). Where a login is needed it does not matter: such a page has none.
    pub(crate) fn knows_host(&self, headers: &HeaderMap) -> bool {
        if self.login_required() {
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
    /// The key that a session was begun with, if there is such a session; it lasts for another while then.
    #[expect(
        clippy::option_option,
        reason = "no session, and one that was begun without a key, are not the same"
    )]
    fn touch(&mut self, id: &str) -> Option<Option<Caller>> {
        let ttl = self.ttl;
        self.by_id.retain(|_, session| session.used.elapsed() < ttl);
        self.by_id.get_mut(id).map(|session| {
            session.used = Instant::now();
            session.key.clone()
        })
    }

    fn begin(&mut self, id: String, key: Option<Caller>) {
        if self.by_id.len() >= SESSIONS_MAX {
            let oldest = self.by_id.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| id.clone());
            self.by_id.remove(&oldest.unwrap_or_default());
        }
        self.by_id.insert(id, Session { used: Instant::now(), key });
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
    use prometheus::Registry;
    use service_kit::{Settings, config::Secret};

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn access(token: &str) -> Access {
        let mut settings = Settings::default().console;
        settings.token = Secret::new(token);
        settings.allowed_hosts = vec!["Console.example".to_owned()];
        Access::new(&settings, Authenticator::open(&Registry::new()).unwrap())
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
        assert!(access.visitor(&HeaderMap::new()).is_none());
        assert!(access.visitor(&headers(&[("authorization", "Bearer 0123456789abcdef")])).is_some());
        assert!(access.visitor(&headers(&[("authorization", "Bearer 0123456789abcdee")])).is_none());
        let Login::Session(id) = access.log_in(TOKEN, None) else { panic!("the token is right") };
        assert_eq!(id.len(), 32);
        let mine = headers(&[("cookie", &format!("other=1; {COOKIE}={id}"))]);
        assert!(access.visitor(&mine).is_some());
        assert!(access.visitor(&headers(&[("cookie", &format!("{COOKIE}={id}0"))])).is_none());
        access.log_out(&mine);
        assert!(access.visitor(&mine).is_none());
    }

    #[test]
    fn sessions_are_bounded_and_expire() {
        let access = access(TOKEN);
        let Login::Session(first) = access.log_in(TOKEN, None) else { panic!("the token is right") };
        for _ in 0..SESSIONS_MAX {
            access.log_in(TOKEN, None);
        }
        assert_eq!(access.sessions().by_id.len(), SESSIONS_MAX);
        assert!(access.sessions().touch(&first).is_none(), "the oldest has ended");
        access.sessions().ttl = Duration::ZERO;
        assert!(access.sessions().touch(&first).is_none());
        assert!(access.sessions().by_id.is_empty());
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
