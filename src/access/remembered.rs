//! What was looked up in the catalog, until anything changes.
//!
//! A credential comes with every chunk, and must not cost a question to the database each time.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::upload::{Principal, TokenId, TokenRecord, User, limits::CREDENTIALS_REMEMBERED_MAX};

/// What is known without asking.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Tables>);

/// What is remembered of what.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Tokens, and whose they are.
    pub(super) tokens: HashMap<TokenId, (TokenRecord, User)>,
    /// Users of whom others say that it is them.
    pub(super) users: HashMap<Principal, User>,
    /// Rises with every change: what was read before one is not remembered after it.
    changes: u64,
}

impl Remembered {
    /// What is remembered of this in a table, or else what `read` finds.
    ///
    /// Cancel safety: may be dropped; nothing is remembered then.
    pub(super) async fn or_read<K: Eq + Hash + Clone, V: Clone, E>(
        &self,
        table: fn(&mut Tables) -> &mut HashMap<K, V>,
        key: &K,
        read: impl Future<Output = Result<Option<V>, E>>,
    ) -> Result<Option<V>, E> {
        let changes = {
            let mut tables = self.tables();
            if let Some(known) = table(&mut tables).get(key) {
                return Ok(Some(known.clone()));
            }
            tables.changes
        };
        let found = read.await?;
        let mut tables = self.tables();
        if let Some(found) = found.as_ref().filter(|_| tables.changes == changes) {
            let table = table(&mut tables);
            if CREDENTIALS_REMEMBERED_MAX <= table.len() {
                table.clear();
            }
            table.insert(key.clone(), found.clone());
        }
        Ok(found)
    }

    /// Changes what is remembered.
    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called after every change, also after one that failed and may have taken effect.
    pub(super) fn forget(&self) {
        let mut tables = self.tables();
        tables.tokens.clear();
        tables.users.clear();
        tables.changes += 1;
    }

    /// As [`Self::forget`], after a change of nothing but this token.
    pub(super) fn forget_token(&self, id: TokenId) {
        let mut tables = self.tables();
        tables.tokens.remove(&id);
        tables.changes += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::upload::Timestamp;

    fn ann() -> User {
        let name = "ann".parse().expect("a name");
        User { name, email: None, created_at: Timestamp::UNIX_EPOCH, disabled_at: None }
    }

    async fn read(remembered: &Remembered, found: Option<User>) -> Option<User> {
        let read = async { Ok::<_, Infallible>(found) };
        let known = remembered.or_read(|it| &mut it.users, &ann().name, read).await;
        known.expect("it cannot fail")
    }

    #[tokio::test]
    async fn what_was_found_is_known_until_something_changes() {
        let remembered = Remembered::default();
        assert_eq!(read(&remembered, None).await, None);
        assert_eq!(read(&remembered, Some(ann())).await, Some(ann()));
        assert_eq!(read(&remembered, None).await, Some(ann()));
        remembered.forget();
        assert_eq!(read(&remembered, None).await, None);
    }

    #[tokio::test]
    async fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let remembered = Remembered::default();
        let outdated = async {
            remembered.forget();
            Ok::<_, Infallible>(Some(ann()))
        };
        let found = remembered.or_read(|it| &mut it.users, &ann().name, outdated).await;
        assert_eq!(found, Ok(Some(ann())));
        assert_eq!(read(&remembered, None).await, None);
    }
    #[tokio::test]
    async fn what_changed_one_token_leaves_the_others_and_outdates_what_is_being_read() {
        let remembered = Remembered::default();
        read(&remembered, Some(ann())).await;
        remembered.forget_token(TokenId::new());
        assert_eq!(read(&remembered, None).await, Some(ann()));
        remembered.forget();
        let outdated = async {
            remembered.forget_token(TokenId::new());
            Ok::<_, Infallible>(Some(ann()))
        };
        let found = remembered.or_read(|it| &mut it.users, &ann().name, outdated).await;
        assert_eq!(found, Ok(Some(ann())));
        assert_eq!(read(&remembered, None).await, None);
    }
}
