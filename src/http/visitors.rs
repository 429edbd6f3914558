//! The cookie by which callers without credentials are told apart.
//!
//! It is random, says nothing, and is looked at on `/upload` and `/uploads/lookup` only, if the
//! caller shows nothing else. Two people behind one address who send a file of the same
//! name and size so have two uploads. See `engine::visit` for what follows from it.
//!
//! A client that sends several first requests at once keeps the cookie of the last answer. So the
//! requests of one address and user agent get one cookie if they come within [`VISITOR_OFFER`] and
//! until one of them shows it. Requests of programs share one only while they are carried out at
//! the same time: one program may end and the next begin within a millisecond. Whoever asks the
//! same question twice is not one client: the second one gets a cookie of its own.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request};
use tokio::time::Instant;

use super::{body::Response, gate};
use crate::{
    access::place,
    engine::{Clock, Cookie, HandedOut, Visit},
    upload::{
        Timestamp, Visitor,
        limits::{
            VISITOR_COOKIE_AGE, VISITOR_OFFER, VISITOR_QUESTIONS_MAX, VISITOR_SHOWN,
            VISITORS_OFFERED_MAX, visitor_late,
        },
    },
};

/// What the cookie is called.
pub const COOKIE: &str = "flowstitch_visitor";

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Random bits of a cookie.
const SECRET_BITS: usize = 128;

/// Knows which cookies were handed out a moment ago, and hands out others.
#[derive(Debug)]
pub struct Visitors {
    /// Whether browsers may send the cookie over HTTPS only.
    secure: bool,
    /// By visitor without a cookie.
    offered: Mutex<HashMap<Visitor, Offered>>,
}

#[derive(Debug)]
struct Offered {
    secret: String,
    /// Requests that are being carried out, and whose answers will hand it out.
    pending: usize,
    /// Whether it was first offered to a script of a browser.
    by_script: bool,
    /// When it was first offered.
    since: Instant,
    /// Hashes of the questions that came without a cookie.
    asked: HashSet<u64>,
    /// When it was first handed out.
    answered: Option<Instant>,
    /// When requests without a cookie are somebody else's: its client has it.
    closes: Option<Instant>,
    /// How many requests showed it.
    shown: u32,
}

/// A cookie as a request shows it.
struct Shown<'a> {
    secret: &'a str,
    /// When it was handed out, if that was in an answer to bytes.
    at: Option<Timestamp>,
    /// All of it.
    value: &'a str,
}

/// The cookie that the answer to a request will hand out, if it will: an extension of the request.
#[derive(Debug, Clone)]
pub(super) struct Greeting {
    /// When the request came.
    at: Timestamp,
    offer: Arc<OnceLock<Offer>>,
}

/// One that an answer will hand out.
#[derive(Debug)]
struct Offer {
    visitors: Arc<Visitors>,
    to: Visitor,
    secret: String,
    /// Whether the answer is to a request that brought bytes.
    brings_bytes: bool,
}

impl Visitors {
    /// `secure`: browsers reach the service by HTTPS.
    #[must_use]
    pub fn new(secure: bool) -> Arc<Self> {
        Arc::new(Self { secure, offered: Mutex::default() })
    }

    /// Which of the callers without credentials sends this request. One that has no cookie gets one
    /// with the answer.
    pub(super) fn visit(self: &Arc<Self>, parts: &request::Parts, now: Timestamp) -> Visit {
        let greeting = parts.extensions.get::<Greeting>();
        let address = gate::peer(parts).map(place);
        let agent = parts.headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
        let agent = String::from_utf8_lossy(agent.unwrap_or_default());
        let unknown = Visitor::from_address(address, &agent);
        if let Some(shown) = shown(&parts.headers) {
            self.arrived(unknown, shown.secret);
            let handed_out = shown.at.map(|at| HandedOut { to: unknown, at });
            let visitor = Visitor::with_cookie(shown.secret);
            return Visit { visitor, cookie: Cookie::Shown(handed_out) };
        }
        let offered = greeting.and_then(|greeting| self.greet(unknown, parts, greeting));
        let at = greeting.map_or(now, |greeting| greeting.at);
        let arrived = gate::begun(parts);
        Visit { visitor: unknown, cookie: Cookie::Missing { offered, arrived, at } }
    }

