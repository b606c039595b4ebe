//! Signatures by which a receiver knows that a request is ours, unchanged and recent (Standard Webhooks, "Signature
//! scheme").

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Standard Webhooks: "between 24 bytes (192 bits) and 64 bytes (512 bits)".
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// More than this is no rotation any more.
const SECRETS_MAX: usize = 8;

/// The secrets of one endpoint. Every one of them signs each request, so that a receiver that knows the old one and one
/// that knows the new one both find theirs.
pub(super) struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// Secrets as they are handed out: `whsec_` and Base64. The problem never holds the secret.
    pub(super) fn new(secrets: &[String]) -> Result<Self, String> {
        if secrets.is_empty() || secrets.len() > SECRETS_MAX {
            return Err(format!("there are {}; allowed: from 1 to {SECRETS_MAX}", secrets.len()));
        }
        let decoded = secrets.iter().enumerate().map(|(index, secret)| {
            let bytes = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
            bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len())).ok_or_else(|| {
                format!("number {} cannot be used; allowed: whsec_ and 24 to 64 bytes in Base64", index + 1)
            })
        });
        decoded.collect::<Result<_, _>>().map(Self)
    }

    /// The value of the header `webhook-signature`: a signature by each secret, between them a space.
    pub(super) fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let sign = |secret: &Vec<u8>| {
            let mut mac =
                Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length (RFC 2104)");
            for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
                mac.update(part);
            }
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        self.0.iter().map(sign).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's own libraries.
    #[test]
    fn it_is_what_the_reference_libraries_make() {
        let secrets = Secrets::new(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()]).unwrap();
        let signature = secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b"{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_secret_signs() {
        let (old, new) =
            (format!("whsec_{}", STANDARD.encode([1; 24])), format!("whsec_{}", STANDARD.encode([2; 64])));
        let sign = |secrets: &[&String]| {
            let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).clone()).collect();
            Secrets::new(&secrets).unwrap().sign("msg_1", "1", b"{}")
        };
        assert_eq!(sign(&[&old, &new]), format!("{} {}", sign(&[&old]), sign(&[&new])));
    }

    #[test]
    fn a_secret_that_cannot_be_used_is_not_shown() {
        let short = format!("whsec_{}", STANDARD.encode([1; 23]));
        for secret in ["s3cret", "whsec_s3cret!", &short, &short[6..]] {
            let problem = Secrets::new(&[secret.to_owned()]).err().expect("refused");
            assert!(problem.contains("number 1 cannot be used") && !problem.contains(secret), "{problem}");
        }
        assert!(Secrets::new(&[]).is_err());
    }
}
