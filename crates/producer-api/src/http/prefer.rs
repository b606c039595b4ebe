//! `Prefer: durability=…`: what a client wants to have happened before its events count as stored (RFC 7240).

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use service_kit::{Problem, config::Durability};

use super::{problems, structured::quoted};

const HEADER: &str = "prefer";
const PREFERENCE: &str = "durability";

/// What says to the client that its wish was heard.
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The durability that a request asks for, if it does. Of several the first counts; other preferences are none of ours.
pub(super) fn durability(headers: &HeaderMap) -> Result<Option<Durability>, Problem> {
    let invalid = |problem| {
        problems::invalid_header("Prefer", problem, "durability=none, durability=replica or durability=fsync")
    };
    for value in headers.get_all(HEADER) {
        let mut rest = value.to_str().map_err(|_| invalid("is not ASCII text"))?;
        while !rest.is_empty() {
            let (name, value, after) = preference(rest).ok_or_else(|| invalid("cannot be read"))?;
            if name.eq_ignore_ascii_case(PREFERENCE) {
                let known = [Durability::None, Durability::Replica, Durability::Fsync];
                let found = known.into_iter().find(|durability| durability.as_str() == value);
                // To go on with less than was asked for would be no better than to lie.
                return found.map(Some).ok_or_else(|| invalid("asks for an unknown durability"));
            }
            rest = after;
        }
    }
    Ok(None)
}

/// The header that confirms it.
pub(super) fn applied(durability: Durability) -> (HeaderName, HeaderValue) {
    let value = match durability {
        Durability::None => "durability=none",
        Durability::Replica => "durability=replica",
        Durability::Fsync => "durability=fsync",
    };
    (APPLIED, HeaderValue::from_static(value))
}

/// Name and value of the first preference, without its parameters, and what follows its comma.
fn preference(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = word(text.trim_start_matches([' ', '\t', ',']));
    let (value, mut rest) = value(rest)?;
    while let Some(parameter) = rest.strip_prefix(';') {
        let (_, after) = word(parameter.trim_start());
        (_, rest) = self::value(after)?;
    }
    if !rest.is_empty() && !rest.starts_with(',') {
        return None;
    }
    Some((name, value, rest.trim_start_matches([' ', '\t', ','])))
}

/// What follows `=`, if it does.
fn value(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    let Some(text) = text.strip_prefix('=') else { return Some((String::new(), text)) };
    let text = text.trim_start();
    if text.starts_with('"') {
        let (value, rest) = quoted(text)?;
        return Some((value, rest.trim_start()));
    }
    let (value, rest) = word(text);
    Some((value.to_owned(), rest.trim_start()))
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find([',', ';', '=', ' ', '\t', '"']).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(values: &[&'static str]) -> Result<Option<Durability>, u16> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_static(value));
        }
        durability(&headers).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn the_preference_is_found_among_others() {
        assert_eq!(asked(&[]), Ok(None));
        assert_eq!(asked(&["return=minimal, wait=10", ""]), Ok(None));
        for values in [
            &["durability=fsync"][..],
            &["Durability = \"fsync\""],
            &["respond-async, durability=fsync; a=\"x,y\", durability=none"],
            &["return=minimal", "wait=5 ;x, durability=fsync"],
            &[",, durability=fsync ,"],
        ] {
            assert_eq!(asked(values), Ok(Some(Durability::Fsync)), "{values:?}");
        }
        assert_eq!(asked(&["durability=replica"]), Ok(Some(Durability::Replica)));
        assert_eq!(asked(&["durability=none"]), Ok(Some(Durability::None)));
    }

    #[test]
    fn an_unknown_durability_is_refused() {
        for value in ["durability=disk", "durability", "durability=FSYNC", "durability=\"open", "a=1 b=2"] {
            assert_eq!(asked(&[value]), Err(400), "{value}");
        }
    }
}
