//! What each address needs: the one table that is enforced, and that SECURITY.md shows.

use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc};

use async_trait::async_trait;
use http::{HeaderMap, Method, StatusCode, header, request};
use tokio::time::{Instant, sleep_until};

use super::{
    by, intake::Intake, permission::Permission, permitted::LetIn, problem::Problem, route::Route,
    state::State, tickets, trouble::sentence,
};
use crate::{
    access::{self, Caller, Denied, Shown},
    dialect::{Gate, Grant, Refusal},
    engine::UploadError,
    upload::{
        By, Identity, IdentityKey, Means, Principal, Scope, Timestamp, TokenId,
        limits::RATE_DELAY_MAX,
    },
};

/// Where a request came from: an extension of it, put there by the server. Behind a trusted proxy,
/// the address of the proxy's client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// When a request came: an extension of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun(pub(super) Instant);

/// What a caller needs, to be let through to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it is the same for everybody and tells of nobody.
    Nothing,
    /// One of these scopes.
    OneOf(&'static [Scope]),
    /// One of these scopes, by other means than a ticket: a ticket is for what it was issued for,
    /// and not for what else its user has.
    InPerson(&'static [Scope]),
    /// A session of the page: what came of signing in.
    Session,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("everybody"),
            Self::OneOf(scopes) => f.write_str(&listed(scopes)),
            Self::InPerson(scopes) => write!(f, "{}, and no ticket", listed(scopes)),
            Self::Session => f.write_str("a session of the page"),
        }
    }
}

fn listed(scopes: &[Scope]) -> String {
    let words: Vec<_> = scopes.iter().map(|it| format!("`{}`", it.as_str())).collect();
    words.join(" or ")
}

const UPLOAD: Need = Need::OneOf(&[Scope::Upload]);
const READ: Need = Need::OneOf(&[Scope::Read]);
const EITHER: Need = Need::OneOf(&[Scope::Upload, Scope::Read]);
const ADMIN: Need = Need::OneOf(&[Scope::Admin]);

/// What this may be done by. What is somebody else's does not exist for the caller, whatever the
/// scopes: that is not decided here.
#[must_use]
pub fn need(route: Route, method: &Method) -> Need {
    let changes = !matches!(*method, Method::GET | Method::HEAD);
    match route {
        // A preflight and its like have no credentials, and tell nothing.
        _ if method == Method::OPTIONS => Need::Nothing,
        Route::Session if *method == Method::DELETE => Need::Session,
        Route::Auth
        | Route::Code
        | Route::Session
        | Route::Health
        | Route::Ready
        | Route::OpenApi
        | Route::Asset => Need::Nothing,
        Route::Flow | Route::UploadCreative | Route::Lookup => UPLOAD,
        Route::Upload(_) if changes => UPLOAD,
        Route::Creative(_) if changes => Need::InPerson(&[Scope::Upload]),
        // A list shows what other tickets, and other means, have brought.
        Route::Uploads => Need::InPerson(&[Scope::Upload, Scope::Read]),
        Route::Upload(_) | Route::Events(_) | Route::Limits => EITHER,
        Route::Scheduled | Route::Creatives | Route::Creative(_) | Route::Content(_) => READ,
        Route::Tickets | Route::Metrics => ADMIN,
    }
}

/// The caller, if the request may be let through; nobody in particular, where nothing is needed. A
/// `ticket` among its fields counts if its head shows nothing.
pub(super) async fn admit(
    state: &State,
    route: Route,
    parts: &request::Parts,
    ticket: Option<&str>,
) -> Result<Caller, Problem> {
    let need = need(route, &parts.method);
    let scopes: &[Scope] = match need {
        Need::Nothing => return Ok(Caller::nobody()),
        Need::Session => return caller(state, parts, ticket).await,
        Need::OneOf(scopes) | Need::InPerson(scopes) => scopes,
    };
    let begun = begun(parts);
    wait(state, state.rates.request_from(peer(parts), begun)).await;
    let caller = match state.access.anybody() {
        Some(public) => public,
        None => caller(state, parts, ticket).await?,
    };
    check_ticket(need, parts, &caller)?;
    wait(state, state.rates.request_by(&caller.principal, begun)).await;
    if !caller.may(scopes) {
        return Err(forbidden(scopes));
    }
    if let Some(intake) = parts.extensions.get::<Arc<Intake>>() {
        intake.admit();
    }
    Ok(caller)
}

