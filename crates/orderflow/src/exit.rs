//! How the process ends: its exit codes, and an error in a line or two.

use std::process::ExitCode;

use service_kit::{cli::EXIT_CONFIG, config::ConfigErrors};

use crate::output::{StdoutClosed, prose};

/// The exit code of an error that reached `main`, after telling it.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    if error.is::<StdoutClosed>() {
        return ExitCode::SUCCESS;
    }
    if let Some(errors) = error.downcast_ref::<ConfigErrors>() {
        prose(format_args!("orderflow: the configuration cannot be used:\n{errors}"));
        return ExitCode::from(EXIT_CONFIG);
    }
    prose(format_args!("orderflow: {error:#}"));
    ExitCode::FAILURE
}

/// The exit code of a command line that was not understood, or asked for help.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Where there is nobody to read, there is no remedy.
    _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
