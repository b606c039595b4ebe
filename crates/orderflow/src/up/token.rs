//! The token of the workers' `/admin` routes: one a run, unless the configuration has one.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read as _},
};

/// 128 bits that nobody can guess, in hexadecimal.
pub(super) fn random() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_is_another() {
        let (one, two) = (random().unwrap(), random().unwrap());
        assert!(one != two && one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
