//! Requests that the page of another origin makes a browser send.
//!
//! A browser adds to them what it has for this service: the cookie of a proxy that signs people in,
//! or simply its place in a network that strangers cannot reach. So whatever changes something must
//! come from a page of ours, from one of an origin that is listed, or from no browser; or show a
//! token, which no page can know that was not given it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::{
    gate,
    origin::{AllowedOrigin, PublicUrl},
    problem::Problem,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What a proxy says the host was, if it puts another in its place. No page can set it: it would
/// have to ask by a preflight.
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// Which pages may change something, and which may show what is published.
#[derive(Debug, Clone)]
pub struct Sites {
    listed: Arc<[AllowedOrigin]>,
    public_url: PublicUrl,
    schemes: &'static [&'static str],
}

impl Sites {
    /// Those of these origins, and our own. If the service `is_encrypted` by itself, a page that
    /// came in the clear is none of ours; if not, a proxy may encrypt.
    #[must_use]
    pub fn new(listed: &[AllowedOrigin], public_url: PublicUrl, is_encrypted: bool) -> Self {
        let schemes: &[_] = if is_encrypted { &["https"] } else { &["https", "http"] };
        Self { listed: listed.into(), public_url, schemes }
    }

    /// Errors: 403, if this is to change something for a page that must not.
    pub(super) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        if method.is_safe() || shows_token(headers) || self.may_change(headers) {
            return Ok(());
        }
        let detail = "A page of another origin sent this, and without a token. If it is to be let \
                      in, list its origin in cors_origins; if it is this service's own, name in \
                      public_url the address that browsers show.";
        Err(Problem::new(StatusCode::FORBIDDEN, "cross_site", detail))
    }

    /// The pages that may show a published file, without reading it: those of listed origins and
    /// our own. Nothing if no origin is listed: then the policy of every answer holds.
    ///
    /// A request for `<img>` without CORS has no `Origin`; its `Referer` names the page. Where both
    /// are hidden, a current browser (it sends `Sec-Fetch-Site`) is refused, an old one is not.
    pub(super) fn readers(&self, headers: &HeaderMap) -> Option<Readers> {
        let may_embed = match (page(headers), Said::by(headers, &SEC_FETCH_SITE)) {
            _ if self.listed.is_empty() => return None,
            (Some(origin), _) => self.is_listed(origin, headers),
            (None, site) => matches!(site, Said::Nothing),
        };
        Some(if may_embed { Readers::Listed } else { Readers::Own })
    }

    fn may_change(&self, headers: &HeaderMap) -> bool {
        let origin = Said::by(headers, &header::ORIGIN);
        if let Said::Once(origin) = origin
            && self.is_listed(origin, headers)
        {
            return true;
        }
        match (Said::by(headers, &SEC_FETCH_SITE), origin) {
            (Said::Unclear, _) | (_, Said::Unclear) => false,
            // `none`: a person did it, not a page.
            (Said::Once(site), _) => ["same-origin", "none"].contains(&site),
            // Browsers leave it out where they do not trust the connection, and old ones always.
            (Said::Nothing, Said::Once(origin)) => self.is_own(origin, headers),
            (Said::Nothing, Said::Nothing) => true,
        }
    }

    /// Those that are not listed by name are let in as anybody, and so without what a browser has
    /// of its user.
    fn is_listed(&self, origin: &str, headers: &HeaderMap) -> bool {
        let has_credentials =
            [header::COOKIE, header::AUTHORIZATION].iter().any(|name| headers.contains_key(name));
        let lets_in = |it: &AllowedOrigin| {
            it.matches(origin) && !(*it == AllowedOrigin::Any && has_credentials)
        };
        self.public_url.matches(origin) || self.listed.iter().any(lets_in)
    }

    fn is_own(&self, origin: &str, headers: &HeaderMap) -> bool {
        let named = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let hosts = named(header::HOST).chain(named(X_FORWARDED_HOST)).flat_map(|it| it.split(','));
        hosts.map(str::trim).any(|host| self.is_at(origin, host))
    }

    /// Whether an origin is that of a host, which may be written with the port of its scheme.
    fn is_at(&self, origin: &str, host: &str) -> bool {
        self.schemes.iter().any(|scheme| {
            let own = format!("{scheme}://{host}").parse();
            own.is_ok_and(|own| matches!(own, AllowedOrigin::Exact(_)) && own.matches(origin))
        })
    }
}

/// The pages that may show a published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Pages of our own origin.
    Own,
    /// The page that asks, which is of a listed origin.
    Listed,
}

