//! A service's command line as a shell takes it, so that it can be started by hand.

use std::{ffi::OsString, path::Path};

use service_kit::config::RedisUrl;

/// Names the file that holds the admin token.
pub(super) const TOKEN_FILE_VARIABLE: &str = "ORDERFLOW__ADMIN__TOKEN__FILE";

/// The variables it needs, its program and its arguments; a password in the URL is masked.
pub(super) fn render(
    program: &Path,
    argv: &[OsString],
    redis_url: Option<&str>,
    token_file: Option<&Path>,
) -> String {
    let url = redis_url.map(|url| format!("ORDERFLOW__REDIS__URL={}", quoted(&RedisUrl::new(url).masked())));
    let token = token_file.map(|file| format!("{TOKEN_FILE_VARIABLE}={}", quoted(&file.to_string_lossy())));
    let program = quoted(&program.to_string_lossy());
    let arguments = argv.iter().map(|arg| quoted(&arg.to_string_lossy()));
    url.into_iter().chain(token).chain([program]).chain(arguments).collect::<Vec<_>>().join(" ")
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
            render(Path::new("/bin/reaper"), &argv, Some("redis://:secret@h/"), Some(Path::new("/a b/t"))),
            r"ORDERFLOW__REDIS__URL='redis://:***@h/' ORDERFLOW__ADMIN__TOKEN__FILE='/a b/t' /bin/reaper --set 'notifications.templates.a=it'\''s' --stream 'orders:{a}'"
        );
        assert_eq!(render(Path::new("reaper"), &[], None, None), "reaper");
    }
}
