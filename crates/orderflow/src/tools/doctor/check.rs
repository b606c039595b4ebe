//! [`Check`]: one finding, and the [`Report`] of all of them.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;
use stream_core::Error;

use crate::{output::printable, redis_access::remedy, terminal::wrap};

/// The longest word for a state.
const STATE_WIDTH: usize = 7;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    /// It works now, and may not later or elsewhere.
    Warning,
    /// Something does not work, or data are at risk.
    Problem,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }

    /// Green, yellow, red.
    const fn colour(self) -> u8 {
        match self {
            Self::Ok => 32,
            Self::Warning => 33,
            Self::Problem => 31,
        }
    }
}

/// One finding.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    name: &'static str,
    state: State,
    message: String,
    /// What to do next.
    remedy: Option<String>,
}

impl Check {
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { name: check, state: State::Ok, message: message.into(), remedy: None }
    }

    pub(super) fn warning(
        check: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { name: check, state: State::Warning, message: message.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn problem(
        check: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { name: check, state: State::Problem, message: message.into(), remedy: Some(remedy.into()) }
    }

    /// A check that could not be made. Not being allowed to look says nothing about what is there.
    pub(super) fn failed(check: &'static str, error: &Error) -> Self {
        let (state, remedy) = if error.code() == Some("NOPERM") {
            (State::Warning, Some("allow this user the command (ACL SETUSER), or ask with another one"))
        } else {
            (State::Problem, remedy(error.kind()))
        };
        let message = format!("could not be checked: {error}");
        Self { name: check, state, message, remedy: remedy.map(str::to_owned) }
    }
}

/// Every finding, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Check>);

impl Report {
    pub(super) fn add(&mut self, check: Check) {
        self.0.push(check);
    }

    /// Adds the finding, or why there is none.
    pub(super) fn add_result(&mut self, check: &'static str, finding: Result<Check, Error>) {
        self.add(finding.unwrap_or_else(|error| Check::failed(check, &error)));
    }

    pub(super) fn worst(&self) -> State {
        self.0.iter().map(|check| check.state).max().unwrap_or(State::Ok)
    }

    pub(super) fn to_json(&self, healthy: bool) -> String {
        json!({ "healthy": healthy, "checks": self.0 }).to_string()
    }

    /// A line for each finding, another for what to do about it, and a count; lines of at most `width` characters, if
    /// there is a limit.
    pub(super) fn to_text(&self, width: Option<usize>, colour: bool) -> String {
        let names = self.0.iter().map(|check| check.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        let mut line = |state: Option<State>, check: &str, words: &str| {
            let words = format!("{check:<names$}  {}", printable(words));
            let word = format!("{:<STATE_WIDTH$}  ", state.map_or("", State::word));
            // The state is as wide as it looks, whatever its colour is.
            let words = wrap(&words, width.map(|width| width.saturating_sub(word.len())), names + 2);
            let words = words.replace('\n', &format!("\n{}", " ".repeat(word.len())));
            _ = match state.filter(|_| colour) {
                Some(state) => writeln!(text, "\x1b[{}m{word}\x1b[0m{words}", state.colour()),
                None => writeln!(text, "{word}{words}"),
            };
        };
        for check in &self.0 {
            line(Some(check.state), check.name, &check.message);
            if let Some(remedy) = &check.remedy {
                line(None, "", &format!("-> {remedy}"));
            }
        }
        let count = |state| self.0.iter().filter(|check| check.state == state).count();
        let (fine, warnings, problems) = (count(State::Ok), count(State::Warning), count(State::Problem));
        text + &format!("{fine} ok, {warnings} warnings, {problems} problems")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_followed_by_what_to_do() {
        let mut report = Report::default();
        report.add(Check::ok("reachable", "it answers"));
        report.add(Check::warning("clock", "2 s ahead", "run NTP"));
        assert_eq!(
            report.to_text(None, false),
            "ok       reachable  it answers\n\
             warning  clock      2 s ahead\n                    -> run NTP\n\
             1 ok, 1 warnings, 0 problems"
        );
        assert_eq!(report.worst(), State::Warning);
        let narrow = report.to_text(Some(28), true);
        let ok = "\x1b[32mok       \x1b[0mreachable  it\n                    answers\n";
        assert!(narrow.starts_with(ok), "{narrow:?}");
    }
}