impl Readers {
    /// The headers that say so, and of what they depend on.
    pub(super) fn write(self, headers: &mut HeaderMap) {
        let policy = match self {
            Self::Own => HeaderValue::from_static("same-origin"),
            Self::Listed => HeaderValue::from_static("cross-origin"),
        };
        headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, policy);
        headers.append(header::VARY, HeaderValue::from_static("Referer, Sec-Fetch-Site"));
    }
}

/// The origin of the page that a request comes from, as far as it is said.
fn page(headers: &HeaderMap) -> Option<&str> {
    if let Said::Once(origin) = Said::by(headers, &header::ORIGIN) {
        return Some(origin);
    }
    let Said::Once(referer) = Said::by(headers, &header::REFERER) else { return None };
    let authority = referer.find("://")? + 3;
    let end = referer[authority..].find(['/', '?', '#']).map_or(referer.len(), |at| authority + at);
    Some(&referer[..end])
}

/// What a header says that must not come twice.
#[derive(Clone, Copy)]
enum Said<'a> {
    Nothing,
    Once(&'a str),
    Unclear,
}

impl<'a> Said<'a> {
    fn by(headers: &'a HeaderMap, name: &HeaderName) -> Self {
        let mut values = headers.get_all(name).iter();
        match (values.next().map(|value| value.to_str()), values.next()) {
            (None, _) => Self::Nothing,
            (Some(Ok(text)), None) => Self::Once(text),
            _ => Self::Unclear,
        }
    }
}

