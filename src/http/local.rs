//! What reaches a service that is open because nobody has decided who may use it.
//!
//! It is there for programs and pages of this machine. A page of another site can reach it all the
//! same: its name may be made to lead to this machine (DNS rebinding). So can strangers, through a
//! proxy that was set up and forgotten. Both are told by the request: by the host that it asks for,
//! and by what proxies add.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, StatusCode, Uri, header, uri::Authority};

use super::{problem::Problem, state::State};

/// What proxies add, beside everything that begins with [`X_FORWARDED`].
const OF_PROXIES: [HeaderName; 3] =
    [header::FORWARDED, header::VIA, HeaderName::from_static("x-real-ip")];
const X_FORWARDED: &str = "x-forwarded";

/// Errors: 421, if the service is open only because nobody has decided, and this request is not one
/// of this machine's own.
pub(super) fn check(state: &State, target: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if !state.access.is_undecided() || is_local(target, headers) {
        return Ok(());
    }
    let detail = "This service has no users yet, so it answers only programs and pages of its own \
                  machine, which ask for localhost or a loopback address and come through no \
                  proxy. Run `flowstitch token create NAME` to require credentials, or set \
                  allow_anonymous to let everybody in.";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "not_open", detail))
}

fn is_local(target: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok().and_then(|text| text.parse::<Authority>().ok()),
        // HTTP/2 names it in the target.
        (None, _) => target.authority().cloned(),
        (Some(_), Some(_)) => None,
    };
    host.is_some_and(|host| is_loopback(&host))
        && target.authority().is_none_or(is_loopback)
        && !came_through_a_proxy(headers)
}

fn is_loopback(host: &Authority) -> bool {
    let port_is_a_number = host.as_str().ends_with(host.host()) || host.port_u16().is_some();
    if host.as_str().contains('@') || !port_is_a_number {
        return false;
    }
    let name = host.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|it| it.to_canonical().is_loopback())
}

fn came_through_a_proxy(headers: &HeaderMap) -> bool {
    let says_so =
        |name: &HeaderName| OF_PROXIES.contains(name) || name.as_str().starts_with(X_FORWARDED);
    headers.keys().any(says_so)
}

#[cfg(test)]
mod tests {
    use http::Request;

    fn is_local(target: &str, lines: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().uri(target);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        super::is_local(request.uri(), request.headers())
    }

    #[test]
    fn only_the_names_and_addresses_of_this_machine_are_local() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.9.9.9:1", "[::1]:8080"] {
            assert!(is_local("/", &[("host", host)]), "{host}");
        }
        let foreign = [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost.",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "[::2]:80",
            "localhost@evil.example",
            "evil.example@localhost",
            "",
            "localhost:x",
            "2130706433",
            "0x7f.1",
        ];
        for host in foreign {
            assert!(!is_local("/", &[("host", host)]), "{host}");
        }
        assert!(!is_local("/", &[]));
        assert!(!is_local("/", &[("host", "localhost"), ("host", "localhost")]));
        assert!(is_local("http://localhost:8080/", &[]));
        assert!(!is_local("http://evil.example/", &[("host", "localhost")]));
        assert!(!is_local("http://evil.example/", &[]));
    }

    #[test]
    fn what_came_through_a_proxy_is_not_local() {
        for name in ["forwarded", "x-forwarded-for", "X-Forwarded-Anything", "via", "x-real-ip"] {
            assert!(!is_local("/", &[("host", "localhost"), (name, "x")]), "{name}");
        }
        assert!(is_local("/", &[("host", "localhost"), ("x-forward", "x")]));
    }
}
