//! The files with the keys of tickets. Read once, at the start.

use std::{error::Error, path::Path};

use super::StartError;
use crate::{
    access::{KeyError, TicketKeys},
    config::Config,
};

/// The keys that the settings name; nothing if they name none.
pub(super) fn keys(config: &Config) -> Result<Option<TicketKeys>, StartError> {
    let mut keys = None;
    if let Some(path) = &config.ticket_key {
        keys = Some(added(keys, "ticket_key", path, TicketKeys::with_secret)?);
    }
    if let Some(path) = &config.ticket_jwks {
        keys = Some(added(keys, "ticket_jwks", path, TicketKeys::with_set)?);
    }
    Ok(keys)
}

fn added(
    keys: Option<TicketKeys>,
    setting: &'static str,
    path: &Path,
    add: impl Fn(TicketKeys, &[u8]) -> Result<TicketKeys, KeyError>,
) -> Result<TicketKeys, StartError> {
    let refused = |source: Box<dyn Error + Send + Sync>| StartError::Keys {
        setting,
        path: path.display().to_string(),
        source,
    };
    let text = std::fs::read(path).map_err(|error| refused(error.into()))?;
    add(keys.unwrap_or_default(), &text).map_err(|error| refused(error.into()))
}
