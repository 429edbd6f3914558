//! Whether the service is open to everybody: decided once, stored, and closed for good by the first
//! user.

use super::StartError;
use crate::{config::Config, upload::AccessState};

/// Who may use the service from this start on.
///
/// Only a service that has never had a user, that nobody but this machine can reach, and that no
/// proxy stands in front of, is open. `stored` is what was decided before.
pub(super) fn decide(
    config: &Config,
    stored: Option<AccessState>,
    has_users: bool,
) -> Result<AccessState, StartError> {
    let has_credentials = has_users || credentials(config);
    let mut addresses = [Some(config.listen), config.admin_listen].into_iter().flatten();
    let foreign = addresses.find(|address| !address.ip().is_loopback());
    let decided = match stored {
        _ if has_credentials => AccessState::Users,
        Some(state) if config.allow_anonymous => state,
        None if config.allow_anonymous || beyond(config).is_some() => AccessState::Users,
        Some(AccessState::Users) => AccessState::Users,
        Some(AccessState::Open) | None => AccessState::Open,
    };
    if config.allow_anonymous || has_credentials {
        return Ok(decided);
    }
    if let Some(address) = foreign {
        return Err(StartError::Unprotected { address });
    }
    match (decided, beyond(config)) {
        (AccessState::Open, Some(setting)) => Err(StartError::OpenBehind { setting }),
        _ => Ok(decided),
    }
}

/// Whether the settings name somebody who knows callers.
fn credentials(config: &Config) -> bool {
    config.ticket_key.is_some() || config.ticket_jwks.is_some() || config.auth_url.0.is_some()
}

/// A setting that only makes sense if others than this machine reach the service.
fn beyond(config: &Config) -> Option<&'static str> {
    let set = [
        ("trusted_proxies", !config.trusted_proxies.is_empty()),
        ("public_url", !config.public_url.to_string().is_empty()),
        ("smtp_host", !config.mail.host.is_empty()),
    ];
    set.into_iter().find(|(_, is_set)| *is_set).map(|(setting, _)| setting)
}

/// Says in the log what holds.
pub(super) fn announce(config: &Config, decided: AccessState, has_users: bool) {
    if config.allow_anonymous {
        return;
    }
    match decided {
        AccessState::Open => tracing::warn!(
            "Open access: everybody on this machine may use the service, because it has never had \
             a user. `flowstitch token create NAME` ends that for good"
        ),
        AccessState::Users if !has_users && !credentials(config) => tracing::warn!(
            "Nobody can use the service: it requires credentials and has no users. Add one with \
             `flowstitch token create NAME` or `flowstitch user add NAME --email ADDRESS`"
        ),
        AccessState::Users => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Cli};

    fn decided(flags: &[&str], stored: Option<AccessState>, has_users: bool) -> String {
        let cli = Cli::read(["flowstitch"].iter().chain(flags)).expect("a command line");
        let config = config::load(&cli, [], Path::new("no such file")).expect("settings");
        match decide(&config, stored, has_users) {
            Ok(state) => state.as_str().into(),
            Err(StartError::Unprotected { .. }) => "unprotected".into(),
            Err(StartError::OpenBehind { setting }) => setting.into(),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_service_is_open_only_if_it_was_decided_so() {
        let (open, users) = (Some(AccessState::Open), Some(AccessState::Users));
        let abroad = "--listen=0.0.0.0:80";
        for (flags, stored, has_users, expected) in [
            (&[][..], None, false, "open"),
            (&[], open, false, "open"),
            (&[], users, false, "users"),
            (&[], open, true, "users"),
            (&[abroad], None, false, "unprotected"),
            (&[abroad], open, false, "unprotected"),
            (&["--admin-listen=0.0.0.0:81"], open, false, "unprotected"),
            (&["--admin-listen=0.0.0.0:81"], users, true, "users"),
            (&["--admin-listen=127.0.0.1:81"], open, false, "open"),
            (&[abroad], users, false, "unprotected"),
            (&[abroad], users, true, "users"),
            (&[abroad, "--allow-anonymous"], None, false, "users"),
            (&["--allow-anonymous"], open, false, "open"),
            (&["--ticket-key=k"], open, false, "users"),
            (&[abroad, "--auth-url=http://127.0.0.1:1/"], None, false, "users"),
            (&["--trusted-proxies=10.0.0.0/8"], None, false, "users"),
            (&["--trusted-proxies=10.0.0.0/8"], open, false, "trusted_proxies"),
            (&["--public-url=https://a.example"], open, false, "public_url"),
            (&["--smtp-host=a", "--smtp-from=a@b.example"], open, false, "smtp_host"),
            (&["--public-url=https://a.example", "--allow-anonymous"], open, false, "open"),
        ] {
            assert_eq!(decided(flags, stored, has_users), expected, "{flags:?} {stored:?}");
        }
    }
}
