//! [`BearerToken`]: what a caller must present, compared without telling how much of it was right.

use std::hash::{BuildHasher, RandomState};

use axum::http::{HeaderMap, header};

use crate::config::Secret;

/// A token, and how it is compared.
#[derive(Debug)]
pub struct BearerToken {
    token: Secret,
    /// Keyed at random for this process: how long the comparison of two of its hashes takes tells nothing about the token.
    hasher: RandomState,
}

impl BearerToken {
    /// The token of the settings, if there is one.
    pub fn new(token: &Secret) -> Option<Self> {
        (!token.is_empty()).then(|| Self { token: token.clone(), hasher: RandomState::new() })
    }

    /// Whether it is the one that somebody presents.
    pub fn is(&self, presented: &str) -> bool {
        let token = self.token.expose();
        self.hasher.hash_one(presented) == self.hasher.hash_one(token) && presented == token
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