/// Whether there is a bearer token, be it a good one: browsers add none by themselves.
fn shows_token(headers: &HeaderMap) -> bool {
    gate::bearer(headers).is_ok_and(|token| token.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(listed: &[&str], public_url: &str, is_encrypted: bool) -> Sites {
        let listed: Vec<_> = listed.iter().map(|it| it.parse().expect("an origin")).collect();
        Sites::new(&listed, public_url.parse().expect("an address"), is_encrypted)
    }

    /// A request to `up.example.com` with these lines, `name: value`.
    fn headers(lines: &[&str]) -> HeaderMap {
        let pair = |line: &&str| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"))
        };
        let host = [("host".parse().expect("a name"), "up.example.com".parse().expect("a value"))];
        let mut headers = HeaderMap::new();
        for (name, value) in host.into_iter().chain(lines.iter().map(pair)) {
            headers.append(name, value);
        }
        headers
    }

    /// Whether a POST with these lines is let through.
    fn passes(sites: &Sites, lines: &[&str]) -> bool {
        sites.check(&Method::POST, &headers(lines)).is_ok()
    }

    const OWN: &str = "origin: https://up.example.com";
    const SISTER: &str = "origin: https://www.example.com";
    const EVIL: &str = "origin: https://evil.org";
    const SAME_ORIGIN: &str = "sec-fetch-site: same-origin";
    const SAME_SITE: &str = "sec-fetch-site: same-site";
    const CROSS_SITE: &str = "sec-fetch-site: cross-site";
    const COOKIE: &str = "cookie: session=1";
    const TOKEN: &str = "authorization: Bearer x";

    #[test]
    fn the_browser_is_believed_about_where_a_page_is_from() {
        let (nobody, sister) =
            (sites(&[], "", false), sites(&["https://www.example.com"], "", false));
        // What is said, and whether it passes if no origin is listed, and if the sister is.
        for (lines, passes_unlisted, passes_listed) in [
            (&[][..], true, true),
            (&[COOKIE], true, true),
            (&[SAME_ORIGIN, OWN], true, true),
            (&["sec-fetch-site: none"], true, true),
            (&[SAME_SITE, SISTER], false, true),
            (&[SAME_SITE, SISTER, COOKIE], false, true),
            (&[SAME_SITE], false, false),
            (&[SAME_SITE, "origin: http://www.example.com"], false, false),
            (&[CROSS_SITE, SISTER], false, true),
            (&[CROSS_SITE, EVIL], false, false),
            (&[CROSS_SITE, "origin: null"], false, false),
            (&[CROSS_SITE], false, false),
            (&["sec-fetch-site: whatever"], false, false),
            (&[SAME_ORIGIN, CROSS_SITE], false, false),
            (&[EVIL, SISTER], false, false),
            (&[SAME_ORIGIN, EVIL, SISTER], false, false),
            // A page of another origin cannot know a token, nor may it send one unasked.
            (&[CROSS_SITE, EVIL, TOKEN], true, true),
            (&[CROSS_SITE, EVIL, "authorization: bearer x"], true, true),
            // But a browser adds these by itself.
            (&[CROSS_SITE, EVIL, "authorization: Basic eDp5"], false, false),
            (&[CROSS_SITE, EVIL, "authorization: Bearer"], false, false),
        ] {
            assert_eq!(passes(&nobody, lines), passes_unlisted, "{lines:?}");
            assert_eq!(passes(&sister, lines), passes_listed, "{lines:?}, listed");
        }
    }

    #[test]
    fn listed_pages_may_show_what_is_published() {
        let pattern = ["https://www.example.com", "https://*.example.net"];
        let (nobody, listed) = (sites(&[], "", false), sites(&pattern, "", false));
        for (lines, expected) in [
            (&["referer: https://www.example.com/a?b"][..], Readers::Listed),
            (&["referer: https://www.example.com"], Readers::Listed),
            (&["referer: https://a.example.net/", CROSS_SITE], Readers::Listed),
            (&["referer: https://www.example.com.evil.org/"], Readers::Own),
            (&["referer: https://evil.org/https://www.example.com/"], Readers::Own),
            (&["referer: http://www.example.com/"], Readers::Own),
            (&[SISTER, CROSS_SITE], Readers::Listed),
            (&[EVIL, "referer: https://www.example.com/"], Readers::Own),
            (&["origin: null"], Readers::Own),
            // It hides where it is from, in a browser that tells that it does.
            (&[CROSS_SITE], Readers::Own),
            (&[SAME_SITE, "referer: about:client"], Readers::Own),
            (&[SAME_ORIGIN], Readers::Own),
            (&[], Readers::Listed),
        ] {
            let headers = headers(lines);
            assert_eq!(listed.readers(&headers), Some(expected), "{lines:?}");
            assert_eq!(nobody.readers(&headers), None, "{lines:?}");
        }
        let everybody = sites(&["*"], "", false);
        for (lines, expected) in [
            (&["referer: https://evil.org/", CROSS_SITE][..], Readers::Listed),
            (&["referer: https://evil.org/", CROSS_SITE, COOKIE], Readers::Own),
        ] {
            assert_eq!(everybody.readers(&headers(lines)), Some(expected), "{lines:?}");
        }
    }

    #[test]
    fn without_that_a_page_is_ours_if_its_origin_has_our_host() {
        let (plain, encrypted) = (sites(&[], "", false), sites(&[], "", true));
        for (lines, passes_plain, passes_encrypted) in [
            (&[OWN][..], true, true),
            (&["origin: http://up.example.com"], true, false),
            (&["origin: https://up.example.com:8443"], false, false),
            (&["origin: https://up.example.com.evil.org"], false, false),
            (&["origin: https://evil.org/up.example.com"], false, false),
            (&[EVIL], false, false),
            (&["origin: null"], false, false),
            (&["origin: "], false, false),
            (&[EVIL, "x-forwarded-host: evil.org"], true, true),
            (&[SISTER, "x-forwarded-host: www.example.com:443, inner"], true, true),
            (&[SISTER, "x-forwarded-host: *.example.com"], false, false),
            (&[SISTER, "host: www.example.com:80"], false, false),
            (&["origin: http://[::1]:8080", "host: [::1]:8080"], true, false),
        ] {
            assert_eq!(passes(&plain, lines), passes_plain, "{lines:?}");
            assert_eq!(passes(&encrypted, lines), passes_encrypted, "{lines:?}, encrypted");
        }
    }

    #[test]
    fn the_public_address_is_ours_whatever_host_a_proxy_names() {
        let public = sites(&[], "https://Upload.example.com/", false);
        assert!(passes(&public, &["origin: https://upload.example.com"]));
        assert!(!passes(&public, &["origin: http://upload.example.com"]));
        assert!(!passes(&public, &[EVIL]));
    }

    #[test]
    fn everybody_may_come_but_as_nobody() {
        let everybody = sites(&["*"], "", false);
        for (lines, expected) in [
            (&[CROSS_SITE, EVIL][..], true),
            (&[CROSS_SITE, EVIL, COOKIE], false),
            (&[CROSS_SITE, EVIL, "authorization: Basic eDp5"], false),
            (&[SAME_ORIGIN, OWN, COOKIE], true),
        ] {
            assert_eq!(passes(&everybody, lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_changes_nothing_passes() {
        let headers = [(SEC_FETCH_SITE, "cross-site".parse().expect("a value"))];
        let headers: HeaderMap = headers.into_iter().collect();
        let check = |method| sites(&[], "", false).check(&method, &headers);
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert_eq!(check(method), Ok(()));
        }
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let problem = check(method).expect_err("refused");
            assert_eq!((problem.status, problem.code), (StatusCode::FORBIDDEN, "cross_site"));
        }
    }
}
