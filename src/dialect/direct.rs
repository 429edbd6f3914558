//! One picture in one request, for scripts: `file` and `scheduled_at` in a form.
//!
//! The same engine with the same guarantees; what differs is what is said and how it is answered.
//! There is nothing to resume, so each request is an upload of its own.

use std::error::Error;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::StatusCode;

use super::{
    Grant, Refusal, Status, digest,
    form::{BodyKind, BoxError, Form, FormError, Part, keep},
    refusal::answer_to,
    rejection::rejection_in,
};
use crate::{
    engine::{BodyError, Class, Engine, Intent, Keeping, Piece, Refused, Spooled, UploadError},
    upload::{
        Day, DeclaredDigest, FileName, Identity, Plan, UploadId,
        limits::{HEAD_LEN, RETRY_AFTER},
    },
};

/// What may be uploaded: extensions, and the media type that the content must then have.
const ACCEPTED: [(&str, &str); 4] =
    [("jpg", "image/jpeg"), ("jpeg", "image/jpeg"), ("png", "image/png"), ("gif", "image/gif")];

/// Takes a form with `file` and `scheduled_at`; a `Content-Digest` is that of the file. The status
/// is complete, unless the stitch takes longer than `completion_wait`: then it is `stitching`.
pub async fn upload_creative<S>(
    engine: &Engine,
    grant: &Grant,
    content_type: Option<&str>,
    content_digest: Option<&str>,
    body: S,
) -> Result<Status, Refusal>
where
    S: Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
{
    let BodyKind::Multipart(boundary) = BodyKind::of(content_type)? else {
        let detail = "send a form (multipart/form-data) with the fields `scheduled_at` and `file`";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_form", detail));
    };
    let digest = content_digest.map(digest::content_digest).transpose()?.unwrap_or_default();
    let form = Form::new(boundary, body.map(|frame| frame.map_err(BoxError::from)));
    let form = form.within(engine.allowance());
    let Read { filename, day, file } = read(engine, grant, form).await?;
    let day = day.or_else(|| grant.day());
    let day =
        day.ok_or_else(|| schedule("`scheduled_at` is missing: name a day, as YYYY-MM-DD"))?;
    check_content(&filename, &file).await?;
    let received = receive(engine, grant, filename, day, digest, file).await;
    received.map(Status::from).map_err(|error| refusal(&error))
}

/// What the form holds.
struct Read {
    filename: FileName,
    day: Option<Day>,
    file: Spooled,
}

async fn read(engine: &Engine, grant: &Grant, mut form: Form<'static>) -> Result<Read, Refusal> {
    let max = grant.at_most(engine.options().max_file_size);
    let (mut day, mut kept) = (None, None);
    while let Some(part) = form.next().await.map_err(form_refusal)? {
        match part {
            Part::Field { name, value } if name == "scheduled_at" => {
                let parsed = value.parse::<Day>();
                day = Some(parsed.map_err(|error| schedule(error.to_string()))?);
            }
            Part::Field { .. } => {}
            Part::File(part) => {
                let name = named(engine, grant, part.filename.unwrap_or_default())?;
                let file = keep(engine, form, max, Keeping::Whole(&grant.principal)).await;
                let file = file.map_err(|error| refusal(&error))?;
                form = file.0;
                kept = Some((name, file.1));
            }
        }
    }
    let Some((filename, file)) = kept else {
        let detail = "the form has no file: send one in the field `file`";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_form", detail));
    };
    Ok(Read { filename, day, file })
}

/// The name of a file, if files of that name are taken here: before anything of it is kept.
fn named(engine: &Engine, grant: &Grant, name: String) -> Result<FileName, Refusal> {
    let filename = FileName::new(name).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_filename", error.to_string())
    })?;
    wanted_type(&filename)?;
    engine.check_name(&filename, grant.permit.as_deref()).map_err(|error| refusal(&error))?;
    Ok(filename)
}

