//! Errors on the wire: `application/problem+json` (RFC 9457).
//!
//! `type` is always `about:blank`, and so `title` is the phrase of the status, as the RFC has it:
//! there is no page per problem to point to, and an address that leads nowhere would be a promise
//! that nobody keeps. What is particular is in `code`, a stable word for programs, and in `detail`,
//! a sentence for people that says what to do. A problem never shows a path, SQL or a source error.

use std::{borrow::Cow, time::Duration};

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use super::body::{self, Response};

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// What else is said of the problems with these codes: what would have been right.
static WANTED: [(&str, HeaderName, HeaderValue); 2] = [
    ("unsupported_encoding", header::ACCEPT_ENCODING, HeaderValue::from_static("identity")),
    // RFC 9530, section 4.
    (
        "unsupported_digest",
        HeaderName::from_static("want-content-digest"),
        HeaderValue::from_static("sha-256=10, sha-512=5"),
    ),
];

/// Something that went wrong, as it is told to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The status of the answer.
    pub status: StatusCode,
    /// A stable word in snake case, for programs.
    pub code: &'static str,
    /// What to do about it, for people.
    pub detail: Cow<'static, str>,
    /// When it makes sense to try again.
    pub retry_after: Option<Duration>,
    /// What the resource can be asked, for a 405.
    pub allow: Vec<Method>,
}

/// A problem as JSON.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemDocument<'a> {
    /// Always `about:blank`: `code` tells problems of one status apart.
    r#type: &'a str,
    /// The phrase of the status.
    title: &'a str,
    /// The status.
    status: u16,
    /// What to do about it, for people.
    detail: &'a str,
    /// A stable word in snake case, for programs.
    code: &'a str,
    /// What to name when asking the operator about it: it is in the log, too.
    request_id: &'a str,
}

/// The code of the problem that a response carries, for the log: an extension of the response.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProblemCode(pub(super) &'static str);

impl Problem {
    /// A problem of this status.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None, allow: Vec::new() }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 404: nothing is here, or it is not for this client to see.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Nothing is here: check the address.")
    }

    /// 405: something is here, but this cannot be done with it.
    #[must_use]
    pub fn method_not_allowed(allow: &[Method]) -> Self {
        let detail = format!("This address takes only: {}.", names(allow));
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        Self { allow: allow.to_vec(), ..problem }
    }

    /// 408: the client stopped sending.
    #[must_use]
    pub fn request_timeout() -> Self {
        let detail = "The body stopped coming: send the request again.";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
    }

    /// 500: a mistake of ours.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "The server made a mistake: give its operator the request id.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// 503: the same request may succeed a little later.
    #[must_use]
    pub fn unavailable(retry_after: Duration) -> Self {
        let detail = "The service is not available for a moment: try again.";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
        Self { retry_after: Some(retry_after), ..problem }
    }

    /// The answer that tells the client of it.
    #[must_use]
    pub fn into_response(self, request_id: &str) -> Response {
        let document = ProblemDocument {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            request_id,
        };
        let mut response = body::json_as(CONTENT_TYPE, self.status, &document);
        response.extensions_mut().insert(ProblemCode(self.code));
        let headers = response.headers_mut();
        if let Some(retry_after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, whole_seconds(retry_after).into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if !self.allow.is_empty() {
            headers.insert(header::ALLOW, allow(&self.allow));
        }
        if let Some((_, name, value)) = WANTED.iter().find(|(code, ..)| *code == self.code) {
            headers.insert(name, value.clone());
        }
        response
    }
}

/// The value of an `Allow` header.
#[must_use]
pub fn allow(methods: &[Method]) -> HeaderValue {
    HeaderValue::from_str(&names(methods)).expect("methods are tokens")
}

fn names(methods: &[Method]) -> String {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    names.join(", ")
}

/// Never less than asked for: a client that comes early comes in vain.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(0 < duration.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    use super::*;

    async fn document(response: Response) -> Value {
        let bytes = response.into_body().collect().await.expect("a full body").to_bytes();
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[tokio::test]
    async fn a_problem_says_all_that_rfc_9457_asks_for() {
        let response = Problem::bad_request("invalid_chunk", "Number chunks from 1.")
            .into_response("request-7");
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
        let expected = json!({
            "type": "about:blank",
            "title": "Bad Request",
            "status": 400,
            "detail": "Number chunks from 1.",
            "code": "invalid_chunk",
            "request_id": "request-7",
        });
        assert_eq!(document(response).await, expected);
    }

    #[test]
    fn retry_after_is_rounded_up() {
        for (millis, seconds) in [(0, "0"), (1, "1"), (1000, "1"), (1001, "2")] {
            let response = Problem::unavailable(Duration::from_millis(millis)).into_response("r");
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds, "{millis} ms");
        }
    }

    #[test]
    fn a_405_lists_what_is_allowed() {
        let response = Problem::method_not_allowed(&[Method::GET, Method::HEAD]).into_response("r");
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[header::ALLOW], "GET, HEAD");
    }

    #[test]
    fn the_schema_names_every_field() {
        let schema = schemars::schema_for!(ProblemDocument<'_>);
        let required = schema.get("required").and_then(Value::as_array).expect("required fields");
        assert_eq!(required.len(), 6, "{required:?}");
    }
}
