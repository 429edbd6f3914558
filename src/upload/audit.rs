//! The audit trail: who did what to which upload or creative, and from where.

use std::{fmt, net::IpAddr};

use super::{Principal, Timestamp, TokenId, UploadId, limits::AUDIT_TEXT_LEN_MAX};

/// By whom something is done, when, and from where.
///
/// Not on whose behalf: whatever is changed belongs to somebody, and nobody but its owner, the
/// operator and the server itself can change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// When.
    pub at: Timestamp,
    /// What was shown to be let in.
    pub means: Means,
    /// From where, if it came over the network.
    pub address: Option<IpAddr>,
    /// The id of the request, as the log has it.
    pub request_id: Option<String>,
}

/// What lets somebody do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// Nothing: everybody may.
    Nothing,
    /// A token.
    Token(TokenId),
    /// A ticket, with the id that it says it has.
    Ticket(Option<String>),
    /// Something that the service behind `auth_url` knows.
    Forwarded,
    /// A code that was sent by e-mail.
    Code,
    /// The operator's tools.
    Operator,
    /// The server does it by itself.
    Server,
}

impl By {
    /// By the server itself.
    #[must_use]
    pub fn server(at: Timestamp) -> Self {
        Self { at, means: Means::Server, address: None, request_id: None }
    }

    /// One line of the trail.
    #[must_use]
    pub fn entry(
        &self,
        deed: Deed,
        principal: &Principal,
        subject: &(impl ToString + ?Sized),
    ) -> AuditEntry {
        AuditEntry {
            at: self.at,
            deed,
            principal: principal.as_str().to_owned(),
            subject: subject.to_string(),
            upload: None,
            detail: None,
            means: cut(&self.means),
            address: self.address.map(|address| address.to_string()),
            request_id: self.request_id.clone(),
        }
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Token(id) => write!(f, "token {id}"),
            Self::Ticket(None) => f.write_str("ticket"),
            Self::Ticket(Some(id)) => write!(f, "ticket {id}"),
            Self::Forwarded => f.write_str("auth_url"),
            Self::Code => f.write_str("code"),
            Self::Operator => f.write_str("operator"),
            Self::Server => f.write_str("server"),
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// An upload was begun, and its first range is here.
    UploadOpened,
    /// It became a creative.
    UploadCompleted,
    /// It became a creative, because its finished file was found: the catalog was older.
    UploadRecovered,
    /// It came to nothing: the file was refused.
    UploadFailed,
    /// It was given up.
    UploadCancelled,
    /// Nothing came for it for too long.
    UploadExpired,
    /// A creative got another day.
    CreativeRescheduled,
    /// A creative was deleted.
    CreativeDeleted,
    /// A creative was given to a user.
    CreativeGiven,
    /// A ticket was issued.
    TicketIssued,
    /// A token was made.
    TokenCreated,
    /// It was taken back.
    TokenRevoked,
    /// A user was added.
    UserAdded,
    /// No credential of a user counts any more.
    UserDisabled,
    /// They count again.
    UserEnabled,
    /// A user has another e-mail address, or none any more.
    UserEmailChanged,
    /// A user was forgotten.
    UserRemoved,
    /// A file was put into the trash.
    FileTrashed,
    /// It was brought back.
    FileRestored,
    /// It was removed for good.
    TrashEmptied,
}

impl Deed {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UploadOpened => "upload_opened",
            Self::UploadCompleted => "upload_completed",
            Self::UploadRecovered => "upload_recovered",
            Self::UploadFailed => "upload_failed",
            Self::UploadCancelled => "upload_cancelled",
            Self::UploadExpired => "upload_expired",
            Self::CreativeRescheduled => "creative_rescheduled",
            Self::CreativeDeleted => "creative_deleted",
            Self::CreativeGiven => "creative_given",
            Self::TicketIssued => "ticket_issued",
            Self::TokenCreated => "token_created",
            Self::TokenRevoked => "token_revoked",
            Self::UserAdded => "user_added",
            Self::UserDisabled => "user_disabled",
            Self::UserEnabled => "user_enabled",
            Self::UserEmailChanged => "user_email_changed",
            Self::UserRemoved => "user_removed",
            Self::FileTrashed => "file_trashed",
            Self::FileRestored => "file_restored",
            Self::TrashEmptied => "trash_emptied",
        }
    }

    /// The deed of this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|deed| deed.as_str() == word)
    }

    /// Every deed.
    pub const ALL: [Self; 20] = [
        Self::UploadOpened,
        Self::UploadCompleted,
        Self::UploadRecovered,
        Self::UploadFailed,
        Self::UploadCancelled,
        Self::UploadExpired,
        Self::CreativeRescheduled,
        Self::CreativeDeleted,
        Self::CreativeGiven,
        Self::TicketIssued,
        Self::TokenCreated,
        Self::TokenRevoked,
        Self::UserAdded,
        Self::UserDisabled,
        Self::UserEnabled,
        Self::UserEmailChanged,
        Self::UserRemoved,
        Self::FileTrashed,
        Self::FileRestored,
        Self::TrashEmptied,
    ];
}

/// One line of the trail. Texts, because it outlives what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// What was done.
    pub deed: Deed,
    /// Whose it is that it was done to.
    pub principal: String,
    /// What it was done to: an id, or a user's name.
    pub subject: String,
    /// The upload that it is about, also where the subject is its creative.
    pub upload: Option<UploadId>,
    /// What else there is to say. May be a client's words: hostile until escaped.
    pub detail: Option<String>,
    /// What was shown to be let in. A ticket's id is its signer's: hostile until escaped.
    pub means: String,
    /// From where.
    pub address: Option<String>,
    /// The request, as the log has it.
    pub request_id: Option<String>,
}

impl AuditEntry {
    /// With the upload that it is about.
    #[must_use]
    pub fn of_upload(self, upload: UploadId) -> Self {
        Self { upload: Some(upload), ..self }
    }

    /// With what else there is to say.
    #[must_use]
    pub fn saying(self, detail: &(impl ToString + ?Sized)) -> Self {
        Self { detail: Some(cut(detail)), ..self }
    }
}

/// A text as the trail keeps it: it is kept for long, and clients write it.
fn cut(text: &(impl ToString + ?Sized)) -> String {
    text.to_string().chars().take(AUDIT_TEXT_LEN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deed_has_a_word_of_its_own() {
        for deed in Deed::ALL {
            assert_eq!(Deed::from_word(deed.as_str()), Some(deed));
        }
        assert_eq!(Deed::from_word("done"), None);
    }
}
