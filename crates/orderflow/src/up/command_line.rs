//! A service's command line as a shell takes it, so that it can be started by hand.

use std::{ffi::OsString, path::Path};

use service_kit::config::RedisUrl;

/// The variable it needs, its program and its arguments; a password in the URL is masked.
pub(super) fn render(program: &Path, argv: &[OsString], redis_url: Option<&str>) -> String {
    let variable =
        redis_url.map(|url| format!("ORDERFLOW__REDIS__URL={}", quoted(&RedisUrl::new(url).masked())));
    let program = quoted(&program.to_string_lossy());
    let arguments = argv.iter().map(|arg| quoted(&arg.to_string_lossy()));
    variable.into_iter().chain([program]).chain(arguments).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_it_and_nobody_reads_a_password() {
        let argv = ["--set", "notifications.templates.a=it's", "--stream", "orders:{a}"].map(OsString::from);
        assert_eq!(
            render(Path::new("/bin/reaper"), &argv, Some("redis://:secret@h/")),
            r"ORDERFLOW__REDIS__URL='redis://:***@h/' /bin/reaper --set 'notifications.templates.a=it'\''s' --stream 'orders:{a}'"
        );
        assert_eq!(render(Path::new("reaper"), &[], None), "reaper");
    }
}
