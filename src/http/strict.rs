//! Requests that different servers read differently, and that are refused here for that reason.
//!
//! Where a proxy and this server disagree about the end of a request or about its host, a caller
//! can hide a second request from the proxy (request smuggling, RFC 9112, section 11.2). hyper
//! refuses most of it by itself; a test of [`super::server`] lists what. The rest is here.

use http::{HeaderMap, HeaderValue, StatusCode, Version, header, uri::Authority};
use tower::{ServiceExt, service_fn};

use super::{Handler, body::Request, problem::Problem, request_id};

/// What is wrong with a request that came through a socket, if anything: an extension of it.
#[derive(Debug, Clone)]
pub(super) struct Malformed(pub(super) Problem);

/// Refuses requests that are [`Malformed`], and closes their connections.
pub(super) fn refuse<S: Handler>(inner: S) -> impl Handler {
    service_fn(move |request: Request| {
        let malformed = request.extensions().get::<Malformed>().cloned();
        let inner = inner.clone();
        async move {
            let Some(Malformed(problem)) = malformed else { return inner.oneshot(request).await };
            let mut response = problem.into_response(request_id::of(request.extensions()));
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            Ok(response)
        }
    })
}

/// Looks for what hyper lets through. Errors: a problem (400 or 501) after which the connection
/// must close, because where the request ends may be in doubt.
pub(super) fn check(request: &Request, has_bare_lf: bool) -> Result<(), Problem> {
    if has_bare_lf {
        let detail = "A line of the request head ends with a bare LF: end it with CRLF.";
        return Err(Problem::bad_request("malformed_request", detail));
    }
    check_host(request)?;
    check_transfer_encoding(request.headers())
}

/// RFC 9112, section 3.2: one `Host` in HTTP/1.1, and a valid one.
fn check_host(request: &Request) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next();
    let is_missing = host.is_none() && Version::HTTP_11 <= request.version();
    let is_invalid = host.is_some_and(|host| !is_valid_host(host.as_bytes()));
    if is_missing || is_invalid || hosts.next().is_some() {
        let detail = "Send one Host header, with the host and, if it has one, the port.";
        return Err(Problem::bad_request("malformed_request", detail));
    }
    Ok(())
}

/// An empty host is valid: it is what a URI without an authority has.
fn is_valid_host(host: &[u8]) -> bool {
    if host.is_empty() {
        return true;
    }
    Authority::try_from(host).is_ok_and(|authority| !authority.as_str().contains('@'))
}

/// RFC 9112, section 6.1: a transfer coding that is not understood is 501. hyper refuses one
/// without `chunked` at its end.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    let (first, second) = (lines.next(), lines.next());
    match (first, second) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => {
            let detail = "The only transfer coding that is understood is `chunked`, once.";
            Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "transfer_coding", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body;

    fn request(version: Version, headers: &[(&str, &str)]) -> Request {
        let request = http::Request::builder().version(version);
        let with = |request: http::request::Builder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        let request = headers.iter().fold(request, with);
        request.body(body::empty()).expect("a request")
    }

    fn status(version: Version, headers: &[(&str, &str)]) -> Option<u16> {
        check(&request(version, headers), false).err().map(|problem| problem.status.as_u16())
    }

    #[test]
    fn a_request_of_http_1_1_has_one_valid_host() {
        for host in ["x", "x:80", "127.0.0.1:8080", "[::1]:8080", ""] {
            assert_eq!(status(Version::HTTP_11, &[("host", host)]), None, "{host}");
        }
        assert_eq!(status(Version::HTTP_10, &[]), None);
        assert_eq!(status(Version::HTTP_11, &[]), Some(400));
        for host in ["a b", "a/b", "http://a", "user@a", "a,b c", "a:b:c"] {
            assert_eq!(status(Version::HTTP_11, &[("host", host)]), Some(400), "{host}");
        }
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(status(version, &[("host", "a"), ("host", "a")]), Some(400));
        }
    }

    #[test]
    fn chunked_is_the_only_transfer_coding() {
        let coded = |values: &[&'static str]| {
            let codings = values.iter().map(|value| ("transfer-encoding", *value));
            let headers: Vec<_> = [("host", "x")].into_iter().chain(codings).collect();
            status(Version::HTTP_11, &headers)
        };
        assert_eq!((coded(&[]), coded(&["chunked"]), coded(&["Chunked"])), (None, None, None));
        for values in [
            &["gzip, chunked"][..],
            &["gzip", "chunked"],
            &["identity"],
            &["chunked, chunked"],
            &["chunked", "chunked"],
            &["x"],
            &[""],
        ] {
            assert_eq!(coded(values), Some(501), "{values:?}");
        }
    }
}
