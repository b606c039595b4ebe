//! `Accept` (RFC 9110, section 12.5.1): which of the forms that there are a client would rather have.

use axum::http::{HeaderMap, header};
use service_kit::Problem;

use super::problems;

/// Most media ranges that are looked at.
const RANGES_MAX: usize = 64;

/// The offered media type with the highest quality. Among equals the one that was named more exactly, then the first;
/// without `Accept` the first.
pub(super) fn preferred(headers: &HeaderMap, offers: &[&'static str]) -> Result<&'static str, Problem> {
    let ranges: Vec<Range> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .take(RANGES_MAX)
        .filter_map(Range::parse)
        .collect();
    if ranges.is_empty() {
        return Ok(offers[0]);
    }
    let mut best: Option<(u16, u8, &'static str)> = None;
    for offer in offers {
        // The most exact range that fits decides, whatever the others say.
        let fitting = ranges.iter().filter_map(|range| Some((range.fits(offer)?, range.quality)));
        let Some((exactness, quality)) = fitting.max_by_key(|(exactness, _)| *exactness) else { continue };
        let better = best.is_none_or(|(top, exact, _)| (quality, exactness) > (top, exact));
        if quality > 0 && better {
            best = Some((quality, exactness, offer));
        }
    }
    best.map(|(.., offer)| offer).ok_or_else(|| problems::not_acceptable(offers))
}

struct Range {
    /// In lower case.
    name: String,
    /// In thousandths.
    quality: u16,
}

impl Range {
    /// None if it is empty or its quality is no quality.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(Self { name, quality: quality.map_or(Some(1_000), thousandths)? })
    }

    /// How exactly it names a media type, if it does.
    fn fits(&self, media_type: &str) -> Option<u8> {
        if self.name == media_type {
            return Some(2);
        }
        match self.name.strip_suffix("/*") {
            Some("*") => Some(0),
            Some(kind) => (media_type.split('/').next() == Some(kind)).then_some(1),
            None => None,
        }
    }
}

/// `0`, `0.5`, `1.000`: up to three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let quality = match whole {
        "0" | "1" if digits => format!("{whole}{fraction:0<3}").parse().ok()?,
        _ => return None,
    };
    (quality <= 1_000).then_some(quality)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PLAIN: &str = "application/json";
    const EVENT: &str = "application/cloudevents+json";

    fn chosen(accept: &'static str) -> Option<&'static str> {
        let headers = [(header::ACCEPT, HeaderValue::from_static(accept))].into_iter().collect();
        preferred(&headers, &[PLAIN, EVENT]).ok()
    }

    #[test]
    fn the_highest_quality_wins() {
        for (accept, expected) in [
            ("", Some(PLAIN)),
            ("*/*", Some(PLAIN)),
            ("application/*", Some(PLAIN)),
            ("application/cloudevents+json", Some(EVENT)),
            ("Application/CloudEvents+JSON", Some(EVENT)),
            ("application/json, application/cloudevents+json", Some(PLAIN)),
            ("application/json;q=0.8, application/cloudevents+json;q=0.9", Some(EVENT)),
            ("application/cloudevents+json;q=0.5, application/json", Some(PLAIN)),
            ("application/cloudevents+json, */*", Some(EVENT)),
            ("application/cloudevents+json;q=0.1, */*", Some(PLAIN)),
            ("application/json;q=0, */*", Some(EVENT)),
            ("application/cloudevents+json; charset=utf-8; q=1.000, application/json;q=0.999", Some(EVENT)),
            ("text/html, application/xhtml+xml, */*;q=0.8", Some(PLAIN)),
            ("text/html", None),
            ("text/*", None),
            ("application/json;q=0", None),
            ("*/*;q=0.0", None),
            ("application/cloudevents+json;q=2", Some(PLAIN)),
        ] {
            assert_eq!(chosen(accept), expected, "{accept}");
        }
        assert_eq!(preferred(&HeaderMap::new(), &[PLAIN, EVENT]).unwrap(), PLAIN);
    }

    #[test]
    fn qualities_have_at_most_three_decimals() {
        for (text, expected) in
            [("0", Some(0)), ("1", Some(1_000)), ("0.5", Some(500)), ("0.", Some(0)), ("1.000", Some(1_000))]
        {
            assert_eq!(thousandths(text), expected, "{text}");
        }
        for text in ["", "2", "1.001", "0.1234", "-1", "0,5", "abc", ".5"] {
            assert_eq!(thousandths(text), None, "{text}");
        }
    }
}
