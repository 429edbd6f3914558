//! Whose address counts where proxies stand before the service.
//!
//! A proxy appends the address that it was asked from to `X-Forwarded-For`. Whoever asks may have
//! written there before, so the list is read from its end, and only as far as each name in it was
//! written by a proxy of ours. `Forwarded` is not read: a proxy sees to one of the two, and the
//! other would be the client's to write.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use super::incoming::text;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of a proxy that is believed, or of all of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxy(IpNet);

/// A text that is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write the address of a proxy, or a network, such as 10.0.0.7, 10.0.0.0/8 or fd00::/8")]
pub struct InvalidProxy;

impl FromStr for TrustedProxy {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        // Other bits than those that count are a slip.
        net.ok().filter(|net| net.trunc() == *net).map(Self).ok_or(InvalidProxy)
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            return self.0.addr().fmt(f);
        }
        self.0.fmt(f)
    }
}

/// The proxies that are believed.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// These.
    #[must_use]
    pub fn new(proxies: &[TrustedProxy]) -> Self {
        Self(proxies.iter().map(|proxy| proxy.0).collect())
    }

    /// Whether this is one of them.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }

    /// Who asks: whoever the connection is from, or behind a proxy the last in the list that is
    /// none. What cannot be read ends the list.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        let list = text(headers, &X_FORWARDED_FOR).unwrap_or_default();
        for item in list.rsplit(',') {
            let Some(address) = address(item.trim()) else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

/// The addresses in the list of a request that can be read, whoever wrote them.
pub(super) fn forwarded_for(headers: &HeaderMap) -> impl Iterator<Item = IpAddr> {
    let lists = headers.get_all(&X_FORWARDED_FOR).iter().filter_map(|it| it.to_str().ok());
    lists.flat_map(|list| list.split(',')).filter_map(|item| address(item.trim()))
}

/// An address; some proxies write the port, too.
fn address(text: &str) -> Option<IpAddr> {
    let alone = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let address = alone.or_else(|_| text.parse::<SocketAddr>().map(|it| it.ip())).ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, lines: &[&str]) -> String {
        let proxies: Vec<_> = trusted.iter().map(|it| it.parse().expect("a proxy")).collect();
        let line = |line: &&str| (X_FORWARDED_FOR, line.parse().expect("a value"));
        let headers = lines.iter().map(line).collect();
        Proxies::new(&proxies).client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn who_is_no_proxy_is_the_client_whatever_he_writes() {
        assert_eq!(client(&[], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.2"], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
    }

    #[test]
    fn behind_proxies_the_last_that_is_none_is_the_client() {
        let trusted = ["10.0.0.0/8", "::1"];
        for (lines, expected) in [
            (&["1.2.3.4"][..], "1.2.3.4"),
            (&["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            (&["6.6.6.6, 1.2.3.4, 10.1.1.1"], "1.2.3.4"),
            (&["6.6.6.6", "1.2.3.4 ,10.1.1.1"], "1.2.3.4"),
            (&["1.2.3.4:5678"], "1.2.3.4"),
            (&["[2001:db8::1]:5678"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["::ffff:1.2.3.4"], "1.2.3.4"),
            (&["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
        ] {
            assert_eq!(client(&trusted, "10.0.0.1", lines), expected, "{lines:?}");
            assert_eq!(client(&trusted, "::ffff:10.0.0.1", lines), expected, "{lines:?}");
            assert_eq!(client(&trusted, "::1", lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_nobody_and_the_proxy_before_it_counts() {
        for lines in [&[][..], &[""], &["unknown"], &["1.2.3.4, "], &["1.2.3.4, _hidden"]] {
            assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", lines), "10.0.0.1", "{lines:?}");
        }
        let lines = ["1.2.3.4, 1.2.3, 10.0.0.9"];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &lines), "10.0.0.9");
    }

    #[test]
    fn proxies_are_written_as_addresses_and_networks() {
        for text in ["10.0.0.7", "10.0.0.0/8", "fd00::/8", "::1", "0.0.0.0/0"] {
            let proxy = text.parse::<TrustedProxy>().expect(text);
            assert_eq!(proxy.to_string(), text);
        }
        for bad in ["", "proxy.local", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.7:80"] {
            assert_eq!(bad.parse::<TrustedProxy>(), Err(InvalidProxy), "{bad:?}");
        }
    }
}
