//! Asks before something is done that cannot be undone.

use std::io::{IsTerminal as _, Write as _, stderr, stdin};

use anyhow::Context as _;

use crate::terminal::{stderr_width, wrap};

/// Asks on the terminal; anything but yes is no. `why` begins the sentence that is told where there is no terminal.
pub(crate) fn confirm(question: &str, why: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        stdin().is_terminal(),
        "{why}, and there is no terminal to ask on: add --yes, or look first with --dry-run"
    );
    let question = wrap(&format!("{question} [y/N] "), stderr_width(), 0);
    stderr().lock().write_all(question.as_bytes()).context("cannot ask")?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).context("cannot read the answer")?;
    anyhow::ensure!(matches!(answer.trim(), "y" | "Y" | "yes"), "not confirmed; nothing was done");
    Ok(())
}
