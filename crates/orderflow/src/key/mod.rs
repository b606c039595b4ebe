//! `orderflow key`: makes API keys, and the entries of `auth.keys` that know them by their hash.

mod entry;

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal as _, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use clap::Subcommand;
use serde_json::json;
use service_kit::{auth::Digest, config::is_key_id};

use self::entry::Entry;
use crate::output::{news, result};

/// What every key begins with, so that whoever looks for secrets in the wrong place finds it.
const PREFIX: &str = "ofk";
/// Random bytes of a key: 256 bits, which nobody can try; only therefore a fast hash is enough.
const KEY_BYTES: usize = 32;
/// What 256 bits take at the least, in the densest alphabet that is usual.
const KEY_CHARS_MIN: usize = 43;
/// Different characters that a random key has at the least; one with fewer was thought up.
const KEY_DISTINCT_MIN: usize = 10;
/// The longest key that the services take.
const KEY_CHARS_MAX: usize = 512;

/// Arguments of `orderflow key`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key: prints it, this once, and its entry for the configuration
    New(NewArgs),
    /// Print the entry for a key that something else made, read from standard input
    Hash(HashArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The key is shown this once and kept nowhere: give it to its holder. The entry holds only its SHA-256. To replace a key, \
add another one under another id, let the holder change over, then remove the old entry.

Exit codes: 0 done, 1 failed, 2 wrong usage")]
struct NewArgs {
    #[command(flatten)]
    entry: Entry,

    /// Add the entry to this file (that of `auth.keys_file`), which running services read again, and print the key alone
    #[arg(long, value_name = "FILE")]
    append: Option<PathBuf>,

    /// Print key and entry as a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The key must be random: at least 43 characters, as 256 bits have. A shorter one could be guessed from its hash.

Exit codes: 0 done, 1 failed, 2 wrong usage")]
struct HashArgs {
    #[command(flatten)]
    entry: Entry,
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::New(args) => new(args),
        Command::Hash(args) => hash(args),
    }
}

fn new(NewArgs { entry, append, json }: &NewArgs) -> anyhow::Result<ExitCode> {
    let key = make(&entry.id)?;
    let toml = entry.to_toml(&Digest::of(key.as_bytes()));
    if let Some(file) = append {
        add(file, &toml).with_context(|| format!("cannot add the entry to {}", file.display()))?;
        news(format_args!(
            "{} has the entry {}; this is its key, shown this once:",
            file.display(),
            entry.id
        ));
    }
    if *json {
        let digest = Digest::of(key.as_bytes()).to_hex();
        result(json!({ "id": entry.id, "key": key, "sha256": digest, "entry": toml }))?;
    } else if append.is_some() {
        result(key)?;
    } else {
        result(format!(
            "# The key, shown this once. Give it to its holder:\n# {key}\n\n\
             # The entry, for the configuration or the file of auth.keys_file:\n{toml}"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn hash(HashArgs { entry }: &HashArgs) -> anyhow::Result<ExitCode> {
    let mut stdin = io::stdin();
    if stdin.is_terminal() {
        news(format_args!("Reading the key from standard input; end it with Ctrl-D."));
    }
    let mut key = String::new();
    stdin.by_ref().take(KEY_CHARS_MAX as u64 + 2).read_to_string(&mut key).context("cannot read the key")?;
    let key = key.trim_end_matches(['\r', '\n']);
    check(key)?;
    result(entry.to_toml(&Digest::of(key.as_bytes())))?;
    Ok(ExitCode::SUCCESS)
}

/// A new key, such as `ofk_shop_…`.
fn make(id: &str) -> anyhow::Result<String> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    Ok(format!("{PREFIX}_{id}_{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}

/// Whether a key can be one that nobody guesses.
fn check(key: &str) -> anyhow::Result<()> {
    let long = (KEY_CHARS_MIN..=KEY_CHARS_MAX).contains(&key.len());
    let printable = key.bytes().all(|byte| byte.is_ascii_graphic());
    let mut characters = key.as_bytes().to_vec();
    characters.sort_unstable();
    characters.dedup();
    anyhow::ensure!(
        long && printable && characters.len() >= KEY_DISTINCT_MIN,
        "the key cannot be used: it must be random, {KEY_CHARS_MIN} to {KEY_CHARS_MAX} printable ASCII characters \
         without spaces, as `openssl rand -hex 32` prints; `orderflow key new` makes one"
    );
    Ok(())
}

/// Adds to the file in one write, so that nobody reads half an entry. A new file is its owner's alone.
fn add(file: &Path, toml: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(file)?;
    file.write_all(format!("\n{toml}\n").as_bytes())?;
    file.sync_all()
}

/// The name of a key.
fn parse_id(text: &str) -> Result<String, String> {
    if is_key_id(text) {
        Ok(text.to_owned())
    } else {
        Err("1 to 64 letters, digits, dots, hyphens and underscores; not anonymous".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_can_be_found_by_its_form_and_is_never_the_same() {
        let (one, two) = (make("shop").unwrap(), make("shop").unwrap());
        let random = one.strip_prefix("ofk_shop_").unwrap();
        assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(random).unwrap().len(), 32);
        assert_ne!(one, two);
        check(&one).unwrap();
    }

    #[test]
    fn a_key_that_could_be_guessed_is_refused() {
        let hex = "0123456789abcdef".repeat(4);
        check(&hex).unwrap();
        for key in ["", "hunter2", &hex[..42], &"a".repeat(64), &format!("{} {hex}", &hex[..3])] {
            let error = check(key).unwrap_err().to_string();
            assert!(error.contains("43") && (key.is_empty() || !error.contains(key)), "{error}");
        }
    }
}
