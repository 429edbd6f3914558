//! The pages: the files of `static/`, held in the binary.
//!
//! `build.rs` lists them, so that a file is served because it is there.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use sha2::{Digest, Sha256};

use super::{
    body::{self, Response},
    content::{self, Representation},
};
use crate::upload::Sha256Digest;

// `FILES: &[(&str, &[u8])]`: names below static/, with `/`, and contents; sorted by name.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The pages load nothing from elsewhere and run nothing inline; previews are `blob:` images.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self'; style-src 'self'; \
     script-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'",
);

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// A file of ours.
#[derive(Debug, Clone)]
pub struct Asset {
    name: &'static str,
    bytes: &'static [u8],
    file: Representation,
}

/// By name, as [`FILES`].
static ASSETS: LazyLock<Vec<Asset>> =
    LazyLock::new(|| FILES.iter().map(|(name, bytes)| Asset::new(name, bytes)).collect());

/// The file at this path: `/` is `index.html`, all others are below `/static/`.
#[must_use]
pub fn find(path: &str) -> Option<&'static Asset> {
    find_in(&ASSETS, path)
}

fn find_in<'a>(assets: &'a [Asset], path: &str) -> Option<&'a Asset> {
    let name = if path == "/" { "index.html" } else { path.strip_prefix("/static/")? };
    let index = assets.binary_search_by_key(&name, |asset| asset.name).ok()?;
    assets.get(index)
}

impl Asset {
    fn new(name: &'static str, bytes: &'static [u8]) -> Self {
        let etag = content::strong_etag(&Sha256Digest(Sha256::digest(bytes).into()));
        Self { name, bytes, file: Representation { len: bytes.len() as u64, etag, modified: None } }
    }

    /// The answer to a GET or HEAD for it.
    #[must_use]
    pub fn respond(&self, method: &Method, headers: &HeaderMap, request_id: &str) -> Response {
        let selection = content::select(method, headers, &self.file);
        let said = [
            (header::CONTENT_TYPE, HeaderValue::from_static(content_type(self.name))),
            // Kept, but asked about each time: a new version of the server shows at once.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            // On scripts, too: a worker runs under the policy that came with it.
            (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
            // Pages of other origins load `flow-resume.js` from here; nothing in a file is secret.
            (CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin")),
        ];
        let refused = selection.status.is_client_error();
        let mut response = selection.into_response(request_id, |range| {
            let index = |at: u64| usize::try_from(at).expect("within a file that is in memory");
            body::full(&self.bytes[index(range.start)..index(range.end)])
        });
        if !refused {
            response.headers_mut().extend(said);
        }
        response
    }
}

/// By extension; all text is UTF-8.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        Some(_) | None => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use http_body_util::BodyExt;

    use super::*;

    fn assets() -> Vec<Asset> {
        vec![
            Asset::new("app.js", b"export {};"),
            Asset::new("icons/a.svg", b"<svg/>"),
            Asset::new("index.html", b"<!doctype html>"),
        ]
    }

    fn index() -> Asset {
        find_in(&assets(), "/").expect("the page").clone()
    }

    fn headers(lines: &[(http::HeaderName, &HeaderValue)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.clone(), (*value).clone())).collect()
    }

    #[test]
    fn an_asset_has_one_address() {
        let assets = assets();
        let name = |path: &str| find_in(&assets, path).map(|asset| asset.name);
        assert_eq!(name("/"), Some("index.html"));
        assert_eq!(name("/static/app.js"), Some("app.js"));
        assert_eq!(name("/static/icons/a.svg"), Some("icons/a.svg"));
        for path in [
            "",
            "/app.js",
            "/static",
            "/static/",
            "/static/icons",
            "/static/icons/",
            "/static/../Cargo.toml",
            "/static//app.js",
            "/static/APP.JS",
            "/static/icons%2Fa.svg",
        ] {
            assert_eq!(name(path), None, "{path}");
        }
    }

    #[tokio::test]
    async fn a_page_comes_with_what_a_browser_must_know() {
        let response = index().respond(&Method::GET, &HeaderMap::new(), "r");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(response.headers()[header::CONTENT_LENGTH], "15");
        assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], PAGE_POLICY);
        assert_eq!(response.headers()[CROSS_ORIGIN_RESOURCE_POLICY], "cross-origin");
        let bytes = response.into_body().collect().await.expect("in memory").to_bytes();
        assert_eq!(bytes, "<!doctype html>");
    }

    #[tokio::test]
    async fn an_asset_that_the_client_has_is_not_sent_again() {
        let etag = index().file.etag;
        for (method, lines, status) in [
            (Method::GET, headers(&[(header::IF_NONE_MATCH, &etag)]), StatusCode::NOT_MODIFIED),
            (Method::HEAD, HeaderMap::new(), StatusCode::OK),
        ] {
            let response = index().respond(&method, &lines, "r");
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[header::ETAG], etag);
            let bytes = response.into_body().collect().await.expect("in memory").to_bytes();
            assert!(bytes.is_empty());
        }
        assert_ne!(etag, assets()[0].file.etag);
    }

    #[tokio::test]
    async fn a_part_of_an_asset_can_be_had() {
        let range = HeaderValue::from_static("bytes=2-8");
        let response = index().respond(&Method::GET, &headers(&[(header::RANGE, &range)]), "r");
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        let bytes = response.into_body().collect().await.expect("in memory").to_bytes();
        assert_eq!(bytes, "doctype");
    }

    #[test]
    fn every_file_of_static_is_found_small_and_of_a_known_type() {
        const LEN_MAX: usize = 256 * 1024;
        for (name, bytes) in FILES {
            let found = find(&format!("/static/{name}")).map(|asset| asset.bytes);
            assert_eq!(found, Some(*bytes), "{name}");
            assert_ne!(content_type(name), "application/octet-stream", "{name}");
            assert!(bytes.len() <= LEN_MAX, "{name}");
        }
    }
}
