//! Adding, disabling and removing users.

use std::sync::atomic::Ordering;

use super::Access;
use crate::{
    catalog::{CatalogError, EmailChange},
    upload::{AccessState, By, Principal, User, limits},
};

/// Why something could not be done with a user or a token.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Name or address belong to another user.
    #[error("another user has this name or this e-mail address")]
    Taken,
    /// There is no such user.
    #[error("there is no such user: `flowstitch user list` shows those there are")]
    Unknown,
    /// Not an address.
    #[error("not an e-mail address: write it as name@example.com")]
    Email,
    /// Too long a label.
    #[error("the label is too long: use at most {max} bytes", max = limits::TOKEN_LABEL_LEN_MAX)]
    Label,
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Access {
    /// Adds a user, to whom a code to sign in can be sent if an address is given.
    pub async fn add_user(
        &self,
        name: &Principal,
        email: Option<String>,
        by: &By,
    ) -> Result<User, UserError> {
        check(email.as_deref())?;
        let (name, created_at) = (name.clone(), self.clock.now());
        let user = User { name, email, created_at, disabled_at: None };
        if self.add(&user, by).await? { Ok(user) } else { Err(UserError::Taken) }
    }

    pub(super) async fn add(&self, user: &User, by: &By) -> Result<bool, CatalogError> {
        // First: in doubt the service is not for everybody any more.
        let had_users = self.has_users.swap(true, Ordering::SeqCst);
        let was_open = self.open.swap(false, Ordering::SeqCst);
        let added = self.directory().add_user(user, by).await;
        // A door that was closed before is not opened by what fails.
        if !had_users && matches!(self.directory().has_users().await, Ok(false)) {
            self.has_users.store(false, Ordering::SeqCst);
        }
        let stored = self.catalog.deployment().access();
        if was_open && matches!(stored.await, Ok(Some(AccessState::Open))) {
            self.open.store(true, Ordering::SeqCst);
        }
        added
    }

    /// The user of this name, whom the service knows from now on; nobody, if the user is removed at
    /// this moment.
    pub(super) async fn known_user(
        &self,
        name: &Principal,
        by: &By,
    ) -> Result<Option<User>, CatalogError> {
        let read = async {
            if let Some(user) = self.directory().user(name).await? {
                return Ok(Some(user));
            }
            let (new, created_at) = (name.clone(), self.clock.now());
            // Somebody else may have added it meanwhile: it is there either way.
            self.add(&User { name: new, email: None, created_at, disabled_at: None }, by).await?;
            self.directory().user(name).await
        };
        self.remembered.or_read(|it| &mut it.users, name, read).await
    }

    /// The user with this name.
    pub async fn user(&self, name: &Principal) -> Result<Option<User>, CatalogError> {
        self.directory().user(name).await
    }

    /// Up to a page of users, by name.
    pub async fn users(&self, after: Option<&Principal>) -> Result<Vec<User>, CatalogError> {
        self.directory().users(after, limits::PAGE_LEN_MAX).await
    }

    /// Disables a user, or enables one: while disabled, no credential of the user counts, and what
    /// is on its way does not complete. Returns false if there is no such user.
    pub async fn disable_user(
        &self,
        name: &Principal,
        disabled: bool,
        by: &By,
    ) -> Result<bool, CatalogError> {
        let at = disabled.then(|| self.clock.now());
        let changed = self.directory().disable_user(name, at, by).await;
        self.remembered.forget();
        changed
    }

    /// Gives a user this e-mail address, or none. A code that was sent to the former one counts no
    /// more, and one that is on its way there is given up.
    pub async fn set_email(
        &self,
        name: &Principal,
        email: Option<&str>,
        by: &By,
    ) -> Result<(), UserError> {
        check(email)?;
        let changed = self.directory().set_email(name, email, by).await;
        self.remembered.forget();
        match changed? {
            EmailChange::Taken => return Err(UserError::Taken),
            EmailChange::Unknown => return Err(UserError::Unknown),
            EmailChange::Done => {}
        }
        if let Some(courier) = &self.courier {
            courier.moved(name);
        }
        Ok(())
    }

    /// Forgets a user who has nothing any more, with all tokens. Returns false if the user is not
    /// known or still has something.
    pub async fn remove_user(&self, name: &Principal, by: &By) -> Result<bool, CatalogError> {
        let removed = self.directory().remove_user(name, by).await;
        self.remembered.forget();
        // Not `has_users`: that the last user goes lets nobody else in.
        removed
    }
}

/// An address, if there is one, must be one.
fn check(email: Option<&str>) -> Result<(), UserError> {
    if email.is_none_or(is_address) { Ok(()) } else { Err(UserError::Email) }
}

/// Whether a mail server could be asked to deliver to it; whether it does is seen when it is.
pub(super) fn is_address(text: &str) -> bool {
    let fits = text.len() <= limits::USER_NAME_LEN_MAX;
    let plain = text.is_ascii() && !text.contains(|c: char| c.is_ascii_control() || c == ' ');
    let parts = text.rsplit_once('@');
    fits && plain && parts.is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_name_and_a_host() {
        for good in ["ann@example.com", "a.b+c@mail.example.org"] {
            assert!(is_address(good), "{good}");
        }
        for bad in
            ["", "ann", "ann@", "@example.com", "ann@host", "a b@example.com", "ä@b.c", "a\n@b.c"]
        {
            assert!(!is_address(bad), "{bad:?}");
        }
    }
}
