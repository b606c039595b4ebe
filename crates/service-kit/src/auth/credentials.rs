//! What a request presents: `Authorization: Bearer KEY` (RFC 6750) or `X-API-Key: KEY`.

use axum::http::{HeaderMap, HeaderName, header};

/// The header for clients that cannot send `Authorization`.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The request presents something that cannot be one credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// The credential of a request. Other schemes of `Authorization` are somebody else's, such as a proxy's.
pub(super) fn presented(headers: &HeaderMap) -> Result<Option<&[u8]>, Ambiguous> {
    let mut found = None;
    let bearers = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| bearer(value.as_bytes()));
    let keys = headers.get_all(API_KEY).iter().map(|value| value.as_bytes().trim_ascii());
    // An empty one is nothing: a variable that nobody has set.
    for credential in bearers.chain(keys).filter(|credential| !credential.is_empty()) {
        match found {
            Some(other) if other != credential => return Err(Ambiguous),
            _ => found = Some(credential),
        }
    }
    Ok(found)
}

/// What comes after `Bearer`, in any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(SCHEME) && rest.first().is_none_or(|byte| *byte == b' ');
    is_bearer.then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Option<String>, Ambiguous> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        presented(&headers).map(|found| found.map(|key| String::from_utf8(key.to_vec()).unwrap()))
    }

    #[test]
    fn a_key_is_presented_in_either_way() {
        for pairs in
            [[("authorization", "Bearer k")], [("authorization", "bearer  k ")], [("x-api-key", " k")]]
        {
            assert_eq!(of(&pairs), Ok(Some("k".to_owned())), "{pairs:?}");
        }
        assert_eq!(of(&[("authorization", "Bearer k"), ("x-api-key", "k")]), Ok(Some("k".to_owned())));
        assert_eq!(of(&[("authorization", "Basic abc"), ("x-api-key", "k")]), Ok(Some("k".to_owned())));
    }

    #[test]
    fn nothing_and_too_much_are_told_apart() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("authorization", "Basic abc")]), Ok(None));
        assert_eq!(of(&[("authorization", "Bearerk")]), Ok(None));
        assert_eq!(of(&[("authorization", "Bearer ")]), Ok(None));
        assert_eq!(of(&[("authorization", "Bearer k"), ("x-api-key", "l")]), Err(Ambiguous));
        assert_eq!(of(&[("x-api-key", "k"), ("x-api-key", "l")]), Err(Ambiguous));
    }
}
