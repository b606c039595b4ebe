//! [`TraceSettings`]: what the standard environment variables ask for.
//!
//! Traces are off unless an endpoint or the exporter is named. A value that cannot be used leaves them off, with a line in
//! the log that names the variable: a misspelt sampler must not record everything.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Uri};

use super::sampling::Sampling;

/// Where spans go if `OTEL_TRACES_EXPORTER=otlp` stands alone (OTLP/HTTP's own default).
const ENDPOINT: &str = "http://localhost:4318/v1/traces";
/// Longest wait for the collector's answer to one batch, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that may be asked for.
const TIMEOUT_MAX: Duration = Duration::from_mins(5);

/// What is to be exported, and where to.
#[derive(Debug, Clone)]
pub(super) struct TraceSettings {
    /// The whole URL that spans are posted to.
    pub(super) endpoint: String,
    /// Sent with every batch; often secrets.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) timeout: Duration,
    pub(super) sampling: Sampling,
}

/// A variable that cannot be used. Never shows a header's value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {problem}")]
pub(super) struct Unusable {
    pub(super) variable: &'static str,
    pub(super) problem: String,
}

impl TraceSettings {
    /// Reads them; `None` if traces are off. `lookup` gives a variable's value, and is asked for known names only.
    pub(super) fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Unusable> {
        // An empty value is as good as none (OpenTelemetry, environment variables).
        let get =
            |name: &str| lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| get(name).map(|value| (name, value)))
        };
        // Whatever is not "true" is false, says the specification.
        if get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let endpoint = first(["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]);
        match (get("OTEL_TRACES_EXPORTER").as_deref(), &endpoint) {
            (Some("none"), _) | (None, None) => return Ok(None),
            (Some("otlp"), _) | (None, Some(_)) => {}
            (Some(other), _) => {
                return Err(unusable("OTEL_TRACES_EXPORTER", format!("is {other:?}; allowed: otlp, none")));
            }
        }
        if let Some((variable, protocol)) =
            first(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"])
            && protocol != "http/protobuf"
        {
            return Err(unusable(variable, format!("is {protocol:?}; allowed: http/protobuf")));
        }
        if let Some((variable, compression)) =
            first(["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"])
            && compression != "none"
        {
            return Err(unusable(variable, format!("is {compression:?}; allowed: none")));
        }
        let headers = first(["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]);
        let timeout = first(["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]);
        Ok(Some(Self {
            endpoint: endpoint
                .map_or(Ok(ENDPOINT.to_owned()), |(variable, url)| read_endpoint(variable, &url))?,
            headers: headers.map_or(Ok(Vec::new()), |(variable, list)| read_headers(variable, &list))?,
            timeout: timeout.map_or(Ok(TIMEOUT), |(variable, text)| read_timeout(variable, &text))?,
            sampling: read_sampling(
                get("OTEL_TRACES_SAMPLER").as_deref(),
                get("OTEL_TRACES_SAMPLER_ARG").as_deref(),
            )?,
        }))
    }
}

fn unusable(variable: &'static str, problem: String) -> Unusable {
    Unusable { variable, problem }
}

/// The general endpoint is a base, to which the signal's path is added; that of traces is taken as it is.
fn read_endpoint(variable: &'static str, url: &str) -> Result<String, Unusable> {
    // What stands before an `@` may be a password.
    let invalid = |why: &str| {
        Err(unusable(variable, format!("is not usable: {why}; expected a URL such as http://collector:4318")))
    };
    let Ok(uri) = url.parse::<Uri>() else { return invalid("it is not a URL") };
    match uri.scheme_str() {
        Some("http" | "https") if uri.authority().is_some() => {}
        _ => return invalid("it is no http:// or https:// URL"),
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return invalid("credentials belong into OTEL_EXPORTER_OTLP_HEADERS");
    }
    Ok(match variable {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => format!("{}/v1/traces", url.trim_end_matches('/')),
        _ => url.to_owned(),
    })
}

/// `name=value` pairs, separated by commas, values percent-encoded (as in W3C Baggage).
fn read_headers(variable: &'static str, list: &str) -> Result<Vec<(HeaderName, HeaderValue)>, Unusable> {
    let pairs = list.split(',').enumerate().filter(|(_, pair)| !pair.trim().is_empty());
    let read = pairs.map(|(at, pair)| {
        let header = pair.split_once('=').and_then(|(name, value)| {
            let value = percent_decoded(value.trim())?;
            Some((name.trim().parse().ok()?, HeaderValue::from_bytes(&value).ok()?))
        });
        header
            .map(|(name, mut value)| {
                value.set_sensitive(true);
                (name, value)
            })
            .ok_or_else(|| unusable(variable, format!("is not usable: pair {} is not name=value", at + 1)))
    });
    read.collect()
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            byte => byte,
        });
    }
    Some(decoded)
}

fn read_timeout(variable: &'static str, text: &str) -> Result<Duration, Unusable> {
    let timeout = text.parse().ok().map(Duration::from_millis);
    timeout.filter(|timeout| (Duration::from_millis(1)..=TIMEOUT_MAX).contains(timeout)).ok_or_else(|| {
        unusable(variable, format!("is {text:?}; allowed: milliseconds, 1 to {}", TIMEOUT_MAX.as_millis()))
    })
}

fn read_sampling(sampler: Option<&str>, arg: Option<&str>) -> Result<Sampling, Unusable> {
    let ratio = || match arg.map(str::parse::<f64>) {
        None => Ok(1.0),
        Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        Some(_) => {
            let given = arg.unwrap_or_default();
            Err(unusable(
                "OTEL_TRACES_SAMPLER_ARG",
                format!("is {given:?}; allowed: a ratio from 0 to 1, such as 0.01"),
            ))
        }
    };
    Ok(match sampler.unwrap_or("parentbased_always_on") {
        "always_on" => Sampling::new(1.0, false),
        "always_off" => Sampling::new(0.0, false),
        "traceidratio" => Sampling::new(ratio()?, false),
        "parentbased_always_on" => Sampling::new(1.0, true),
        "parentbased_always_off" => Sampling::new(0.0, true),
        "parentbased_traceidratio" => Sampling::new(ratio()?, true),
        other => {
            let allowed = "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, \
                           parentbased_traceidratio";
            return Err(unusable("OTEL_TRACES_SAMPLER", format!("is {other:?}; allowed: {allowed}")));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<TraceSettings>, Unusable> {
        let find =
            |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        TraceSettings::read(find)
    }

    #[test]
    fn traces_are_off_unless_asked_for() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        for off in [
            vec![],
            vec![
                ("OTEL_SERVICE_NAME", "shop"),
                ("OTEL_TRACES_SAMPLER", "always_on"),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
            ],
            vec![endpoint, ("OTEL_SDK_DISABLED", "TRUE")],
            vec![endpoint, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert!(read(&off).unwrap().is_none(), "{off:?}");
        }
        assert!(read(&[endpoint, ("OTEL_SDK_DISABLED", "1")]).unwrap().is_some());
        let alone = read(&[("OTEL_TRACES_EXPORTER", "otlp")]).unwrap().unwrap();
        assert_eq!(alone.endpoint, "http://localhost:4318/v1/traces");
    }

    #[test]
    fn the_endpoint_of_traces_is_taken_as_it_is() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
        assert_eq!(read(&[base]).unwrap().unwrap().endpoint, "http://collector:4318/v1/traces");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other/otlp");
        assert_eq!(read(&[base, own]).unwrap().unwrap().endpoint, "https://other/otlp");
    }

    #[test]
    fn headers_are_decoded_and_not_shown() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let list = "authorization=Basic%20c2VjcmV0, x-tenant = a ,";
        let headers = read(&[endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", list)]).unwrap().unwrap().headers;
        let texts: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(texts, [("authorization", "Basic c2VjcmV0"), ("x-tenant", "a")]);
        assert!(!format!("{headers:?}").contains("c2VjcmV0"));
        let error = read(&[endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", "a=1,secret")]).unwrap_err();
        assert_eq!(error.to_string(), "OTEL_EXPORTER_OTLP_HEADERS is not usable: pair 2 is not name=value");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let cases = [
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:pass@collector"),
        ];
        for case in cases {
            let error = read(&[endpoint, case]).unwrap_err();
            assert_eq!(error.variable, case.0, "{error}");
            assert!(
                error.to_string().contains("allowed: ") || error.to_string().contains("is not usable: "),
                "{error}"
            );
            assert!(!error.to_string().contains("pass@"), "{error}");
        }
        for arg in ["", "1.5", "-1", "many", "NaN"] {
            let sampler = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
            let read = read(&[endpoint, sampler, ("OTEL_TRACES_SAMPLER_ARG", arg)]);
            assert_eq!(read.is_err(), !arg.is_empty(), "{arg:?}");
        }
    }
}
