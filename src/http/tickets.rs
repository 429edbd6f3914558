//! `POST /tickets`: permits for browsers, issued to whoever decides who may upload.

use std::time::Duration;

use http::{StatusCode, request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    body::{self, RequestBody},
    gate,
    origin::AllowedOrigin,
    problem::Problem,
    state::{Answer, State},
    trouble::sentence,
};
use crate::{
    access::{self, NewTicket, NotIssued, Ticket},
    upload::{
        Accept, By, Day, FileName, Principal,
        limits::{TICKET_LIFETIME, TICKET_LIFETIME_MAX},
    },
};

/// What a ticket is to say. What is left out is left to its holder; what is misspelt is refused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TicketRequest {
    /// The user on whose behalf files are uploaded; made known when the ticket is first used.
    sub: String,
    /// How many seconds it counts; 900 unless it is said, and at most a day.
    expires_in: Option<u64>,
    /// The largest file, in bytes.
    max_size: Option<u64>,
    /// The one name that a file may have.
    filename: Option<String>,
    /// Which kinds of file there may be, as in the setting `accept`: `image/*`, `.pdf`.
    accept: Option<Vec<String>>,
    /// How many uploads may be begun with it.
    uploads: Option<u32>,
    /// The one day that a file may be scheduled for.
    #[schemars(extend("format" = "date"))]
    scheduled_at: Option<String>,
    /// Whose pages may use it, such as `https://www.example.com`.
    origin: Option<String>,
}

/// A ticket.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Issued {
    /// To be sent as `Authorization: Bearer …`, or as the field `ticket` of flow.js's `query`.
    ticket: String,
    /// When it ends (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    expires_at: String,
}

/// `POST /tickets`.
pub(super) async fn issue(state: &State, by: &By, body: RequestBody) -> Answer {
    let request: TicketRequest = body::read_json(body).await?;
    let access::Issued { ticket, ends } =
        state.access.issue_ticket(request.check()?, by).await.map_err(not_issued)?;
    let issued = Issued { ticket, expires_at: ends.to_string() };
    Ok(body::json(StatusCode::CREATED, &issued))
}

/// Whether the page that sends this request may use the ticket, if it is for some pages only.
pub(super) fn check_origin(ticket: &Ticket, parts: &request::Parts) -> Result<(), Problem> {
    let Some(only) = &ticket.origin else { return Ok(()) };
    let mut lines = parts.headers.get_all(http::header::ORIGIN).iter();
    let allowed = match (lines.next(), lines.next()) {
        // Within one origin browsers do not say it of what only asks.
        (None, _) => parts.method.is_safe(),
        (Some(line), None) => is_from(line.to_str().unwrap_or_default(), only),
        (Some(_), Some(_)) => false,
    };
    if allowed {
        return Ok(());
    }
    let detail = "The ticket is for the pages of another origin: get one for this page.";
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

fn is_from(origin: &str, only: &str) -> bool {
    only.parse::<AllowedOrigin>().is_ok_and(|only| only.matches(origin))
}

impl TicketRequest {
    /// Refuses what would make a ticket that nobody can use.
    fn check(self) -> Result<NewTicket, Problem> {
        let user = self.sub.parse::<Principal>();
        let user = user.map_err(|error| invalid(&format!("`sub` cannot be used: {error}")))?;
        let lifetime = self.expires_in.map_or(TICKET_LIFETIME, Duration::from_secs);
        if lifetime.is_zero() || TICKET_LIFETIME_MAX < lifetime {
            let most = TICKET_LIFETIME_MAX.as_secs();
            return Err(invalid(&format!("`expires_in` must be 1 to {most} seconds")));
        }
        if self.filename.as_deref().is_some_and(str::is_empty) {
            return Err(invalid(&"`filename` is empty: leave it out to allow every name"));
        }
        let accept = self.accept.as_deref().map(accepted).transpose()?;
        let filename = self.filename.map(FileName::new).transpose();
        let day = self.scheduled_at.map(|text| text.parse::<Day>()).transpose();
        if let Some(Err(error)) = self.origin.as_deref().map(str::parse::<AllowedOrigin>) {
            return Err(invalid(&error));
        }
        Ok(NewTicket {
            user,
            lifetime,
            max_size: self.max_size,
            filename: filename.map_err(|error| invalid(&error))?,
            accept: accept.unwrap_or_default(),
            uploads: self.uploads,
            scheduled: day.map_err(|error| invalid(&error))?,
            origin: self.origin,
        })
    }
}

fn not_issued(error: NotIssued) -> Problem {
    match error {
        NotIssued::NoKey => {
            Problem::new(StatusCode::CONFLICT, "tickets_not_configured", sentence(&error))
        }
        NotIssued::TooLong => invalid(&error),
        NotIssued::Catalog(error) => gate::unavailable(error),
    }
}

fn accepted(kinds: &[String]) -> Result<Accept, Problem> {
    let accept = Accept::of(kinds.iter().map(String::as_str)).map_err(|error| invalid(&error))?;
    if accept.is_everything() {
        return Err(invalid(&"`accept` is empty: leave it out to allow every kind of file"));
    }
    Ok(accept)
}

fn invalid(detail: &impl ToString) -> Problem {
    Problem::bad_request("invalid_ticket", sentence(detail))
}
