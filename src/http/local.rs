//! What reaches a service that is open because nobody has decided who may use it.
//!
//! It is there for programs and pages of this machine. A page of another site can reach it all the
//! same: its name may be made to lead to this machine (DNS rebinding). So can strangers, through a
//! proxy that was set up and forgotten. The request shows both: by the host that it asks for, and
//! by what proxies add. nginx, as it comes, adds nothing and names this machine as the host, but it
//! speaks HTTP/1.0. A proxy that does none of this passes on pages of another host that take this
//! service for their own.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, StatusCode, Version, header, request, uri::Authority};

use super::{body::Request, problem::Problem, state::State};

/// What proxies add, beside everything that begins with [`X_FORWARDED`].
const OF_PROXIES: [HeaderName; 7] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("cdn-loop"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("x-cluster-client-ip"),
    HeaderName::from_static("x-real-ip"),
];
const X_FORWARDED: &str = "x-forwarded";

/// Errors: 421, if the service is open only because nobody has decided, and this request is not one
/// of this machine's own.
pub(super) fn admit(state: &State, request: Request) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    if !state.access.is_undecided() || is_local(&parts) {
        return Ok(Request::from_parts(parts, body));
    }
    let detail = "This service has no users yet, so it answers only programs and pages of its own \
                  machine, which ask for localhost or a loopback address by HTTP/1.1 and through \
                  no proxy. Run `flowstitch token create NAME` to require credentials, or set \
                  allow_anonymous to let everybody in.";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "not_open", detail))
}

fn is_local(request: &request::Parts) -> bool {
    let (target, headers) = (&request.uri, &request.headers);
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok().and_then(|text| text.parse::<Authority>().ok()),
        // HTTP/2 names it in the target.
        (None, _) => target.authority().cloned(),
        (Some(_), Some(_)) => None,
    };
    host.is_some_and(|host| is_loopback(&host))
        && target.authority().is_none_or(is_loopback)
        && !is_by_a_proxy(request)
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

fn is_by_a_proxy(request: &request::Parts) -> bool {
    let says_so =
        |name: &HeaderName| OF_PROXIES.contains(name) || name.as_str().starts_with(X_FORWARDED);
    request.version < Version::HTTP_11
        || request.headers.keys().any(says_so)
        || is_of_a_page_elsewhere(&request.headers)
}

/// Whether a browser says that the page is of the origin that it asks, and that this is not on this
/// machine: somebody in between has named another host.
fn is_of_a_page_elsewhere(headers: &HeaderMap) -> bool {
    let is_same = headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin");
    let origins = [header::ORIGIN, header::REFERER].into_iter().flat_map(|it| headers.get_all(it));
    let hosts = origins.filter_map(|it| it.to_str().ok()?.parse::<http::Uri>().ok());
    is_same && hosts.filter_map(|it| it.authority().cloned()).any(|host| !is_loopback(&host))
}

#[cfg(test)]
mod tests {
    use http::{Request, Version};

    fn is_local(target: &str, lines: &[(&str, &str)]) -> bool {
        is_local_in(Version::HTTP_11, target, lines)
    }

    fn is_local_in(version: Version, target: &str, lines: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().uri(target).version(version);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        super::is_local(&request.into_parts().0)
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
    fn a_proxy_that_names_this_machine_and_adds_nothing_is_told_from_a_program_of_it() {
        let host = ("host", "127.0.0.1:8080");
        assert!(!is_local_in(Version::HTTP_10, "/", &[host, ("connection", "close")]));
        assert!(is_local_in(Version::HTTP_11, "/", &[host, ("connection", "close")]));
        let same = ("sec-fetch-site", "same-origin");
        for name in ["origin", "referer"] {
            assert!(!is_local("/", &[host, same, (name, "https://ads.example/")]));
            assert!(is_local("/", &[host, same, (name, "http://127.0.0.1:8080/")]));
            // A page of another site that may ask this one: see `http::cors`.
            let other = ("sec-fetch-site", "cross-site");
            assert!(is_local("/", &[host, other, (name, "https://ads.example/")]));
        }
    }

    #[test]
    fn what_came_through_a_proxy_is_not_local() {
        for name in ["forwarded", "x-forwarded-for", "X-Forwarded-Anything", "via", "x-real-ip"] {
            assert!(!is_local("/", &[("host", "localhost"), (name, "x")]), "{name}");
        }
        assert!(is_local("/", &[("host", "localhost"), ("x-forward", "x")]));
    }
}
