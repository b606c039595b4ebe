//! The page: its files, embedded in the binary.

use axum::{
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use service_kit::problem::not_found;

use crate::http::Path;

/// A file of the page.
struct Asset {
    /// Below `assets/`.
    path: &'static str,
    media_type: &'static str,
    /// Of its bytes, in quotes.
    etag: &'static str,
    bytes: &'static [u8],
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// `GET /`: the page.
pub(crate) async fn page(uri: Uri, headers: HeaderMap) -> Response {
    serve("index.html", uri, &headers).await
}

/// `GET /assets/{path}`: what the page is made of.
pub(crate) async fn file(Path(path): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    serve(&path, uri, &headers).await
}

async fn serve(path: &str, uri: Uri, headers: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) else {
        return not_found(uri).await.into_response();
    };
    // The browser asks each time, and is told when it has the file already.
    let caching = [(header::CACHE_CONTROL, "no-cache"), (header::ETAG, asset.etag)];
    if has(headers, asset.etag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, asset.media_type)], asset.bytes).into_response()
}

/// Whether `If-None-Match` names the file as it is.
fn has(headers: &HeaderMap, etag: &str) -> bool {
    let named = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browsers_copy_is_recognised() {
        let headers = |value: &str| HeaderMap::from_iter([(header::IF_NONE_MATCH, value.parse().unwrap())]);
        for named in ["\"1\"", "W/\"1\"", "\"0\", \"1\"", "*"] {
            assert!(has(&headers(named), "\"1\""), "{named}");
        }
        assert!(!has(&headers("\"2\""), "\"1\"") && !has(&HeaderMap::new(), "\"1\""));
    }
}
