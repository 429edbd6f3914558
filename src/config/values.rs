//! Settings that are more than a word or a number, each checked where it is read.

use std::{fmt, net::SocketAddr, str::FromStr};

use http::{HeaderName, Uri, header::InvalidHeaderName};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracing_subscriber::EnvFilter;

use super::units::{ByteSize, TimeSpan, serde_as_text};
use crate::{
    http::{
        origin::{AllowedOrigin, PublicUrl},
        proxies::TrustedProxy,
    },
    mail::Sender,
    upload::{InvalidPattern, Pattern, Reserve, Scope, Scopes, Share, UnknownScope},
};

serde_as_text!(
    Zone,
    LogFilter,
    AllowedOrigin,
    PublicUrl,
    Sender,
    FreeRoom,
    ReservedShare,
    AcceptedKind,
    AuthUrl,
    AdminAddress,
    FieldName,
    ScopeList,
    TrustedProxy,
    AtMost<u64>,
    AtMost<ByteSize>,
    AtMost<TimeSpan>
);

/// Whether an upload must say for which day it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// An upload that gives no date is scheduled for the day on which it completes.
    #[default]
    Optional,
    /// An upload that gives no date is refused.
    Required,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// A kind of file that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedKind(pub Pattern);

impl FromStr for AcceptedKind {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        text.parse().map(Self)
    }
}

impl fmt::Display for AcceptedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who is asked whom a request comes from, if anybody is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthUrl(pub Option<Uri>);

/// A text that is no address to ask at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write http:// or https://, a host, and a path if there is one; no name or password")]
pub struct InvalidAuthUrl;

impl FromStr for AuthUrl {
    type Err = InvalidAuthUrl;

    fn from_str(text: &str) -> Result<Self, InvalidAuthUrl> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let url: Uri = text.parse().map_err(|_| InvalidAuthUrl)?;
        let is_web = matches!(url.scheme_str(), Some("http" | "https"));
        let is_plain = url.authority().is_some_and(|it| !it.as_str().contains('@'));
        if is_web && is_plain { Ok(Self(Some(url))) } else { Err(InvalidAuthUrl) }
    }
}

impl fmt::Display for AuthUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |url| url.fmt(f))
    }
}

/// The operator's own address, if there is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AdminAddress(pub Option<SocketAddr>);

impl FromStr for AdminAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        address(text).map(|address| Self(Some(address)))
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| address.fmt(f))
    }
}

/// The name of a header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldName(pub HeaderName);

impl Default for FieldName {
    fn default() -> Self {
        Self(HeaderName::from_static("remote-user"))
    }
}

impl FromStr for FieldName {
    type Err = InvalidHeaderName;

    fn from_str(text: &str) -> Result<Self, InvalidHeaderName> {
        text.parse().map(Self)
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScopeList(pub Scopes);

impl Default for ScopeList {
    fn default() -> Self {
        Self(Scopes::of(&[Scope::Upload, Scope::Read]))
    }
}

impl FromStr for ScopeList {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        text.parse().map(Self)
    }
}

impl fmt::Display for ScopeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How much room uploads leave alone: a size, or `auto`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FreeRoom(pub Reserve);

/// A text that is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write auto, or a size like 512 MiB; 0 lets uploads fill the disk")]
pub struct InvalidFreeRoom;

impl FromStr for FreeRoom {
    type Err = InvalidFreeRoom;

    fn from_str(text: &str) -> Result<Self, InvalidFreeRoom> {
        if text.trim() == "auto" {
            return Ok(Self(Reserve::Auto));
        }
        let ByteSize(bytes) = text.parse().map_err(|_| InvalidFreeRoom)?;
        Ok(Self(Reserve::Bytes(bytes)))
    }
}

impl fmt::Display for FreeRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Reserve::Auto => f.write_str("auto"),
            Reserve::Bytes(bytes) => ByteSize(bytes).fmt(f),
        }
    }
}

