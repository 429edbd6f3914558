//! One call at a time, and what it leaves durable.

use std::sync::{PoisonError, atomic::Ordering};

use super::{MemoryCatalog, Written, facts::Facts};
use crate::catalog::CatalogError;

impl MemoryCatalog {
    /// Every call is one visit: a transaction, because nobody else is inside.
    pub(super) fn visit<T>(&self, call: impl FnOnce(&mut Facts) -> T) -> Result<T, CatalogError> {
        self.enter(|written| call(&mut written.now))
    }

    /// A visit after which everything is durable.
    pub(super) fn change<T>(&self, call: impl FnOnce(&mut Facts) -> T) -> Result<T, CatalogError> {
        self.enter(|written| {
            written.durable = None;
            call(&mut written.now)
        })
    }

    pub(super) fn enter<T>(&self, call: impl FnOnce(&mut Written) -> T) -> Result<T, CatalogError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(CatalogError::Unavailable("the catalog is closed".into()));
        }
        Ok(call(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
