//! Bounds of asking, and of being let in.

use std::time::Duration;

// Who is asking.

/// Tokens, and users, that are remembered, so that not every request asks the catalog.
pub const CREDENTIALS_REMEMBERED_MAX: usize = 4096;
/// How long `auth_url` may take to answer, and then again to end its answer.
pub const FORWARD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits in all until it is known who sends it.
pub const FORWARD_DEADLINE: Duration = Duration::from_secs(15);
/// How many requests ask at a time.
pub const FORWARD_LINES: usize = 64;
/// How long is waited before it is asked for the second time; then twice as long, and so on.
pub const FORWARD_PAUSE_MIN: Duration = Duration::from_millis(200);
/// Bytes that are read of the body of its answer: it says nothing to us.
pub const FORWARD_ANSWER_LEN_MAX: usize = 64 * 1024;
/// How long an answer of `auth_url` is cached.
pub const FORWARD_CACHE: Duration = Duration::from_secs(10);
/// How long an answer of `auth_url` may be cached at most: for this long, a user who was shut out
/// there is still let in here.
pub const FORWARD_CACHE_MAX: Duration = Duration::from_mins(5);
/// How long an answer that lasts goes on before its caller is judged again.
pub const PERMISSION_RECHECK: Duration = Duration::from_secs(15);
/// Default of `max_streams`.
pub const STREAMS_MAX: usize = 1000;
/// Default of `max_streams_per_caller`.
pub const STREAMS_PER_CALLER_MAX: usize = 100;
/// How exactly it is known when a token was last used.
pub const TOKEN_USE_STEP: Duration = Duration::from_hours(1);
/// How long a ticket may count after it was issued.
pub const TICKET_LIFETIME_MAX: Duration = Duration::from_hours(24);
/// Tickets whose uploads stay counted after the tickets have ended. The clock may have been wrong:
/// if it is set back, those tickets are valid again.
pub const TICKETS_KEPT: usize = 100_000;
/// How long a ticket counts that we issue, unless it is said.
pub const TICKET_LIFETIME: Duration = Duration::from_mins(15);
/// By how much the clock of whoever issues tickets may be wrong.
pub const CLOCK_LEEWAY: Duration = Duration::from_mins(1);
/// Bytes of the secret with which tickets are signed.
pub const TICKET_SECRET_LEN_MIN: usize = 32;
/// Bits of an RSA key that signs tickets.
pub const RSA_BITS_MIN: usize = 2048;
/// Keys whose tickets are accepted.
pub const TICKET_KEYS_MAX: usize = 64;
/// How long the first wrong credential of an address waits for its answer; each further one waits
/// twice as long as the one before, …
pub const PENALTY_MIN: Duration = Duration::from_millis(100);
/// … up to this.
pub const PENALTY_MAX: Duration = Duration::from_secs(10);
/// When wrong credentials are forgotten.
pub const PENALTY_FORGOTTEN: Duration = Duration::from_mins(10);
/// Addresses whose wrong credentials are remembered.
pub const PENALTY_PLACES_MAX: usize = 10_000;

// Visitors: callers without credentials.

/// How long a browser keeps the cookie of a visitor.
pub const VISITOR_COOKIE_AGE: Duration = Duration::from_hours(365 * 24);
/// How long after the first request of a browser without a cookie its next ones without one get the
/// same cookie: it sends several at once, and the last answer counts. Shorter, as soon as it shows
/// the cookie: see [`visitor_late`].
pub const VISITOR_OFFER: Duration = Duration::from_secs(5);
/// How many questions may share a cookie: more than browsers ask at once.
pub const VISITOR_QUESTIONS_MAX: usize = 64;
/// After so many requests with its cookie, none without it is under way from a client any more.
pub const VISITOR_SHOWN: u32 = 3;
/// By how much two requests that a client sends at once may arrive apart, at least and at most.
const VISITOR_LATE_MIN: Duration = Duration::from_millis(20);
/// See [`visitor_late`].
pub const VISITOR_LATE_MAX: Duration = Duration::from_secs(5);

/// By how much two requests that a client sends at once may arrive apart, if it took so long from
/// an answer to its next request: one of the two may need a new connection, and that takes up to
/// three round trips.
#[must_use]
pub fn visitor_late(round_trip: Duration) -> Duration {
    round_trip.saturating_mul(2).clamp(VISITOR_LATE_MIN, VISITOR_LATE_MAX)
}
/// How long it is known that an upload was handed over from a visitor without a cookie to one with
/// it: a request without one may wait as long until it is its turn.
pub const VISITOR_HANDED_OVER: Duration = Duration::from_mins(10);
/// Cookies that are remembered of an upload as handed out with its answers.
pub const VISITOR_OFFERS_MAX: usize = 64;
/// Visitors without a cookie to whom one was handed out a moment ago that are remembered.
pub const VISITORS_OFFERED_MAX: usize = 10_000;

/// How long a request waits at most that its sender has sent too soon; then it is served.
pub const RATE_DELAY_MAX: Duration = Duration::from_secs(30);
/// How long after its turn requests of one upload are taken for parts of the same beginning.
pub const RATE_TURN: Duration = Duration::from_secs(1);
/// Addresses and users whose rates are remembered.
pub const RATE_SENDERS_MAX: usize = 50_000;
/// How often those are looked for, when there are so many, who need not be remembered any more.
pub const PACE_SWEEP_INTERVAL: Duration = Duration::from_secs(1);
// Signing in to the page.

/// Digits of a code.
pub const CODE_DIGITS: u32 = 6;
/// How long a code counts.
pub const CODE_LIFETIME: Duration = Duration::from_mins(10);
/// How often a code may be tried.
pub const CODE_TRIES: u32 = 5;
/// Codes that a user is sent at once, but for those that are right at their first try, …
pub const CODES_AT_ONCE: u32 = 5;
/// … and how long until there is one more. Whoever guesses has so many codes to guess at.
pub const CODE_INTERVAL: Duration = Duration::from_hours(1);
/// Codes that may be asked for from one address at once, …
pub const CODES_ASKED_AT_ONCE: u32 = 100;
/// … and how long until there is one more: a whole office may be behind one address, and everybody
/// behind that of a proxy that is not trusted.
pub const CODES_ASKED_INTERVAL: Duration = Duration::from_secs(5);
/// Addresses that wait to be looked up; more are refused for the moment.
pub const CODES_WANTED_LEN: usize = 256;
/// Codes that are being sent, or wait to be tried again.
pub const CODES_ON_THE_WAY_MAX: usize = 1000;
/// To be signed in or refused takes a multiple of this, whatever the reason: well above the
/// difference that a code makes to what the catalog has to do.
pub const SIGN_IN_TIME: Duration = Duration::from_millis(250);
/// Connections to the mail server at a time.
pub const MAILS_AT_ONCE: usize = 4;
/// How long the mail server may take for one mail.
pub const MAIL_TIMEOUT: Duration = Duration::from_secs(20);
/// First and longest pause before a mail is tried again.
pub const MAIL_RETRY_MIN: Duration = Duration::from_secs(1);
/// See [`MAIL_RETRY_MIN`].
pub const MAIL_RETRY_MAX: Duration = Duration::from_mins(1);
/// How much longer a session has to last for it to be worth writing down.
pub const RENEWAL_STEP: Duration = Duration::from_mins(1);
/// Default of `session_ttl`.
pub const SESSION_TTL: Duration = Duration::from_hours(1);
/// Default of `session_max`.
pub const SESSION_MAX: Duration = Duration::from_hours(12);
