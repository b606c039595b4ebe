//! The entry of a key: what its flags make of it, as TOML.

use std::fmt::Write as _;

use jiff::Timestamp;
use service_kit::auth::{Digest, Scope};

use super::parse_id;

/// What a key is called and what it is for.
#[derive(Debug, clap::Args)]
pub(super) struct Entry {
    /// What the key is called, in logs and metrics too
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub(super) id: String,

    /// What it may be used for: produce, read or admin; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',', value_parser = parse_scope)]
    scopes: Vec<Scope>,

    /// Requests and events a second; any number if left out
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    rate_per_second: Option<f64>,

    /// Requests and events at once; a second's worth, at least 1000, if left out
    #[arg(long, value_name = "N", requires = "rate_per_second", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    burst: Option<u32>,

    /// From when on it is not taken any more, e.g. 2027-01-31T00:00:00Z
    #[arg(long, value_name = "MOMENT")]
    expires: Option<Timestamp>,
}

impl Entry {
    /// The entry for the key of this hash.
    pub(super) fn to_toml(&self, digest: &Digest) -> String {
        let scopes: Vec<_> = Scope::ALL
            .iter()
            .filter(|scope| self.scopes.contains(scope))
            .map(|scope| format!("\"{scope}\""))
            .collect();
        let mut toml = format!(
            "[[auth.keys]]\nid = \"{}\"\nsha256 = \"{}\"\nscopes = [{}]",
            self.id,
            digest.to_hex(),
            scopes.join(", ")
        );
        // Writing to a String cannot fail.
        if let Some(rate) = self.rate_per_second {
            _ = write!(toml, "\nrate_per_second = {rate:?}");
        }
        if let Some(burst) = self.burst {
            _ = write!(toml, "\nburst = {burst}");
        }
        if let Some(expires) = self.expires {
            _ = write!(toml, "\nexpires = \"{expires}\"");
        }
        toml
    }
}

fn parse_scope(text: &str) -> Result<Scope, String> {
    Scope::from_word(text).ok_or_else(|| "produce, read or admin".to_owned())
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1_000_000.0).contains(rate));
    rate.ok_or_else(|| "a number from 0.001 to 1000000".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use service_kit::config::{ConfigArgs, Resolved};

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        entry: Entry,
    }

    #[test]
    fn the_configuration_takes_what_is_printed() {
        let cli = Cli::try_parse_from([
            "key",
            "--id",
            "shop.1",
            "--scope",
            "read,produce",
            "--rate-per-second",
            "10",
            "--burst",
            "50",
            "--expires",
            "2027-01-31T00:00:00+01:00",
        ])
        .unwrap();
        let digest = Digest::of(b"key");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), cli.entry.to_toml(&digest)).unwrap();
        let args = ConfigArgs { config: Some(file.path().to_owned()), ..ConfigArgs::default() };
        let settings = Resolved::load(&args, []).unwrap().into_settings();
        let [key] = settings.auth.keys.entries() else { panic!("one key") };
        assert_eq!((key.id.as_str(), key.rate_per_second, key.burst), ("shop.1", Some(10.0), Some(50)));
        assert!(key.digest.is(&digest) && key.scopes.iter().eq([Scope::Produce, Scope::Read]));
        assert_eq!(key.expires, Some("2027-01-30T23:00:00Z".parse().unwrap()));
    }

    #[test]
    fn what_the_configuration_would_refuse_is_refused_here() {
        let refused = |flags: &[&str]| Cli::try_parse_from(["key"].iter().chain(flags)).is_err();
        assert!(refused(&["--id", "a b", "--scope", "read"]));
        assert!(refused(&["--id", "anonymous", "--scope", "read"]));
        assert!(refused(&["--id", "a", "--scope", "write"]));
        assert!(refused(&["--id", "a"]));
        assert!(refused(&["--id", "a", "--scope", "read", "--burst", "5"]));
        assert!(refused(&["--id", "a", "--scope", "read", "--rate-per-second", "0"]));
    }
}
