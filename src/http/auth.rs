//! `/auth`: signing in to the page, by a code that is sent by e-mail.
//!
//! Nothing here tells whether there is a user with some address: neither status nor words nor time.

use std::time::Duration;

use http::{Method, StatusCode, header, request};
use http_body::Body;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    body::{self, RequestBody},
    by, gate,
    problem::Problem,
    proxies,
    route::Route,
    state::{Answer, State},
};
use crate::{
    access::{Access, AskedFrom, Denied, NoCode},
    upload::{Means, Timestamp, TokenId},
};

/// When to try again when too many codes are waiting.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// How one signs in here.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Ways {
    /// Whether one has to.
    required: bool,
    /// Whether one may, though one need not: the public may come, and there are users.
    optional: bool,
    /// Whether a code can be sent by e-mail. A token can be shown in any case.
    otp: bool,
}

/// Who wants a code. What is misspelt is refused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeRequest {
    /// Where to send it.
    #[schemars(extend("format" = "email"))]
    email: String,
}

/// Who has a code. What is misspelt is refused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionRequest {
    /// Where it was sent.
    email: String,
    /// Its six digits.
    code: String,
}

/// A session.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Session {
    /// To be sent as `Authorization: Bearer …`.
    token: String,
    /// When it ends (RFC 3339), unless it is renewed before that.
    #[schemars(extend("format" = "date-time"))]
    expires_at: String,
    /// In how many seconds that is, for those whose clock is another one.
    expires_in: u64,
}

impl Session {
    fn new(access: &Access, token: String, ends: Timestamp) -> Self {
        Self { token, expires_at: ends.to_string(), expires_in: access.time_until(ends).as_secs() }
    }
}

/// Whatever is asked of one of these addresses.
pub(super) async fn answer(
    state: &State,
    route: Route,
    parts: &request::Parts,
    body: RequestBody,
) -> Answer {
    // Each of these writes, or may: whoever asks too often waits, before anything is looked at.
    if matches!(route, Route::Code | Route::Session) {
        gate::ask(state, parts).await;
    }
    let caller = gate::admit(state, route, parts, None).await?;
    match route {
        Route::Code => send_code(&state.access, parts, body).await,
        Route::Session if parts.method == Method::DELETE => {
            let session = gate::session(state, &caller).await?;
            let by = by::of(state, parts, (&caller.means).into());
            let ended = state.access.revoke_token(session, &by).await;
            ended.map(|_| body::no_content()).map_err(gate::unavailable)
        }
        // Whoever shows a session wants it to last. What is shown of another kind is for somebody
        // else, such as a proxy.
        Route::Session if matches!(gate::bearer(&parts.headers), Ok(Some(_))) => {
            // Somebody who shows a session and a code may mean either.
            if !body.is_end_stream() {
                return Err(Denied::Ambiguous.into());
            }
            renew(state, parts).await
        }
        Route::Session => open(state, parts, body).await,
        _ => Ok(ways(&state.access)),
    }
}

/// `GET /auth`.
fn ways(access: &Access) -> body::Response {
    let required = !access.is_open();
    let optional = !required && access.has_users();
    let ways = Ways { required, optional, otp: access.sends_codes() };
    body::json(StatusCode::OK, &ways)
}

/// `POST /auth/otp`.
async fn send_code(access: &Access, parts: &request::Parts, body: RequestBody) -> Answer {
    let CodeRequest { email } = body::read_json(body).await?;
    access.send_code(email.trim(), from(parts)).await?;
    let mut response = body::no_content();
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// From where a request comes, and whether that is its client's address. What a proxy says is
/// believed only if it is named; that there is one is believed of everybody.
fn from(parts: &request::Parts) -> Option<AskedFrom> {
    let peer = gate::peer(parts)?;
    let named: Vec<_> = proxies::forwarded_for(&parts.headers).collect();
    let has_proxy = !named.is_empty() || parts.headers.contains_key(header::FORWARDED);
    // A trusted proxy has put its client in its place: see `proxies`.
    let is_known = named.contains(&peer.to_canonical());
    Some(if has_proxy && !is_known {
        AskedFrom::UnnamedProxy(peer)
    } else {
        AskedFrom::Client(peer)
    })
}

/// `POST /auth/session`, with a code.
async fn open(state: &State, parts: &request::Parts, body: RequestBody) -> Answer {
    let SessionRequest { email, code } = body::read_json(body).await?;
    let by = by::of(state, parts, Means::Code);
    let (token, record) = state.access.sign_in(email.trim(), code.trim(), &by).await?;
    let ends = record.expires_at.unwrap_or(Timestamp::MAX);
    let session = Session::new(&state.access, token.reveal(), ends);
    Ok(body::created("/auth/session", &session))
}

/// `POST /auth/session`, with a session.
async fn renew(state: &State, parts: &request::Parts) -> Answer {
    let caller = gate::caller(state, parts, None).await?;
    let id: TokenId = gate::session(state, &caller).await?;
    let ends = state.access.renew(id).await.map_err(gate::unavailable)?;
    let ends = ends.ok_or_else(gate::no_session)?;
    let token = gate::bearer(&parts.headers)?.unwrap_or_default().to_owned();
    Ok(body::json(StatusCode::OK, &Session::new(&state.access, token, ends)))
}

impl From<NoCode> for Problem {
    fn from(reason: NoCode) -> Self {
        match reason {
            NoCode::NotConfigured => {
                let detail =
                    "This server sends no mail: show a token. Its operator sets `smtp_host`.";
                Self::new(StatusCode::CONFLICT, "codes_not_configured", detail)
            }
            NoCode::Email => {
                let detail = "This is no e-mail address: write it as name@example.com.";
                Self::bad_request("invalid_email", detail)
            }
            NoCode::TooMany(after) => {
                let detail = "Too many codes were asked for from here: wait a little.";
                let status = StatusCode::TOO_MANY_REQUESTS;
                let problem = Self::new(status, "too_many_requests", detail);
                Self { retry_after: Some(after), ..problem }
            }
            NoCode::Busy => Self::unavailable(RETRY_AFTER),
        }
    }
}
