//! Our values as columns: how each is written, and that what is read is one of them.
//!
//! A value that is out of its domain never becomes one of ours: reading it is an error.

use rusqlite::{
    Row, ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Type, ValueRef},
};

use crate::upload::{
    Accept, AccessState, AuditEntry, Blake3Digest, ByteRange, Checksum, Creative, CreativeId, Day,
    Deed, EndReason, FileDigest, FileName, Identity, IdentityKey, Plan, Principal, Scopes,
    Sha256Digest, StoredRange, TicketKey, Timestamp, TokenId, TokenKind, TokenRecord, Trouble,
    UploadId, UploadRecord, UploadState, User, Visitor,
};

/// Implements a column as what `$write` makes of the value, read back by `$read`.
macro_rules! column {
    ($type:ty, $stored:ty, |$value:ident| $write:expr, |$raw:ident| $read:expr) => {
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                let $value = self;
                Ok(ToSqlOutput::from($write))
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let $raw = <$stored>::column_result(value)?;
                $read
            }
        }
    };
}

column!(UploadId, [u8; 16], |id| id.as_bytes().as_slice(), |raw| Ok(Self::from_bytes(raw)));
column!(CreativeId, [u8; 16], |id| id.as_bytes().as_slice(), |raw| Ok(Self::from_bytes(raw)));
column!(TokenId, [u8; 16], |id| id.as_bytes().as_slice(), |raw| Ok(Self::from_bytes(raw)));
column!(Visitor, [u8; 32], |visitor| visitor.as_bytes().as_slice(), |raw| {
    Ok(Self::from_bytes(raw))
});
column!(TicketKey, [u8; 32], |key| key.0.as_slice(), |raw| Ok(Self(raw)));
column!(Scopes, String, |it| it.to_string(), |raw| raw.parse().map_err(FromSqlError::other));
column!(TokenKind, String, |kind| kind.as_str(), |raw| {
    Self::from_word(&raw).ok_or(FromSqlError::InvalidType)
});
column!(Sha256Digest, [u8; 32], |digest| digest.0.as_slice(), |raw| Ok(Self(raw)));
column!(Blake3Digest, [u8; 32], |digest| digest.0.as_slice(), |raw| Ok(Self(raw)));
column!(Checksum, u32, |checksum| checksum.0, |raw| Ok(Self(raw)));
column!(Principal, String, |principal| principal.as_str(), |raw| Ok(Self::named(raw)));
column!(EndReason, String, |reason| reason.0.as_str(), |raw| Ok(Self(raw)));
column!(FileName, String, |name| name.as_str(), |raw| Self::new(raw).map_err(FromSqlError::other));
column!(Accept, String, |it| it.to_string(), |raw| raw.parse().map_err(FromSqlError::other));
column!(Day, String, |day| day.to_string(), |raw| raw.parse().map_err(FromSqlError::other));
column!(UploadState, String, |state| state.as_str(), |raw| {
    Self::from_word(&raw).ok_or(FromSqlError::InvalidType)
});
column!(AccessState, String, |state| state.as_str(), |raw| {
    Self::from_word(&raw).ok_or(FromSqlError::InvalidType)
});
column!(Deed, String, |deed| deed.as_str(), |raw| {
    Self::from_word(&raw).ok_or(FromSqlError::InvalidType)
});
column!(Millis, i64, |millis| millis.0.as_millisecond(), |raw| {
    Timestamp::from_millisecond(raw).map(Self).map_err(FromSqlError::other)
});

/// A time, kept to the millisecond.
pub(super) struct Millis(pub(super) Timestamp);

impl ToSql for IdentityKey {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_bytes().as_slice()))
    }
}

