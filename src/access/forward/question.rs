//! What is passed on of a request to whoever is asked about it.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header, request};
use sha2::{Digest, Sha256};

use super::ForwardOptions;
use crate::upload::Sha256Digest;

/// What is left out beside what describes the body: it is for this connection, says nothing of who
/// asks, or comes anew with every request.
const LEFT_OUT: [HeaderName; 16] = [
    header::CONNECTION,
    header::EXPECT,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::RANGE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("x-request-id"),
    // Sent by a client, these might be taken for what a proxy says.
    header::FORWARDED,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("true-client-ip"),
];
/// The same, for all fields that begin so.
const LEFT_OUT_FROM: [&str; 4] = ["content-", "if-", "x-forwarded-", "x-original-"];

/// A question, as it is sent.
#[derive(Debug)]
pub(super) struct Question(HeaderMap);

impl Question {
    /// What is asked about a request. Its query is not passed on: it may hold a secret, and differs
    /// from chunk to chunk.
    pub(super) fn about(
        request: &request::Parts,
        peer: Option<IpAddr>,
        options: &ForwardOptions,
    ) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            if is_passed_on(name) && *name != options.user_header {
                headers.append(name, value.clone());
            }
        }
        let mut say = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        say("x-forwarded-method", request.method.as_str());
        say("x-forwarded-proto", if options.is_encrypted { "https" } else { "http" });
        say("x-forwarded-uri", request.uri.path());
        if let Some(peer) = peer {
            say("x-forwarded-for", &peer.to_string());
        }
        if let Some(host) = request.headers.get(header::HOST) {
            headers.insert("x-forwarded-host", host.clone());
        }
        Self(headers)
    }

    /// The fields to send.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.0
    }

    /// What tells this question from all others.
    pub(super) fn key(&self) -> Sha256Digest {
        let mut sha256 = Sha256::new();
        for (name, value) in &self.0 {
            for part in [name.as_str().as_bytes(), value.as_bytes()] {
                sha256.update((part.len() as u64).to_le_bytes());
                sha256.update(part);
            }
        }
        Sha256Digest(sha256.finalize().into())
    }
}

/// Names with an underscore are for nobody: where fields become variables, as by CGI, they would
/// be the same ones as those with a hyphen, which are ours to write.
fn is_passed_on(name: &HeaderName) -> bool {
    let text = name.as_str();
    let is_known = LEFT_OUT.contains(name) || LEFT_OUT_FROM.iter().any(|it| text.starts_with(it));
    !is_known && !text.contains('_')
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::upload::Scopes;

    fn question(lines: &[(&str, &str)]) -> Question {
        let mut request = Request::get("/upload?flowChunkNumber=1&ticket=secret");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let options = ForwardOptions {
            url: "http://auth.example".parse().expect("a URL"),
            user_header: HeaderName::from_static("remote-user"),
            scopes: Scopes::NONE,
            cache: std::time::Duration::ZERO,
            is_encrypted: true,
        };
        Question::about(&parts, Some(IpAddr::from([192, 0, 2, 1])), &options)
    }

    #[test]
    fn credentials_are_passed_on_and_what_a_proxy_would_say_is_said_by_us() {
        let question = question(&[
            ("cookie", "session=1"),
            ("authorization", "Basic eDp5"),
            ("host", "up.example.com"),
            ("remote-user", "root"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-uri", "/public"),
            ("forwarded", "for=127.0.0.1"),
            ("x_forwarded_for", "127.0.0.1"),
            ("remote_user", "root"),
            ("x-real-ip", "127.0.0.1"),
            ("x-client-ip", "127.0.0.1"),
            ("true-client-ip", "127.0.0.1"),
            ("content-length", "7"),
            ("if-none-match", "x"),
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
        ]);
        let mut said: Vec<_> = question.headers().iter().collect();
        said.sort_by_key(|(name, _)| name.as_str());
        let said: Vec<_> = said
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
            .collect();
        assert_eq!(
            said,
            [
                "authorization: Basic eDp5",
                "cookie: session=1",
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-host: up.example.com",
                "x-forwarded-method: GET",
                "x-forwarded-proto: https",
                "x-forwarded-uri: /upload",
            ]
        );
    }

    #[test]
    fn two_questions_are_the_same_if_all_that_is_passed_on_is() {
        let ann = question(&[("cookie", "session=1")]).key();
        assert_eq!(question(&[("cookie", "session=1"), ("content-length", "7")]).key(), ann);
        for other in [&[("cookie", "session=2")][..], &[("cookies", "ession=1")], &[]] {
            assert_ne!(question(other).key(), ann, "{other:?}");
        }
    }
}
