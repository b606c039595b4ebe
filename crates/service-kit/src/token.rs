//! [`BearerToken`]: what a caller must present, compared in constant time.

use axum::http::{HeaderMap, header};

use crate::{auth::Digest, config::Secret};

/// A token, by its hash.
#[derive(Debug)]
pub struct BearerToken(Digest);

impl BearerToken {
    /// The token of the settings, if there is one.
    pub fn new(token: &Secret) -> Option<Self> {
        (!token.is_empty()).then(|| Self(Digest::of(token.expose().as_bytes())))
    }

    /// Whether it is the one that somebody presents.
    pub fn is(&self, presented: &str) -> bool {
        self.0.is(&Digest::of(presented.as_bytes()))
    }
}

/// What a request presents as `Authorization: Bearer`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_is_the_token() {
        let token = BearerToken::new(&Secret::new("0123456789abcdef")).unwrap();
        assert!(token.is("0123456789abcdef"));
        for other in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF"] {
            assert!(!token.is(other), "{other}");
        }
        assert!(BearerToken::new(&Secret::new("")).is_none());
    }

    #[test]
    fn a_request_presents_what_comes_after_bearer() {
        let presented = |text: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, text.parse().unwrap())]);
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(presented("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!((presented("Basic abc"), presented("abc"), bearer(&HeaderMap::new())), (None, None, None));
    }
}