/// Judges again whether a request may be let through whose answer lasts. It does not count as
/// another request, and its credentials, which were good, cost nothing if they are not any more.
/// They may have expired after `as_of`, if that is given.
pub(super) async fn readmit(
    state: &State,
    route: Route,
    parts: &request::Parts,
    (ticket, as_of): (Option<&str>, Option<Timestamp>),
) -> Result<Caller, Problem> {
    let need = need(route, &parts.method);
    let (Need::OneOf(scopes) | Need::InPerson(scopes)) = need else { return Ok(Caller::nobody()) };
    let caller = if let Some(public) = state.access.anybody() {
        public
    } else {
        let (shown, by) = (shown(state, parts, ticket)?, by::of(state, parts, Means::Nothing));
        let by = By { at: as_of.unwrap_or(by.at), ..by };
        state.access.identify(shown, &by, parts).await?
    };
    check_ticket(need, parts, &caller)?;
    if caller.may(scopes) { Ok(caller) } else { Err(forbidden(scopes)) }
}

/// Whether the ticket that was shown, if it was one, may be used for this and from there.
fn check_ticket(need: Need, parts: &request::Parts, caller: &Caller) -> Result<(), Problem> {
    let Some(ticket) = caller.ticket() else { return Ok(()) };
    tickets::check_origin(ticket, parts)?;
    if matches!(need, Need::InPerson(_)) { Err(in_person()) } else { Ok(()) }
}

pub(super) fn peer(parts: &request::Parts) -> Option<IpAddr> {
    parts.extensions.get::<Peer>().map(|peer| peer.0)
}

/// Waits until then, but keeps no stop waiting.
async fn wait(state: &State, moment: Instant) {
    if Instant::now() < moment {
        state.stop.begun.run_until_cancelled(sleep_until(moment)).await;
    }
}

/// Waits until one more request may come from where this one does: for what needs nothing, and
/// costs something.
pub(super) async fn ask(state: &State, parts: &request::Parts) {
    wait(state, state.rates.request_from(peer(parts), begun(parts))).await;
}

/// Waits until one more upload may be begun; all in all no longer than anybody has to wait.
pub(super) async fn begin(
    state: &State,
    parts: &request::Parts,
    principal: &Principal,
    identity: Option<&IdentityKey>,
) {
    if state.rates.counts_uploads() {
        let last = begun(parts) + RATE_DELAY_MAX;
        wait(state, state.rates.upload(peer(parts), principal, identity).min(last)).await;
    }
}

pub(super) fn begun(parts: &request::Parts) -> Instant {
    parts.extensions.get::<Begun>().map_or_else(Instant::now, |begun| begun.0)
}

/// Who asks, by what the head of the request shows, or else a `ticket` among its fields.
pub(super) async fn caller(
    state: &State,
    parts: &request::Parts,
    ticket: Option<&str>,
) -> Result<Caller, Problem> {
    let by = by::of(state, parts, Means::Nothing);
    Ok(state.access.caller(shown(state, parts, ticket)?, &by, parts).await?)
}

/// What a request shows of its sender. Errors: two things, or something in the wrong place.
fn shown<'a>(
    state: &State,
    parts: &'a request::Parts,
    ticket: Option<&'a str>,
) -> Result<Shown<'a>, Problem> {
    let header = match bearer(&parts.headers) {
        // Of another kind: for whoever else is asked.
        Err(_) if state.access.asks_elsewhere() => match ticket {
            Some(_) => return Err(Denied::Ambiguous.into()),
            None => None,
        },
        header => header?,
    };
    Ok(Shown::of(header, ticket)?)
}

/// The session that this caller showed. Errors: it was something else.
pub(super) async fn session(state: &State, caller: &Caller) -> Result<TokenId, Problem> {
    let session = state.access.session(caller).await.map_err(unavailable)?;
    session.ok_or_else(no_session)
}

