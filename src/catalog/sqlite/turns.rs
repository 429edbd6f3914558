//! Turns: what is asked for on behalf of one principal is done one after the other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::Semaphore;

use crate::upload::{Principal, limits};

/// The turn of each principal for whom somebody waits.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<Principal, Weak<Semaphore>>>);

impl Turns {
    /// The turn of this principal: a semaphore with one permit.
    pub(super) fn of(&self, principal: &Principal) -> Arc<Semaphore> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(principal).and_then(Weak::upgrade) {
            return turn;
        }
        if limits::CATALOG_TURNS_LEN <= turns.len() {
            turns.retain(|_, turn| 0 < turn.strong_count());
        }
        let turn = Arc::new(Semaphore::new(1));
        turns.insert(principal.clone(), Arc::downgrade(&turn));
        turn
    }
}
