//! The files with the keys of tickets. Read once, at the start.

use std::{error::Error, io, path::Path};

use super::{StartError, secret};
use crate::{
    access::{KeyError, TicketKeys},
    config::Config,
};

/// The keys that the settings name; nothing if they name none.
pub(super) fn keys(config: &Config) -> Result<Option<TicketKeys>, StartError> {
    let mut keys = None;
    if let Some(path) = &config.ticket_key {
        let read = secret::read;
        keys = Some(added(keys, ("ticket_key", path), read, TicketKeys::with_secret)?);
    }
    if let Some(path) = &config.ticket_jwks {
        // Public keys: everybody may read them.
        let read = |path: &Path| std::fs::read(path);
        keys = Some(added(keys, ("ticket_jwks", path), read, TicketKeys::with_set)?);
    }
    Ok(keys)
}

fn added(
    keys: Option<TicketKeys>,
    (setting, path): (&'static str, &Path),
    read: impl Fn(&Path) -> io::Result<Vec<u8>>,
    add: impl Fn(TicketKeys, &[u8]) -> Result<TicketKeys, KeyError>,
) -> Result<TicketKeys, StartError> {
    let refused = |source: Box<dyn Error + Send + Sync>| StartError::Keys {
        setting,
        path: path.display().to_string(),
        source,
    };
    let text = read(path).map_err(|error| refused(error.into()))?;
    add(keys.unwrap_or_default(), &text).map_err(|error| refused(error.into()))
}
