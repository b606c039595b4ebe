//! [`Parameters`]: a query string as named parameters, and one problem that names every mistake in it.

use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::Problem;

/// Mistakes that one answer names; a client that made so many need not hear of more.
const ERRORS_MAX: usize = 20;
/// Characters of a client's own text that an answer repeats.
const SHOWN_MAX: usize = 64;

/// The parameters of a request: each is one of the allowed names and there once.
///
/// ```
/// use service_kit::query::Parameters;
///
/// let mut parameters = Parameters::of(&"/pages?count=ten&page=2".parse().unwrap(), &["count"]);
/// let count: Option<u32> = parameters.read("count", |text| text.parse().map_err(|_| "is no count".to_owned()));
/// assert_eq!(count, None);
/// assert_eq!(parameters.finish().unwrap_err().to_json()["errors"].as_array().unwrap().len(), 2);
/// ```
#[derive(Debug)]
pub struct Parameters {
    pairs: Vec<(String, String)>,
    /// The parameter, and what is wrong with it.
    errors: Vec<(String, String)>,
}

impl Parameters {
    /// The parameters of a request's query string. What is not UTF-8 in it becomes `U+FFFD`.
    pub fn of(uri: &Uri, allowed: &[&str]) -> Self {
        Self::new(form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned(), allowed)
    }

    /// The same, of pairs that are decoded already.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>, allowed: &[&str]) -> Self {
        Self::with_repeated(pairs, allowed, &[])
    }

    /// The same, where those of `allowed` that are `repeated` may be there several times.
    pub fn with_repeated(
        pairs: impl IntoIterator<Item = (String, String)>,
        allowed: &[&str],
        repeated: &[&str],
    ) -> Self {
        let mut parameters = Self { pairs: Vec::new(), errors: Vec::new() };
        for (name, value) in pairs {
            if !allowed.contains(&name.as_str()) {
                let choice = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
                parameters.fail(&name, format!("is not known; allowed: {choice}"));
            } else if parameters.get(&name).is_some() && !repeated.contains(&name.as_str()) {
                let once: Vec<_> = allowed.iter().filter(|name| !repeated.contains(name)).copied().collect();
                parameters.fail(&name, format!("is there more than once; allowed once: {}", once.join(", ")));
            } else {
                parameters.pairs.push((name, value));
            }
        }
        parameters
    }

    /// Reads one parameter; an error is kept for [`finish`](Self::finish). `None` if it is not there or not usable.
    pub fn read<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match parse(self.get(name)?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.fail(name, message);
                None
            }
        }
    }

    /// Reads each value of a parameter that may be there several times; an error is kept for each that is not usable.
    pub fn read_all<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let read = self.pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| parse(value));
        let (read, failed): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
        failed.into_iter().filter_map(Result::err).for_each(|message| self.fail(name, message));
        read.into_iter().filter_map(Result::ok).collect()
    }

    /// Says what is wrong with a parameter.
    pub fn fail(&mut self, name: &str, message: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push((name.chars().take(SHOWN_MAX).collect(), message.into()));
        }
    }

    /// `400 /problems/invalid-query` that names every mistake, if there was one.
    pub fn finish(&self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let named: Vec<String> =
            self.errors.iter().map(|(parameter, message)| format!("{parameter}: {message}")).collect();
        let errors: Value = self
            .errors
            .iter()
            .map(|(parameter, message)| json!({ "parameter": parameter, "message": message }))
            .collect();
        Err(Problem::new(StatusCode::BAD_REQUEST, "/problems/invalid-query", "Invalid query")
            .detail(named.join("; "))
            .with("errors", errors))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A client's text as a message shows it: quoted, and not too long.
pub fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(SHOWN_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str, allowed: &[&str]) -> Parameters {
        Parameters::of(&format!("/path?{query}").parse().unwrap(), allowed)
    }

    fn number(text: &str) -> Result<u32, String> {
        text.parse().map_err(|_| format!("{} is no number", quoted(text)))
    }

    #[test]
    fn parameters_are_decoded_and_read_by_name() {
        let mut parameters = parameters("a=%31+2&b=7&&", &["a", "b", "c"]);
        assert_eq!(parameters.read("a", |text| Ok(text.to_owned())).as_deref(), Some("1 2"));
        assert_eq!(parameters.read("b", number), Some(7));
        assert_eq!(parameters.read("c", number), None);
        assert_eq!(parameters.finish(), Ok(()));
    }

    #[test]
    fn one_problem_names_every_mistake_and_what_is_allowed() {
        let mut parameters = parameters("windo=1h&a=x&a=2&b=%ff", &["a", "b"]);
        assert_eq!((parameters.read("a", number), parameters.read("b", number)), (None, None));
        let problem = parameters.finish().unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.kind()), (400, "/problems/invalid-query"));
        let expected = json!([
            { "parameter": "windo", "message": "is not known; allowed: a, b" },
            { "parameter": "a", "message": "is there more than once; allowed once: a, b" },
            { "parameter": "a", "message": "\"x\" is no number" },
            { "parameter": "b", "message": "\"\u{fffd}\" is no number" },
        ]);
        assert_eq!(problem.to_json()["errors"], expected);
        assert!(
            problem.to_json()["detail"]
                .as_str()
                .unwrap()
                .starts_with("windo: is not known; allowed: a, b; a:")
        );
    }

    #[test]
    fn what_may_be_repeated_has_all_its_values() {
        let pairs = [("n", "1"), ("once", "2"), ("n", "x"), ("n", "3"), ("once", "4")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut parameters = Parameters::with_repeated(pairs, &["n", "once"], &["n"]);
        assert_eq!(
            (parameters.read_all("n", number), parameters.read("once", number)),
            (vec![1, 3], Some(2))
        );
        let errors = parameters.finish().unwrap_err().to_json()["errors"].clone();
        let expected = json!([
            { "parameter": "once", "message": "is there more than once; allowed once: once" },
            { "parameter": "n", "message": "\"x\" is no number" },
        ]);
        assert_eq!(errors, expected);
    }

    #[test]
    fn an_answer_stays_small_whatever_was_asked() {
        let query: Vec<String> = (0..60).map(|n| format!("{}{n}=1", "x".repeat(1_000))).collect();
        let problem = parameters(&query.join("&"), &[]).finish().unwrap_err();
        assert!(problem.to_json().to_string().len() < 10_000);
        assert!(problem.to_json()["detail"].as_str().unwrap().contains("is not known; allowed: none"));
    }
}