/// A number that a column may be compared with: one that is too large for any equals none.
pub(super) fn comparable(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The columns of an [`UploadRecord`], as a term of a statement.
macro_rules! upload_columns {
    () => {
        concat!(
            "uploads.*, uploads.ended_at IS NULL AND uploads.session < ",
            $crate::catalog::sqlite::session::believed_from!(),
            " AS suspect"
        )
    };
}

pub(super) use upload_columns;

/// A row of `uploads`, with [`upload_columns`].
pub(super) fn upload(row: &Row<'_>) -> rusqlite::Result<UploadRecord> {
    Ok(UploadRecord {
        id: row.get("id")?,
        identity: identity(row)?,
        filename: row.get("filename")?,
        scheduled: row.get("scheduled")?,
        declared_sha256: row.get("declared_sha256")?,
        accept: row.get("accept")?,
        creative_id: row.get("creative_id")?,
        state: row.get("state")?,
        reason: row.get("reason")?,
        trouble: trouble(row)?,
        suspect: row.get("suspect")?,
        released: row.get("released")?,
        created_at: time(row, "created_at")?,
        touched_at: time(row, "touched_at")?,
        ended_at: time_or_none(row, "ended_at")?,
    })
}

fn trouble(row: &Row<'_>) -> rusqlite::Result<Option<Trouble>> {
    let attempts = row.get("attempts")?;
    let reason: Option<String> = row.get("trouble")?;
    Ok(reason.map(|reason| Trouble { attempts, reason }))
}

fn identity(row: &Row<'_>) -> rusqlite::Result<Identity> {
    let plan = Plan::new(row.get("total")?, row.get("stride")?, row.get("pieces")?);
    let plan = plan.map_err(|error| invalid(row, "stride", error))?;
    let (identifier, path): (String, String) = (row.get("identifier")?, row.get("relative_path")?);
    let visitor = row.get("visitor")?;
    Identity::new(row.get("principal")?, identifier, path, plan)
        .map(|identity| identity.of_visitor(visitor))
        .map_err(|error| invalid(row, "identifier", error))
}

/// A row of `ranges`. By position: a large upload has very many.
pub(super) fn stored_range(row: &Row<'_>) -> rusqlite::Result<StoredRange> {
    let range = ByteRange::new(row.get(0)?, row.get(1)?);
    let range = range.map_err(|error| invalid(row, "len", error))?;
    Ok(StoredRange { range, checksum: row.get(2)? })
}

/// A row of `creatives`.
pub(super) fn creative(row: &Row<'_>) -> rusqlite::Result<Creative> {
    Ok(Creative {
        id: row.get("id")?,
        principal: row.get("principal")?,
        filename: row.get("filename")?,
        size: row.get("size")?,
        digest: FileDigest { sha256: row.get("sha256")?, blake3: row.get("blake3")? },
        content_type: row.get("content_type")?,
        scheduled: row.get("scheduled")?,
        created_at: time(row, "created_at")?,
        upload_id: row.get("upload_id")?,
    })
}

/// A row of `users`.
pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        name: row.get("name")?,
        email: row.get("email")?,
        created_at: time(row, "created_at")?,
        disabled_at: time_or_none(row, "disabled_at")?,
    })
}

/// A row of `tokens`.
pub(super) fn token(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    Ok(TokenRecord {
        id: row.get("id")?,
        user: row.get("user")?,
        label: row.get("label")?,
        hash: row.get("hash")?,
        scopes: row.get("scopes")?,
        kind: row.get("kind")?,
        created_at: time(row, "created_at")?,
        expires_at: time_or_none(row, "expires_at")?,
        used_at: time_or_none(row, "used_at")?,
        revoked_at: time_or_none(row, "revoked_at")?,
    })
}

/// A row of `audit`.
pub(super) fn audit_entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        at: time(row, "at")?,
        deed: row.get("action")?,
        principal: row.get("principal")?,
        subject: row.get("subject")?,
        upload: row.get("upload")?,
        detail: row.get("detail")?,
        means: row.get("means")?,
        address: row.get("address")?,
        request_id: row.get("request_id")?,
    })
}

fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    row.get(column).map(|Millis(time)| time)
}

fn time_or_none(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<Millis>>(column)?.map(|Millis(time)| time))
}

/// Columns that are fine one by one and cannot stand together.
fn invalid(
    row: &Row<'_>,
    column: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    let index = row.as_ref().column_index(column).unwrap_or_default();
    rusqlite::Error::FromSqlConversionFailure(index, Type::Integer, Box::new(error))
}
