//! `orderflow man`: manual pages, from the definition of the command line.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::{cli::Cli, output::result};

/// Arguments of `orderflow man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
To read the page at once: orderflow man | man -l -
To install all of them:   orderflow man --dir ~/.local/share/man/man1

Exit codes: 0 done, 1 failed, 2 wrong usage")]
pub(crate) struct Args {
    /// Write a page for every subcommand into this directory, which is made if need be
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(dir) = &args.dir else {
        result(String::from_utf8_lossy(&page(command)?).trim_end())?;
        return Ok(ExitCode::SUCCESS);
    };
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let written = write_pages(&command, dir)?;
    result(format_args!("wrote {written} pages to {}", dir.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a command and those of its subcommands; their number.
fn write_pages(command: &Command, dir: &Path) -> anyhow::Result<u32> {
    let file = dir.join(Man::new(command.clone()).get_filename());
    fs::write(&file, page(command.clone())?).with_context(|| format!("cannot write {}", file.display()))?;
    let pages = command.get_subcommands().map(|subcommand| write_pages(subcommand, dir));
    pages.sum::<anyhow::Result<u32>>().map(|pages| pages + 1)
}

/// The page of one command.
fn page(command: Command) -> anyhow::Result<Vec<u8>> {
    let notes = command.get_after_help().map(ToString::to_string);
    let has_subcommands = command.has_subcommands();
    let man = Man::new(command).manual("Orderflow").source(concat!("orderflow ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_subcommands {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(notes) = notes {
        let mut roff = Roff::new();
        roff.control("SH", ["NOTES"]);
        for line in notes.lines() {
            if line.is_empty() {
                roff.control("PP", []);
            } else if line.starts_with(' ') {
                // Set out in columns: man must not fill it.
                roff.control("nf", []).text([roman(line)]).control("fi", []);
            } else {
                roff.text([roman(line)]);
            }
        }
        roff.to_writer(&mut page)?;
    }
    Ok(page)
}
