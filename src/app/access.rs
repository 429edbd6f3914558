//! Who may use the service, by the settings.

use std::sync::Arc;

use super::{
    StartError, mail,
    options::{anonymous, forward},
    tickets,
};
use crate::{
    access::{Access, Forward, SessionTerms},
    config::Config,
    engine::Parts,
    mail::Mailer,
};

/// Everything that knows callers. Codes to sign in go to `mailer`, or to that of the settings.
pub(super) async fn access(
    config: &Config,
    parts: &Parts,
    mailer: Option<Arc<dyn Mailer>>,
) -> Result<Access, StartError> {
    let keys = tickets::keys(config)?;
    let forward = forward(config).map(Forward::new).transpose()?;
    let mailer = mailer.map_or_else(|| mail::mailer(config), |mailer| Ok(Some(mailer)))?;
    let (catalog, clock) = (parts.catalog.clone(), parts.clock.clone());
    let access = Access::new(catalog, clock, anonymous(config)).await;
    let mut access = access.map_err(|error| StartError::Recover(error.into()))?;
    if let Some(keys) = keys {
        access = access.with_tickets(keys);
    }
    if let Some(forward) = forward {
        access = access.with_forward(forward);
    }
    if let Some(mailer) = mailer {
        access = access.with_mailer(mailer, config.public_url.to_string());
    }
    let sessions = SessionTerms { ttl: config.session_ttl, most: config.session_max };
    Ok(access.with_sessions(sessions))
}
