//! [`Check`]: one finding, and the [`Report`] of all of them.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;
use stream_core::Error;

use crate::{output::printable, redis_access::remedy};

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

    /// A line for each finding, another for what to do about it, and a count.
    pub(super) fn to_text(&self) -> String {
        let width = self.0.iter().map(|check| check.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        let mut line = |state: &str, check: &str, words: &str| {
            _ = writeln!(text, "{state:<7}  {check:<width$}  {}", printable(words));
        };
        for check in &self.0 {
            line(check.state.word(), check.name, &check.message);
            if let Some(remedy) = &check.remedy {
                line("", "", &format!("-> {remedy}"));
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
            report.to_text(),
            "ok       reachable  it answers\n\
             warning  clock      2 s ahead\n                    -> run NTP\n\
             1 ok, 1 warnings, 0 problems"
        );
        assert_eq!(report.worst(), State::Warning);
    }
}