    /// Sees to it that the answer hands out a cookie, and tells whose visitor it makes.
    fn greet(
        self: &Arc<Self>,
        to: Visitor,
        parts: &request::Parts,
        greeting: &Greeting,
    ) -> Option<Visitor> {
        let said = |name| parts.headers.get(name).map(HeaderValue::as_bytes);
        // No browser would keep it.
        if said(SEC_FETCH_SITE) == Some(b"cross-site") {
            return None;
        }
        let by_script = said(SEC_FETCH_MODE).is_some_and(|mode| mode != b"navigate");
        let brings_bytes = matches!(parts.method, Method::POST | Method::PUT);
        if greeting.offer.get().is_none() {
            let secret = self.offer(to, by_script, question(parts))?;
            let offer = Offer { visitors: self.clone(), to, secret, brings_bytes };
            // Asked once for each request.
            let _ = greeting.offer.set(offer);
        }
        greeting.offer.get().map(|offer| Visitor::with_cookie(&offer.secret))
    }

    /// The cookie for a request of this visitor. Nothing if the system has no random numbers.
    fn offer(&self, to: Visitor, by_script: bool, question: Option<u64>) -> Option<String> {
        let now = Instant::now();
        let mut offered = self.offered();
        if let Some(it) = offered.get_mut(&to).filter(|it| it.is_shared(by_script, now))
            && question.is_none_or(|question| it.takes(question))
        {
            it.pending += 1;
            return Some(it.secret.clone());
        }
        if VISITORS_OFFERED_MAX <= offered.len() {
            offered.retain(|_, it| it.is_open(now));
        }
        let secret = new_secret()?;
        let fresh = Offered {
            secret: secret.clone(),
            pending: 1,
            by_script,
            since: now,
            asked: question.into_iter().collect(),
            answered: None,
            closes: None,
            shown: 0,
        };
        if offered.len() < VISITORS_OFFERED_MAX {
            offered.insert(to, fresh);
        }
        Some(secret)
    }

    /// A cookie is handed out.
    fn answered(&self, to: Visitor, secret: &str) {
        if let Some(it) = self.offered().get_mut(&to).filter(|it| it.secret == secret) {
            it.answered.get_or_insert_with(Instant::now);
        }
    }

    /// A client shows its cookie.
    fn arrived(&self, to: Visitor, secret: &str) {
        if let Some(it) = self.offered().get_mut(&to).filter(|it| it.secret == secret)
            && let Some(answered) = it.answered
        {
            let now = Instant::now();
            it.closes.get_or_insert_with(|| now + visitor_late(now - answered));
            it.shown += 1;
            if VISITOR_SHOWN <= it.shown {
                it.closes = Some(now);
            }
        }
    }

    /// An answer was given, or will not be.
    fn done(&self, to: Visitor, secret: &str) {
        let mut offered = self.offered();
        let Some(it) = offered.get_mut(&to).filter(|it| it.secret == secret) else { return };
        it.pending -= 1;
        if it.pending == 0 && !it.by_script {
            offered.remove(&to);
        }
    }

    /// Hands the cookie out with the page: the one that the browser has, for another year, or else
    /// a new one.
    pub(super) fn greet_page(&self, headers: &HeaderMap, response: &mut Response) {
        let value = match shown(headers) {
            Some(shown) => Some(shown.value.to_owned()),
            None => new_secret(),
        };
        if let Some(value) = value {
            self.hand_out(&value, response);
            // What is for one browser is for no cache between it and us.
            let private = HeaderValue::from_static("private, no-cache");
            response.headers_mut().insert(header::CACHE_CONTROL, private);
        }
    }