/// The media type that the content of a file of this name must have.
fn wanted_type(filename: &FileName) -> Result<&'static str, Refusal> {
    let extension = filename.extension().unwrap_or_default();
    let named = ACCEPTED.iter().find(|(accepted, _)| *accepted == extension);
    named.map(|(_, media_type)| *media_type).ok_or_else(no_picture)
}

async fn check_content(filename: &FileName, file: &Spooled) -> Result<(), Refusal> {
    let head = file.head(HEAD_LEN).await.map_err(|error| refusal(&error))?;
    let found = infer::get(&head).map(|kind| kind.mime_type());
    if found == Some(wanted_type(filename)?) { Ok(()) } else { Err(no_picture()) }
}

fn no_picture() -> Refusal {
    let detail = "only pictures are taken here, by name and by content: .jpg, .jpeg, .png or .gif";
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "type_not_accepted", detail)
}

async fn receive(
    engine: &Engine,
    grant: &Grant,
    filename: FileName,
    day: Day,
    digest: DeclaredDigest,
    file: Spooled,
) -> Result<crate::engine::Snapshot, UploadError> {
    let plan = Plan::whole(file.len()).expect("a file that was received is not too large");
    let range = plan.piece(0).expect("a plan has at least one piece");
    // An identity that nobody else can have: the same picture twice is two creatives.
    let identity = Identity::new(grant.principal.clone(), UploadId::new().to_string(), "", plan)
        .expect("an id is short");
    let (permit, by) = (grant.permit.clone(), grant.by.clone());
    let (scheduled, kept) = (Some(day), file.charge());
    let intent =
        Intent { identity, visit: None, filename, scheduled, sha256: None, permit, by, kept };
    let piece = Piece { range, digest };
    Ok(engine.receive(&intent, piece, file.into_body()).await?.snapshot)
}

fn schedule(detail: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_scheduled_at", detail)
}

fn form_refusal(error: FormError) -> Refusal {
    refusal(&BodyError::from(error).into())
}

/// The engine's trouble for a script: it follows the meaning of a status, not flow.js's habits.
fn refusal(error: &UploadError) -> Refusal {
    if let Some(rejection) = rejection_in(error) {
        return rejection.clone().into();
    }
    let detail = error.to_string();
    let new = |status, code| Refusal::new(status, code, detail.clone());
    match error.class() {
        Class::Malformed => new(StatusCode::BAD_REQUEST, "invalid_length"),
        Class::Damaged | Class::Refused(Refused::Checksum) => {
            new(StatusCode::BAD_REQUEST, "checksum_mismatch")
        }
        Class::Refused(why) => {
            let (status, code) = answer_to(why);
            new(status, code)
        }
        Class::Schedule => new(StatusCode::BAD_REQUEST, "invalid_scheduled_at"),
        // Nothing of it can be asked for: each request is an upload of its own.
        Class::Gone => {
            let detail = "the upload was cancelled, or expired, while it came: send the file again";
            Refusal::new(StatusCode::CONFLICT, "conflict", detail)
        }
        Class::Conflict => new(StatusCode::CONFLICT, "conflict"),
        Class::Forbidden => new(StatusCode::FORBIDDEN, "forbidden"),
        Class::TooLarge => new(StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        Class::OverQuota => new(StatusCode::PAYLOAD_TOO_LARGE, "quota_exceeded"),
        Class::Interrupted => new(StatusCode::BAD_REQUEST, "incomplete_body"),
        Class::TimedOut => new(StatusCode::REQUEST_TIMEOUT, "request_timeout"),
        Class::NoSpace | Class::Unavailable => {
            if !matches!(error, UploadError::Stopping) {
                tracing::error!(error = error as &dyn Error, "A request could not be carried out");
            }
            let no_space = error.class() == Class::NoSpace;
            if no_space {
                new(StatusCode::INSUFFICIENT_STORAGE, "no_space").retry_after(RETRY_AFTER)
            } else {
                new(StatusCode::SERVICE_UNAVAILABLE, "unavailable").retry_after(RETRY_AFTER)
            }
        }
    }
}