/// How much of the free disk the uploads of one user may reserve: a percentage, `none` or `auto`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReservedShare(pub Share);

/// A text that is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write auto, none, or a percentage from 1 % to 100 %")]
pub struct InvalidShare;

impl FromStr for ReservedShare {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, InvalidShare> {
        match text.trim() {
            "auto" => Ok(Self(Share::Auto)),
            "none" => Ok(Self(Share::Whole)),
            text => {
                let number = text.strip_suffix('%').ok_or(InvalidShare)?.trim_end();
                let percent = number.parse().map_err(|_| InvalidShare)?;
                let is_part = (1..=100).contains(&percent);
                is_part.then_some(Self(Share::Percent(percent))).ok_or(InvalidShare)
            }
        }
    }
}

impl fmt::Display for ReservedShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Share::Auto => f.write_str("auto"),
            Share::Whole => f.write_str("none"),
            Share::Percent(percent) => write!(f, "{percent} %"),
        }
    }
}

/// A bound that need not be: a value, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtMost<T>(pub Option<T>);

/// A text that is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write none, or a number; of bytes, a size like 512 MiB; of time, a span like 365 days")]
pub struct InvalidBound;

impl<T: FromStr> FromStr for AtMost<T> {
    type Err = InvalidBound;

    fn from_str(text: &str) -> Result<Self, InvalidBound> {
        if text.trim() == "none" {
            return Ok(Self(None));
        }
        text.trim().parse().map(|value| Self(Some(value))).map_err(|_| InvalidBound)
    }
}

impl<T: fmt::Display> fmt::Display for AtMost<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// A time zone that has an IANA name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(pub TimeZone);

/// A name that is no time zone's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no time zone is called {0:?}: use an IANA name, such as UTC or Europe/Berlin")]
pub struct UnknownZone(String);

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        TimeZone::get(name).map(Self).map_err(|_| UnknownZone(name.to_owned()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

/// Directives that say which log lines are written, such as `info,flowstitch=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

/// A text that is not made of log directives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a log filter: {0}; use a level, or target=level, such as info,flowstitch=debug")]
pub struct InvalidFilter(String);

impl LogFilter {
    /// The filter, ready for use.
    #[must_use]
    pub fn to_env_filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".into())
    }
}

impl FromStr for LogFilter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, InvalidFilter> {
        let read = EnvFilter::try_new(text).map_err(|error| InvalidFilter(error.to_string()));
        read.map(|_| Self(text.to_owned()))
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As the standard library reads it, but for the words when it cannot.
pub(super) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(
        |_| "write an address, not a name, and a port, such as 127.0.0.1:8080 or [::1]:8080",
    )
}

pub(super) fn read_address<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<Option<SocketAddr>, D::Error> {
    address(&String::deserialize(source)?).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_or_a_word() {
        for (text, share) in [
            ("auto", Some(Share::Auto)),
            ("none", Some(Share::Whole)),
            ("25 %", Some(Share::Percent(25))),
            (" 100% ", Some(Share::Percent(100))),
            ("0 %", None),
            ("101 %", None),
            ("25", None),
            ("a quarter", None),
        ] {
            let read = text.parse::<ReservedShare>().ok();
            assert_eq!(read, share.map(ReservedShare), "{text}");
            let written = read.map(|read| read.to_string().parse().ok());
            assert_eq!(written, read.map(Some), "{text}");
        }
    }

    #[test]
    fn zones_and_filters_are_checked_when_read() {
        assert_eq!(
            "europe/berlin".parse::<Zone>().map(|z| z.to_string()),
            Ok("Europe/Berlin".into())
        );
        assert!("Middle/Earth".parse::<Zone>().is_err());
        assert!("info,flowstitch=debug".parse::<LogFilter>().is_ok());
        assert!("flowstitch=loud".parse::<LogFilter>().is_err());
    }
}