    fn hand_out(&self, value: &str, response: &mut Response) {
        let secure = if self.secure { "; Secure" } else { "" };
        let age = VISITOR_COOKIE_AGE.as_secs();
        let cookie =
            format!("{COOKIE}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
        let cookie = HeaderValue::try_from(cookie).expect("hexadecimal digits and a hyphen");
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }

    fn offered(&self) -> MutexGuard<'_, HashMap<Visitor, Offered>> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Offered {
    /// Whether one more request without a cookie may be handed out this one. A request that stays
    /// pending does not prolong that: otherwise whoever holds one open is taken for each newcomer.
    fn is_shared(&self, by_script: bool, now: Instant) -> bool {
        self.is_open(now) && (self.pending != 0 || (by_script && self.by_script))
    }

    fn is_open(&self, now: Instant) -> bool {
        let closed = self.closes.is_some_and(|closes| closes <= now);
        !closed && now - self.since < VISITOR_OFFER
    }

    /// Whether one client may ask this, too.
    fn takes(&mut self, question: u64) -> bool {
        self.asked.len() < VISITOR_QUESTIONS_MAX && self.asked.insert(question)
    }
}

impl Greeting {
    /// For a request that comes now.
    pub(super) fn new(clock: &Clock) -> Self {
        Self { at: clock.now(), offer: Arc::default() }
    }

    /// Hands the cookie out, if it is known by now that there is to be one.
    pub(super) fn give(&self, response: &mut Response, clock: &Clock) {
        let Some(offer) = self.offer.get() else { return };
        let value = if offer.brings_bytes {
            format!("{}-{:x}", offer.secret, clock.now().as_millisecond().max(0))
        } else {
            offer.secret.clone()
        };
        offer.visitors.hand_out(&value, response);
        offer.visitors.answered(offer.to, &offer.secret);
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.visitors.done(self.to, &self.secret);
    }
}

/// What a request asks, if it is one that a client sends once.
fn question(parts: &request::Parts) -> Option<u64> {
    if parts.method != Method::GET {
        return None;
    }
    let mut hash = DefaultHasher::new();
    parts.uri.path_and_query().hash(&mut hash);
    Some(hash.finish())
}

/// The first cookie of ours that can be one.
fn shown(headers: &HeaderMap) -> Option<Shown<'_>> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| name.trim() == COOKIE).find_map(|(_, value)| parse(value.trim()))
}

fn parse(value: &str) -> Option<Shown<'_>> {
    let (secret, at) = match value.split_once('-') {
        None => (value, None),
        Some((secret, at)) => {
            let at = i64::from_str_radix(at, 16).ok()?;
            (secret, Some(Timestamp::from_millisecond(at).ok()?))
        }
    };
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_secret = secret.len() == SECRET_BITS / 4 && secret.bytes().all(is_digit);
    is_secret.then_some(Shown { secret, at, value })
}