/// As [`admit`]: what is granted to the caller.
pub(super) async fn grant(
    state: &State,
    route: Route,
    parts: &request::Parts,
    ticket: Option<&str>,
) -> Result<Grant, Problem> {
    let caller = admit(state, route, parts, ticket).await?;
    let permit = caller.ticket().map(|ticket| ticket.permit.clone());
    let by = by::of(state, parts, (&caller.means).into());
    let shows_nothing = caller.means == access::Means::Nothing;
    let visit = (shows_nothing && matches!(route, Route::Flow | Route::Lookup))
        .then(|| state.visitors.visit(parts, by.at));
    Ok(Grant { principal: caller.principal, permit, visit, by })
}

/// The gate of a request whose ticket may stand among its fields.
pub(super) struct FlowGate<'a> {
    pub(super) state: &'a Arc<State>,
    pub(super) route: Route,
    pub(super) parts: &'a Arc<request::Parts>,
    /// Told when the request is let in.
    pub(super) let_in: LetIn,
}

#[async_trait]
impl Gate for FlowGate<'_> {
    async fn admit(&self, ticket: Option<&str>) -> Result<Grant, Refusal> {
        let grant = grant(self.state, self.route, self.parts, ticket).await?;
        if !self.parts.method.is_safe() {
            let permission = Permission::new(self.state, self.route, self.parts, &grant.principal);
            // A request is let in once.
            let _ = self.let_in.set(permission.for_body(ticket));
        }
        Ok(grant)
    }

    fn check(&self, ticket: &str) -> Result<(), Refusal> {
        if self.state.access.anybody().is_none() {
            shown(self.state, self.parts, Some(ticket))?;
        }
        Ok(())
    }

    fn is_known(&self, ticket: Option<&str>) -> bool {
        let shows = ticket.is_some() || self.parts.headers.contains_key(header::AUTHORIZATION);
        shows || self.state.access.anybody().is_some()
    }

    fn counts_uploads(&self) -> bool {
        self.state.rates.counts_uploads()
    }

    async fn begin(&self, identity: &Identity) {
        begin(self.state, self.parts, identity.principal(), Some(&identity.key())).await;
    }
}

/// The bearer token of a request (RFC 6750), if it shows one. Errors: it shows something else, or
/// more than one thing: whoever would then be asking is nobody's guess.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = shown.next() else { return Ok(None) };
    let text = first.to_str().ok().filter(|_| shown.next().is_none());
    let parts = text.and_then(|text| text.split_once(' '));
    match parts {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(unauthenticated(
            "Send one header, `Authorization: Bearer …`, with a token or a ticket.",
        )),
    }
}

pub(super) fn invalid() -> Problem {
    Denied::Invalid.into()
}

pub(super) fn no_session() -> Problem {
    let detail = "This is for those who signed in to the page: a token is no session.";
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

pub(super) fn unavailable(error: impl Into<UploadError>) -> Problem {
    error.into().into()
}

fn in_person() -> Problem {
    let detail = "A ticket does not allow this: it takes a token.";
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

fn forbidden(scopes: &[Scope]) -> Problem {
    let detail =
        format!("The credentials do not allow this: it takes the scope {}.", listed(scopes));
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

fn unauthenticated(detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Missing
            | Denied::Invalid
            | Denied::Misplaced
            | Denied::Unknown
            | Denied::Unusable(_) => unauthenticated(sentence(&denied)),
            Denied::Ambiguous => Self::bad_request("ambiguous_credentials", sentence(&denied)),
            Denied::Refused => Self::new(StatusCode::FORBIDDEN, "forbidden", sentence(&denied)),
            Denied::Code => Self::new(StatusCode::UNAUTHORIZED, "invalid_code", sentence(&denied)),
            Denied::Unavailable(error) => unavailable(error),
            Denied::Forward(error) => unavailable(UploadError::Unavailable(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let value = |text: &&str| (header::AUTHORIZATION, text.parse().expect("a value"));
        values.iter().map(value).collect()
    }

    #[test]
    fn one_bearer_token_is_one_caller() {
        assert_eq!(bearer(&headers(&[])), Ok(None));
        for good in ["Bearer x", "bearer x", "BEARER  x "] {
            assert_eq!(bearer(&headers(&[good])), Ok(Some("x")), "{good}");
        }
        for bad in [&["Bearer"][..], &["Basic eDp5"], &["x"], &[""], &["Bearer x", "Bearer x"]] {
            let problem = bearer(&headers(bad)).expect_err("refused");
            assert_eq!(problem.status, StatusCode::UNAUTHORIZED, "{bad:?}");
        }
    }
}
