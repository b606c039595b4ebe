//! `Idempotency-Key`: by what a client lets a repeated request be recognized (draft-ietf-httpapi-idempotency-key-header).

use axum::http::HeaderMap;
use order_events::MAX_TEXT_CHARS;
use service_kit::Problem;

use super::{problems, structured::quoted};

const HEADER: &str = "idempotency-key";

/// What a key may be.
const ALLOWED: &str = "one quoted string or bare token of 1 to 128 printable ASCII characters, such as \
    \"8e03978e-40d5-43dd-bc93-6894a57f9324\"";

/// The request's key, if it has one: a structured-field string (RFC 9651), or the same characters without quotes, as many
/// clients send it. Its parameters mean nothing.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(problems::invalid_header("Idempotency-Key", "is there more than once", ALLOWED));
    }
    let parsed = value.to_str().ok().and_then(|text| parse(text.trim_matches(' ')));
    let invalid = || problems::invalid_header("Idempotency-Key", "is not a key", ALLOWED);
    parsed.map(Some).ok_or_else(invalid)
}

fn parse(text: &str) -> Option<String> {
    let (key, rest) = quoted(text).unwrap_or_else(|| {
        let end = text.find(|c| !is_bare(c)).unwrap_or(text.len());
        (text[..end].to_owned(), &text[end..])
    });
    let has_only_parameters = rest.is_empty() || rest.starts_with(';');
    let is_key = (1..=MAX_TEXT_CHARS).contains(&key.len()) && !key.trim().is_empty();
    (has_only_parameters && is_key).then_some(key)
}

/// A token's characters (RFC 9651, `sf-token`), with which a key may also begin, and `=`, which ends Base64.
fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/=".contains(c)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn key(values: &[&str]) -> Result<Option<String>, u16> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        idempotency_key(&headers).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_key_is_a_string_or_a_token() {
        assert_eq!(key(&[]), Ok(None));
        for (value, expected) in [
            (r#""8e03978e-40d5-43dd-bc93-6894a57f9324""#, "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ("order:1/2=", "order:1/2="),
            (r#""a \"b\" \\ c""#, r#"a "b" \ c"#),
            (r#""k";a=1;b"#, "k"),
            ("k;a=1", "k"),
            ("k#3", "k#3"),
        ] {
            assert_eq!(key(&[value]).unwrap().as_deref(), Some(expected), "{value}");
        }
        let longest = "k".repeat(128);
        assert_eq!(key(&[&longest]), Ok(Some(longest)));
    }

    #[test]
    fn everything_else_is_refused() {
        let too_long = "k".repeat(129);
        for value in [
            "",
            "\"\"",
            "\" \"",
            "\"open",
            "\"a\" b",
            "a b",
            "a,b",
            "\"a\", \"b\"",
            "ä",
            "\"ä\"",
            &too_long,
            r#""a\b""#,
        ] {
            assert_eq!(key(&[value]), Err(400), "{value}");
        }
        assert_eq!(key(&["a", "a"]), Err(400));
    }
}
