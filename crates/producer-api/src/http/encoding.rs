//! `Content-Encoding` of request bodies (RFC 9110, section 8.4): gzip and zstd are inflated while they arrive.
//!
//! What a body inflates to is bounded by whoever reads it; what the decoders hold is bounded here: a zstd window
//! of at most 8 MiB, as RFC 9659 asks.

use std::io;

use async_compression::{
    tokio::bufread::{GzipDecoder, ZstdDecoder},
    zstd::DParameter,
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use service_kit::{Problem, http::is_body_timeout};
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use super::problems;

/// What a request may be encoded with, for `Accept-Encoding`.
pub(super) const ACCEPTED: &str = "gzip, zstd";

/// Bytes inflated at a time.
const CHUNK_BYTES: usize = 32 * 1024;

/// The logarithm of the largest zstd window, in bytes.
const WINDOW_LOG_MAX: u32 = 23;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Why a body ended before its end.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection broke, or the client ended the body early.
    Broken(String),
    /// Nothing of it arrived for longer than the port waits.
    Silent,
    /// It is not what its `Content-Encoding` says, or incomplete.
    Corrupt(String),
}

/// The pieces of a body, inflated.
pub(super) type Chunks = BoxStream<'static, Result<Bytes, Fault>>;

impl Encoding {
    /// The encoding that the headers tell. More than one on top of the other is refused.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let values = headers.get_all(header::CONTENT_ENCODING);
        let told = values.iter().map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
        let told = told.collect::<Vec<_>>().join(",");
        let mut codings = told.split(',').map(str::trim).filter(|coding| !matches!(*coding, "" | "identity"));
        let encoding = match codings.next() {
            None => Self::Identity,
            Some("gzip" | "x-gzip") => Self::Gzip,
            Some("zstd") => Self::Zstd,
            Some(other) => {
                let other: String = other.chars().take(40).collect();
                return Err(problems::unsupported_encoding(format!(
                    "Content-Encoding is {other:?}; allowed: {ACCEPTED}, or none"
                )));
            }
        };
        match codings.next() {
            None => Ok(encoding),
            Some(_) => Err(problems::unsupported_encoding("more than one Content-Encoding; allowed: one")),
        }
    }

    /// The body as it was before it was encoded.
    pub(super) fn decode(self, body: Body) -> Chunks {
        let pieces = body.into_data_stream();
        match self {
            Self::Identity => pieces.map_err(|error| Fault::of_body(&error)).boxed(),
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(StreamReader::new(pieces.map_err(io::Error::other)));
                // A file of several members, as parallel compressors write it, is one text.
                decoder.multiple_members(true);
                inflated(decoder).boxed()
            }
            Self::Zstd => {
                let reader = StreamReader::new(pieces.map_err(io::Error::other));
                let window = [DParameter::window_log_max(WINDOW_LOG_MAX)];
                let mut decoder = ZstdDecoder::with_params(reader, &window);
                decoder.multiple_members(true);
                inflated(decoder).boxed()
            }
        }
    }
}

fn inflated(decoder: impl AsyncRead + Send + 'static) -> impl Stream<Item = Result<Bytes, Fault>> + Send {
    ReaderStream::with_capacity(decoder, CHUNK_BYTES).map_err(|error| {
        // The decoders pass on what the body's own stream says.
        match error.get_ref().and_then(|inner| inner.downcast_ref::<axum::Error>()) {
            Some(of_body) => Fault::of_body(of_body),
            None => Fault::Corrupt(error.to_string()),
        }
    })
}

impl Fault {
    fn of_body(error: &axum::Error) -> Self {
        if is_body_timeout(error) { Self::Silent } else { Self::Broken(error.to_string()) }
    }

    /// What the client is told.
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::Broken(reason) => problems::body_unreadable(reason),
            Self::Silent => problems::body_timeout(),
            Self::Corrupt(reason) => problems::corrupt_encoding(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn told(values: &[&'static str]) -> Result<Encoding, u16> {
        let values = values.iter().map(|value| (header::CONTENT_ENCODING, HeaderValue::from_static(value)));
        Encoding::of(&values.collect()).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn gzip_and_zstd_are_known_in_any_case() {
        assert_eq!(told(&[]), Ok(Encoding::Identity));
        assert_eq!(told(&["identity"]), Ok(Encoding::Identity));
        assert_eq!(told(&[""]), Ok(Encoding::Identity));
        for gzip in ["gzip", "GZIP", "x-gzip", " gzip ", "identity, gzip"] {
            assert_eq!(told(&[gzip]), Ok(Encoding::Gzip), "{gzip}");
        }
        assert_eq!(told(&["zstd"]), Ok(Encoding::Zstd));
    }

    #[test]
    fn other_encodings_and_several_are_415() {
        for values in [&["br"][..], &["deflate"], &["gzip, zstd"], &["gzip", "gzip"], &["gzip;q=1"], &["*"]] {
            assert_eq!(told(values), Err(415), "{values:?}");
        }
    }

    async fn inflate(encoding: Encoding, body: &'static [u8]) -> Result<Vec<u8>, Fault> {
        let chunks: Vec<Bytes> = encoding.decode(Body::from(body)).try_collect().await?;
        Ok(chunks.concat())
    }

    /// `printf a | gzip -n`.
    const A: &[u8] = &[31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 75, 4, 0, 67, 190, 183, 232, 1, 0, 0, 0];

    #[tokio::test]
    async fn what_is_cut_or_spoilt_is_corrupt() {
        assert_eq!(inflate(Encoding::Gzip, A).await.unwrap(), b"a");
        for end in [0, 5, 12, A.len() - 1] {
            let cut = inflate(Encoding::Gzip, &A[..end]).await;
            assert!(matches!(cut, Err(Fault::Corrupt(_))), "{end}: {cut:?}");
        }
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let spoilt = inflate(encoding, b"{\"type\":\"order.paid\"}").await;
            assert!(matches!(spoilt, Err(Fault::Corrupt(_))), "{spoilt:?}");
        }
    }

    #[tokio::test]
    async fn members_follow_each_other() {
        let two: &'static [u8] = [A, A].concat().leak();
        assert_eq!(inflate(Encoding::Gzip, two).await.unwrap(), b"aa");
        let garbage: &'static [u8] = [A, b"garbage"].concat().leak();
        assert!(inflate(Encoding::Gzip, garbage).await.is_err(), "nothing is dropped in silence");
    }
}
