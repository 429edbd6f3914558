//! Origins: which pages of other places may use the service.

use std::{fmt, net::Ipv6Addr, str::FromStr};

/// Which pages of other origins may use the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// `*`: all of them.
    Any,
    /// This one.
    Exact(String),
    /// Those whose host begins with one label of any name: `https://*.example.com`.
    AnyLabel {
        /// What stands before the label, such as `https://`.
        before: String,
        /// What stands after it, such as `.example.com:8443`.
        after: String,
    },
}

/// A text that is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an origin: write scheme://host or scheme://host:port without a path or a slash \
     at the end, https://*.example.com, or * alone; international names in their xn-- form"
)]
pub struct InvalidOrigin(String);

impl AllowedOrigin {
    /// Whether this is the value of a browser's `Origin` header.
    #[must_use]
    pub fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => origin == exact,
            Self::AnyLabel { before, after } => origin
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(after.as_str()))
                .is_some_and(is_label),
        }
    }
}

impl FromStr for AllowedOrigin {
    type Err = InvalidOrigin;

    /// Browsers send origins in lower case and without the scheme's own port: so are they kept.
    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let invalid = || InvalidOrigin(text.to_owned());
        let lower = text.to_ascii_lowercase();
        let (scheme, authority) = lower.split_once("://").ok_or_else(invalid)?;
        let (host, port) = split_port(scheme, authority).ok_or_else(invalid)?;
        let parent = host.strip_prefix("*.");
        if !is_scheme(scheme) || !is_host(parent.unwrap_or(host)) {
            return Err(invalid());
        }
        Ok(match parent {
            None => Self::Exact(format!("{scheme}://{host}{port}")),
            Some(parent) => {
                Self::AnyLabel { before: format!("{scheme}://"), after: format!(".{parent}{port}") }
            }
        })
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(origin) => f.write_str(origin),
            Self::AnyLabel { before, after } => write!(f, "{before}*{after}"),
        }
    }
}

/// The address under which browsers know the service, if it is said: `https://up.example.com`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicUrl(Option<AllowedOrigin>);

/// A text that is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the address of a service: write http:// or https://, the host, and the port if \
     it has one, without a path"
)]
pub struct InvalidPublicUrl(String);

impl PublicUrl {
    /// Whether this is the value of a browser's `Origin` header on pages of the service.
    #[must_use]
    pub fn matches(&self, origin: &str) -> bool {
        self.0.as_ref().is_some_and(|own| own.matches(origin))
    }

    /// Whether browsers reach it by HTTPS, as far as it is said.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(&self.0, Some(AllowedOrigin::Exact(own)) if own.starts_with("https:"))
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    /// Empty, it says nothing. A slash at the end is how browsers copy it.
    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let is_web = |it: &str| it.starts_with("http://") || it.starts_with("https://");
        match text.strip_suffix('/').unwrap_or(text).parse() {
            Ok(AllowedOrigin::Exact(own)) if is_web(&own) => {
                Ok(Self(Some(AllowedOrigin::Exact(own))))
            }
            _ => Err(InvalidPublicUrl(text.to_owned())),
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |own| own.fmt(f))
    }
}

/// The host, and the port with its colon; no port if it is the scheme's own.
fn split_port<'a>(scheme: &str, authority: &'a str) -> Option<(&'a str, String)> {
    let at = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
    let Some(colon) = at else {
        return Some((authority, String::new()));
    };
    let port: u16 = authority[colon + 1..].parse().ok()?;
    let own = matches!((scheme, port), ("http", 80) | ("https", 443));
    Some((&authority[..colon], if own { String::new() } else { format!(":{port}") }))
}

fn is_scheme(text: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(rest)
}

fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => text.split('.').all(is_label),
    }
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> AllowedOrigin {
        text.parse().expect(text)
    }

    #[test]
    fn origins_are_kept_as_browsers_send_them() {
        for (written, kept) in [
            ("*", "*"),
            ("https://example.com", "https://example.com"),
            ("HTTPS://Example.COM:443", "https://example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("https://*.example.com:8443", "https://*.example.com:8443"),
        ] {
            assert_eq!(origin(written).to_string(), kept);
            assert_eq!(origin(kept), origin(written), "{kept} is not stable");
        }
    }

    #[test]
    fn what_is_not_an_origin_is_refused() {
        for bad in [
            "",
            "null",
            "example.com",
            "https://",
            "https://example.com/",
            "https://example.com/app",
            "https://user@example.com",
            "https://*",
            "https://a.*.example.com",
            "https://*.*.example.com",
            "https://exa mple.com",
            "https://example.com:",
            "https://example.com:99999",
            "https://münchen.example",
            "http://[::g]",
        ] {
            assert_eq!(bad.parse::<AllowedOrigin>(), Err(InvalidOrigin(bad.into())), "{bad:?}");
        }
    }

    #[test]
    fn a_public_address_is_one_origin_of_the_web() {
        for (written, kept) in [
            ("", ""),
            ("https://up.example.com", "https://up.example.com"),
            ("HTTPS://Up.Example.com:443/", "https://up.example.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ] {
            let url = written.parse::<PublicUrl>().expect(written);
            assert_eq!(url.to_string(), kept);
            assert_eq!(url.matches("https://up.example.com"), kept == "https://up.example.com");
            assert!(!url.matches(""), "{written}");
        }
        for bad in ["up.example.com", "https://a.org/path", "https://*.a.org", "*", "ftp://a.org"] {
            assert_eq!(bad.parse::<PublicUrl>(), Err(InvalidPublicUrl(bad.into())), "{bad:?}");
        }
    }

    #[test]
    fn a_star_stands_for_one_label() {
        let pattern = origin("https://*.example.com");
        assert!(pattern.matches("https://a.example.com"));
        for other in [
            "https://example.com",
            "https://.example.com",
            "https://a.b.example.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://a.example.com.evil.org",
            "https://evil.org/.example.com",
            "null",
        ] {
            assert!(!pattern.matches(other), "{other}");
        }
        assert!(origin("*").matches("null"));
        assert!(origin("https://a.org").matches("https://a.org"));
        assert!(!origin("https://a.org").matches("https://a.org.evil.net"));
    }
}
