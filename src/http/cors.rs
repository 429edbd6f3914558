//! Which pages of other origins may use the service, and the headers that tell browsers so.
//!
//! tower-http's layer takes every OPTIONS for a preflight and answers it, and says
//! `Access-Control-Allow-Credentials` to origins that it does not allow. Here a preflight is what
//! Fetch says it is, any other OPTIONS reaches the service (which answers with `Allow`), and an
//! origin is told all or nothing.
//!
//! `Vary: Origin` is not set here: it belongs on every response, those without CORS headers too.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tower::{ServiceExt, service_fn};

use super::{
    Handler,
    body::{self, Request, Response},
    origin::AllowedOrigin,
};

const ALLOWED_METHODS: HeaderValue =
    HeaderValue::from_static("GET, POST, PUT, PATCH, HEAD, DELETE, OPTIONS");
/// What scripts may read beyond the few headers that they may always read.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "X-Request-ID, Retry-After, Content-Digest, ETag, Content-Range, Accept-Ranges, \
     Content-Disposition, Location",
);
/// Two hours, in seconds: Chrome keeps a preflight no longer, and flow.js sends one request for
/// each chunk.
const MAX_AGE_SECS: HeaderValue = HeaderValue::from_static("7200");
const PREFLIGHT_VARY: HeaderValue =
    HeaderValue::from_static("Access-Control-Request-Method, Access-Control-Request-Headers");

/// The origins whose pages may use the service. None by default: then there are no CORS headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorsOrigins(Arc<[AllowedOrigin]>);

impl CorsOrigins {
    /// These origins.
    pub fn new(origins: impl IntoIterator<Item = AllowedOrigin>) -> Self {
        Self(origins.into_iter().collect())
    }

    /// What the origin of this request may do, if anything.
    fn grant(&self, headers: &HeaderMap) -> Option<Grant> {
        let origin = headers.get(header::ORIGIN)?;
        let text = origin.to_str().ok()?;
        let named = |it: &AllowedOrigin| *it != AllowedOrigin::Any && it.matches(text);
        if self.0.iter().any(named) {
            Some(Grant::Named(origin.clone()))
        } else {
            self.0.contains(&AllowedOrigin::Any).then_some(Grant::Anyone)
        }
    }
}

/// What an origin may do.
enum Grant {
    /// Ask, and with the cookies and credentials that its user has here.
    Named(HeaderValue),
    /// Ask as anyone may. Never with credentials: any page could then act for any user.
    Anyone,
}

impl Grant {
    fn write(self, headers: &mut HeaderMap) {
        let origin = match self {
            Self::Named(origin) => {
                let yes = HeaderValue::from_static("true");
                headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
                origin
            }
            Self::Anyone => HeaderValue::from_static("*"),
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }

    /// The answer to a preflight. The headers that it asks for are allowed as they are asked for:
    /// a star would not cover `Authorization`.
    fn preflight(self, request: &HeaderMap) -> Response {
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        self.write(headers);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECS);
        headers.insert(header::VARY, PREFLIGHT_VARY);
        if let Some(asked) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        response
    }
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers the preflights of allowed origins, and marks all other answers to them, the errors, too:
/// a script that cannot read an error cannot tell its user what to do.
pub(super) fn allow<S: Handler>(origins: CorsOrigins, inner: S) -> impl Handler {
    service_fn(move |request: Request| {
        let grant = origins.grant(request.headers());
        let inner = inner.clone();
        async move {
            match grant {
                None => inner.oneshot(request).await,
                Some(grant) if is_preflight(&request) => Ok(grant.preflight(request.headers())),
                Some(grant) => {
                    let mut response = inner.oneshot(request).await?;
                    let headers = response.headers_mut();
                    grant.write(headers);
                    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
                    Ok(response)
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn origins(patterns: &[&str]) -> CorsOrigins {
        CorsOrigins::new(patterns.iter().map(|it| it.parse().expect("an origin")))
    }

    /// What the request of this method and these headers is answered by a service that says 418.
    async fn ask(patterns: &[&str], method: Method, headers: &[(&str, &str)]) -> Response {
        let teapot = service_fn(|_: Request| async {
            let mut response = Response::new(body::empty());
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            Ok::<_, Infallible>(response)
        });
        let mut request = http::Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body::empty()).expect("a request");
        match allow(origins(patterns), teapot).oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        response.headers().get(name).map(|it| it.to_str().expect("text"))
    }

    #[tokio::test]
    async fn a_named_origin_is_mirrored_with_credentials_on_errors_too() {
        for pattern in ["https://app.example.com", "https://*.example.com"] {
            let origin = ("origin", "https://app.example.com");
            // Being named weighs more than being one of all.
            let response = ask(&["*", pattern], Method::POST, &[origin]).await;
            assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
            assert_eq!(header(&response, "access-control-allow-origin"), Some(origin.1));
            assert_eq!(header(&response, "access-control-allow-credentials"), Some("true"));
            let exposed = header(&response, "access-control-expose-headers").unwrap_or_default();
            assert!(exposed.contains("X-Request-ID") && exposed.contains("Retry-After"));
        }
    }

    #[tokio::test]
    async fn everyone_may_ask_but_without_credentials() {
        let response = ask(&["*"], Method::GET, &[("origin", "https://other.org")]).await;
        assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
        assert_eq!(header(&response, "access-control-allow-credentials"), None);
    }

    #[tokio::test]
    async fn other_origins_are_told_nothing_at_all() {
        let asked = ("access-control-request-method", "PUT");
        for patterns in [&[][..], &["https://app.example.com"]] {
            for origin in ["https://evil.org", "null", "https://APP.example.com"] {
                let response = ask(patterns, Method::OPTIONS, &[("origin", origin), asked]).await;
                assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
                assert!(response.headers().is_empty(), "{origin}: {:?}", response.headers());
            }
        }
        assert!(ask(&["*"], Method::GET, &[]).await.headers().is_empty());
    }

    #[tokio::test]
    async fn a_preflight_is_answered_before_the_service_sees_it() {
        let headers = [
            ("origin", "https://app.example.com"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "authorization,content-digest"),
        ];
        let response = ask(&["https://app.example.com"], Method::OPTIONS, &headers).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        for (name, value) in [
            ("access-control-allow-origin", "https://app.example.com"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "GET, POST, PUT, PATCH, HEAD, DELETE, OPTIONS"),
            ("access-control-allow-headers", "authorization,content-digest"),
            ("access-control-max-age", "7200"),
        ] {
            assert_eq!(header(&response, name), Some(value), "{name}");
        }
    }

    #[tokio::test]
    async fn an_options_that_is_no_preflight_reaches_the_service() {
        let origin = ("origin", "https://app.example.com");
        let response = ask(&["*"], Method::OPTIONS, &[origin]).await;
        assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
    }
}
