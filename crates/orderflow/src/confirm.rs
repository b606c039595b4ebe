//! Asks before something is done that cannot be undone.

use std::io::{IsTerminal as _, stdin};

use anyhow::Context as _;

use crate::output::news;

/// Asks on the terminal; anything but yes is no. `why` begins the sentence that is told where there is no terminal.
pub(crate) fn confirm(question: &str, why: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        stdin().is_terminal(),
        "{why}, and there is no terminal to ask on: add --yes, or look first with --dry-run"
    );
    news(format_args!("{question} [y/N]"));
    let mut answer = String::new();
    stdin().read_line(&mut answer).context("cannot read the answer")?;
    anyhow::ensure!(matches!(answer.trim(), "y" | "Y" | "yes"), "not confirmed; nothing was done");
    Ok(())
}
