//! [`Digest`]: the SHA-256 of a credential, which is compared in constant time.

use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The SHA-256 of a credential. Two credentials are compared by it: how long that takes tells nothing about either, and
/// whoever reads the configuration cannot present what is in it.
///
/// A fast hash is right here and only here: a key has 256 random bits, which nobody can try. It would be wrong for what
/// people think up.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// That of a credential.
    pub fn of(credential: &[u8]) -> Self {
        Self(Sha256::digest(credential).into())
    }

    /// From 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = &text[2 * index..2 * index + 2];
            // `from_str_radix` takes a sign.
            if digits.starts_with('+') {
                return None;
            }
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// As 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Its first digits: enough to tell keys apart, too little to try passwords against.
    pub fn short(self) -> String {
        let mut text = self.to_hex();
        text.truncate(8);
        text
    }

    /// Whether both are of the same credential.
    pub fn is(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl ConstantTimeEq for Digest {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf abc | sha256sum`.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn it_is_sha_256_in_hexadecimal() {
        assert_eq!(Digest::of(b"abc").to_hex(), ABC);
        assert!(Digest::from_hex(&ABC.to_uppercase()).unwrap().is(&Digest::of(b"abc")));
        assert!(!Digest::of(b"abd").is(&Digest::of(b"abc")));
        assert_eq!(format!("{:?}", Digest::of(b"abc")), "ba7816bf…");
    }

    #[test]
    fn anything_else_is_no_digest() {
        let signed = format!("+1{}", &ABC[2..]);
        for text in
            ["", "abc", &ABC[1..], &format!("{ABC}0"), &ABC.replace('b', "g"), &"é".repeat(32), &signed]
        {
            assert!(Digest::from_hex(text).is_none(), "{text}");
        }
    }
}
