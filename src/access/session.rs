//! Signing in to the page: a code for a session, which is a token that ends soon and can be renewed
//! while it is used.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use tokio::time::{Instant, sleep_until};

use super::{
    Access, Caller, Denied, Means, NewToken, NoCode, Token, code, courier::AskedFrom,
    courier::Courier, tokens::later, users::is_address,
};
use crate::{
    catalog::CatalogError,
    mail::Mailer,
    upload::{
        By, Principal, Scope, Scopes, Timestamp, TokenId, TokenKind, TokenRecord,
        limits::{RENEWAL_STEP, SESSION_MAX, SESSION_TTL, SIGN_IN_TIME},
    },
};

/// How long a session lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTerms {
    /// After signing in, and after each renewal.
    pub ttl: Duration,
    /// After signing in, however often it is renewed.
    pub most: Duration,
}

impl Default for SessionTerms {
    fn default() -> Self {
        Self { ttl: SESSION_TTL, most: SESSION_MAX }
    }
}

impl Access {
    /// Sends codes with this mailer, to whoever wants to sign in; `site` is the address under which
    /// browsers know the service, or empty. Must be called inside a tokio runtime.
    #[must_use]
    pub fn with_mailer(self, mailer: Arc<dyn Mailer>, site: String) -> Self {
        let courier = Courier::new(self.catalog.clone(), self.clock.clone(), mailer, site);
        Self { courier: Some(courier), ..self }
    }

    /// Lets sessions last so long.
    #[must_use]
    pub fn with_sessions(self, sessions: SessionTerms) -> Self {
        Self { sessions, ..self }
    }

    /// Whether codes can be sent.
    #[must_use]
    pub fn sends_codes(&self) -> bool {
        self.courier.is_some()
    }

    /// Sends a code to this address, if it is a user's. Whether it is, nothing tells.
    pub async fn send_code(&self, email: &str, from: Option<AskedFrom>) -> Result<(), NoCode> {
        let courier = self.courier.as_ref().ok_or(NoCode::NotConfigured)?;
        if !is_address(email) {
            return Err(NoCode::Email);
        }
        courier.send(email, from).await
    }

    /// Brings what was begun to its end: see [`Self::with_mailer`].
    pub async fn stop(&self) {
        if let Some(courier) = &self.courier {
            courier.stop().await;
        }
    }

    /// A new session for whoever has this address and the code that was sent to it.
    ///
    /// Whatever is wrong with them, the answer is the same, and comes at the same beats: however
    /// long the catalog takes, and however many wait for it.
    pub async fn sign_in(
        &self,
        email: &str,
        code: &str,
        by: &By,
    ) -> Result<(Token, TokenRecord), Denied> {
        let session = in_step(self.use_code(email, code, by)).await;
        if matches!(session, Err(Denied::Code)) {
            self.throttle.penalty(by.address).await;
        }
        session
    }

    async fn use_code(
        &self,
        email: &str,
        digits: &str,
        by: &By,
    ) -> Result<(Token, TokenRecord), Denied> {
        let directory = self.directory();
        let tried = directory.try_code(email, self.clock.now()).await?;
        let fits = code::fits(tried.as_ref(), digits);
        let code = tried.filter(|_| fits).ok_or(Denied::Code)?;
        let (token, session) = self.draw_session(code.user.clone())?;
        // Of two who use it at once one does.
        if !directory.spend_code(&code, &session, by).await? {
            return Err(Denied::Code);
        }
        if let Some(courier) = &self.courier {
            courier.used(&code);
        }
        Ok((token, session))
    }

    fn draw_session(&self, user: Principal) -> Result<(Token, TokenRecord), CatalogError> {
        let scopes = Scopes::of(&[Scope::Upload, Scope::Read]);
        let lifetime = Some(self.sessions.ttl);
        let session = NewToken { user, label: String::new(), scopes, lifetime };
        let drawn = self.draw(session, TokenKind::Session);
        drawn.map_err(|error| CatalogError::Unavailable(error.into()))
    }

    /// How long it is until then.
    #[must_use]
    pub fn time_until(&self, then: Timestamp) -> Duration {
        Duration::try_from(then.duration_since(self.clock.now())).unwrap_or_default()
    }

    /// The session of this caller, if it is one that was shown.
    pub async fn session(&self, caller: &Caller) -> Result<Option<TokenId>, CatalogError> {
        let Means::Token(id) = caller.means else { return Ok(None) };
        let found = self.known_token(id).await?;
        Ok(found.filter(|(token, _)| token.kind == TokenKind::Session).map(|_| id))
    }

    /// Lets a session last longer, as far as that goes. Gives when it ends then; nothing if it is
    /// not there any more. What would gain next to nothing is not written: a page may renew as
    /// often as it likes.
    pub async fn renew(&self, id: TokenId) -> Result<Option<Timestamp>, CatalogError> {
        let Some((session, _)) = self.known_token(id).await? else { return Ok(None) };
        let SessionTerms { ttl, most } = self.sessions;
        let until = later(self.clock.now(), ttl).min(later(session.created_at, most));
        let ends = session.expires_at.unwrap_or(until);
        if until.duration_since(ends) < renewal_step(ttl) {
            return Ok(Some(ends));
        }
        let extended = self.directory().extend_token(id, until).await;
        self.remembered.forget_token(id);
        extended?;
        Ok(Some(until))
    }
}

/// Does it, and is done at a multiple of [`SIGN_IN_TIME`]: how long it took does not tell what was
/// done, even if that is long.
async fn in_step<T>(what: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = what.await;
    let steps = begun.elapsed().as_millis() / SIGN_IN_TIME.as_millis() + 1;
    let steps = u32::try_from(steps).unwrap_or(u32::MAX);
    sleep_until(begun + SIGN_IN_TIME.saturating_mul(steps)).await;
    done
}

/// What a renewal has to gain. A session that is shorter than twice the usual can be renewed, too.
fn renewal_step(ttl: Duration) -> SignedDuration {
    SignedDuration::try_from(RENEWAL_STEP.min(ttl / 2)).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_longer_is_answered_at_the_same_beat_as_what_does_not() {
        let took = async |queue_ms: u64, work_ms: u64| {
            let begun = Instant::now();
            let work = async {
                advance(Duration::from_millis(queue_ms)).await;
                advance(Duration::from_millis(work_ms)).await;
            };
            in_step(work).await;
            begun.elapsed()
        };
        for queue_ms in [0, 200, 260, 1010, 90_000] {
            let [hit, miss] = [took(queue_ms, 40).await, took(queue_ms, 0).await];
            let beats = u32::try_from(queue_ms / 250).expect("few") + 1;
            let expected = SIGN_IN_TIME * beats;
            assert_eq!((hit, miss), (expected, expected), "{queue_ms}");
        }
    }
}