fn new_secret() -> Option<String> {
    let mut bytes = [0; SECRET_BITS / 8];
    getrandom::fill(&mut bytes).ok()?;
    Some(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (header::COOKIE, line.parse().expect("a value"))).collect()
    }

    fn secret_in(lines: &[&str]) -> Option<String> {
        shown(&headers(lines)).map(|shown| shown.secret.to_owned())
    }

    #[test]
    fn a_cookie_of_ours_is_found_among_others_and_anything_else_is_none() {
        let ours = "0123456789abcdef0123456789abcdef";
        let line = |value: &str| format!("{COOKIE}={value}");
        let ours_is = line(ours);
        for lines in [
            &[&*ours_is][..],
            &["a=b; c", &format!("x=y;{ours_is} ; z=1")],
            &[&line("forged"), &ours_is],
            &[&format!("{ours_is}-18c0ffee")],
        ] {
            assert_eq!(secret_in(lines).as_deref(), Some(ours), "{lines:?}");
        }
        for bad in [
            line(""),
            line(&ours[1..]),
            line(&ours.to_uppercase()),
            line(&format!("{ours}-")),
            line(&format!("{ours}-x")),
            line(&format!("{ours}-7fffffffffffffff")),
            format!("x{}", line(ours)),
        ] {
            assert_eq!(secret_in(&[&bad]), None, "{bad}");
        }
        let at = shown(&headers(&[&line(&format!("{ours}-3e8"))])).and_then(|shown| shown.at);
        assert_eq!(at, Timestamp::from_second(1).ok());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_are_carried_out_at_once_share_a_cookie_and_those_of_a_script_for_longer()
    {
        let visitors = Visitors::new(false);
        let [one, other] = ["1", "2"].map(|agent| Visitor::from_address(None, agent));
        let offer = |to, by_script| visitors.offer(to, by_script, None).expect("random numbers");
        let first = offer(one, false);
        assert_eq!(offer(one, false), first, "at once");
        assert_ne!(offer(other, false), first);
        visitors.done(one, &first);
        assert_eq!(offer(one, true), first, "one is still pending");
        visitors.done(one, &first);
        visitors.done(one, &first);
        let second = offer(one, true);
        assert_ne!(second, first);
        visitors.done(one, &second);
        assert_eq!(offer(one, true), second, "the scripts of a page");
        visitors.done(one, &second);
        let program = offer(one, false);
        assert_ne!(program, second);
        visitors.done(one, &program);
        let third = offer(one, true);
        assert_ne!(third, program);
        visitors.done(one, &third);
        tokio::time::advance(VISITOR_OFFER).await;
        let held_open = offer(one, true);
        assert_ne!(held_open, third);
        tokio::time::advance(VISITOR_OFFER).await;
        assert_ne!(offer(one, true), held_open, "though it is still pending");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_the_same_again_is_another_client() {
        let visitors = Visitors::new(false);
        let to = Visitor::from_address(None, "1");
        let ask = |question| visitors.offer(to, true, Some(question)).expect("random numbers");
        let first = ask(1);
        assert_eq!(ask(2), first);
        let other = ask(1);
        assert_ne!(other, first);
        assert_eq!(ask(2), other);
        for question in 3..=VISITOR_QUESTIONS_MAX as u64 {
            assert_eq!(ask(question), other);
        }
        assert_ne!(ask(u64::MAX), other, "one client does not ask so much at once");
    }

    #[tokio::test(start_paused = true)]
    async fn once_a_client_shows_its_cookie_the_next_without_one_is_somebody_else() {
        let visitors = Visitors::new(false);
        let [slow, fast] = ["1", "2"].map(|agent| Visitor::from_address(None, agent));
        let offer = |to| visitors.offer(to, true, None).expect("random numbers");
        for (to, round_trip) in [(slow, 300), (fast, 0)] {
            let first = offer(to);
            visitors.answered(to, &first);
            tokio::time::advance(Duration::from_millis(round_trip)).await;
            assert_eq!(offer(to), first, "nobody has shown it");
            visitors.arrived(to, &first);
            (0..VISITOR_SHOWN).for_each(|_| visitors.arrived(to, "another one"));
            let late = visitor_late(Duration::from_millis(round_trip));
            tokio::time::advance(late / 2).await;
            assert_eq!(offer(to), first, "sent before the cookie came");
            tokio::time::advance(late / 2).await;
            assert_ne!(offer(to), first, "though some are pending");
        }
        let first = offer(slow);
        visitors.answered(slow, &first);
        tokio::time::advance(Duration::from_secs(1)).await;
        (1..VISITOR_SHOWN).for_each(|_| visitors.arrived(slow, &first));
        assert_eq!(offer(slow), first);
        visitors.arrived(slow, &first);
        assert_ne!(offer(slow), first, "it was shown often enough");
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_remembered() {
        let visitors = Visitors::new(false);
        for number in 0..VISITORS_OFFERED_MAX + 10 {
            visitors.offer(Visitor::from_address(None, &number.to_string()), true, None);
        }
        assert_eq!(visitors.offered().len(), VISITORS_OFFERED_MAX);
        tokio::time::advance(VISITOR_OFFER).await;
        let to = Visitor::from_address(None, "0");
        let secret = visitors.offer(to, true, None).expect("random numbers");
        assert_eq!(visitors.offered().len(), 1, "the others are older than that");
        // What they are told when they end does no harm.
        visitors.done(Visitor::from_address(None, "1"), &secret);
        assert_eq!(visitors.offer(to, true, None), Some(secret));
    }

    #[test]
    fn the_cookie_is_for_the_browser_alone() {
        let mut response = Response::new(super::super::body::empty());
        Visitors::new(true).greet_page(&HeaderMap::new(), &mut response);
        let cookie = response.headers()[header::SET_COOKIE].to_str().expect("text").to_owned();
        let (name, rest) = cookie.split_once('=').expect("a cookie");
        let (value, attributes) = rest.split_once("; ").expect("attributes");
        assert_eq!(name, COOKIE);
        assert!(parse(value).is_some(), "{value}");
        assert_eq!(attributes, "Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "private, no-cache");
    }
}
