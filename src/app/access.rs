//! Who may use the service, by the settings.

use std::sync::Arc;

use super::{
    Purpose, StartError, mail, openness,
    options::{anonymous, forward},
    tickets,
};
use crate::{
    access::{Access, Forward, SessionTerms},
    catalog::CatalogError,
    config::Config,
    engine::Parts,
    mail::Mailer,
    upload::AccessState,
};

/// Everything that knows callers. Codes to sign in go to `mailer`, or to that of the settings.
pub(super) async fn access(
    config: &Config,
    parts: &Parts,
    purpose: Purpose,
    mailer: Option<Arc<dyn Mailer>>,
) -> Result<Access, StartError> {
    let state = state(config, parts, purpose).await?;
    let keys = tickets::keys(config)?;
    let forward = forward(config).map(Forward::new).transpose()?;
    let mailer = mailer.map_or_else(|| mail::mailer(config), |mailer| Ok(Some(mailer)))?;
    let (catalog, clock) = (parts.catalog.clone(), parts.clock.clone());
    let access = Access::new(catalog, clock, anonymous(config), state).await;
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

/// Who may use the service, and stores it if it was not decided before. A tool decides nothing.
async fn state(
    config: &Config,
    parts: &Parts,
    purpose: Purpose,
) -> Result<AccessState, StartError> {
    let failed = |error: CatalogError| StartError::Recover(error.into());
    let (deployment, directory) = (parts.catalog.deployment(), parts.catalog.directory());
    let stored = deployment.access().await.map_err(failed)?;
    if purpose == Purpose::OneThing {
        return Ok(stored.unwrap_or(AccessState::Users));
    }
    let has_users = directory.has_users().await.map_err(failed)?;
    let decided = openness::decide(config, stored, has_users)?;
    if stored != Some(decided) {
        deployment.set_access(decided).await.map_err(failed)?;
    }
    openness::announce(config, decided, has_users);
    Ok(decided)
}
