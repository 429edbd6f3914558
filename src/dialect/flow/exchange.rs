//! One flow.js request from its parameters and body to its answer.
//!
//! The only place where flow.js's words are turned into the engine's and back. What comes in is a
//! query string, a few headers and a stream of bytes; what goes out is an [`Answer`] or a
//! [`Refusal`].

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::{
    fields::FlowFields,
    intent::{chunk_intent, intent},
    params::{FlowRequest, Post},
    question::probe_as,
    reply::{self, Answer},
};
use crate::{
    dialect::{
        Gate, Grant, Refusal, Rejection,
        form::{BodyKind, BoxError, Form, FormError, Part, keep},
        rejection::rejection_in,
    },
    engine::{Body, BodyError, Engine, Intent, Keeping, Piece, Spooled, UploadError},
    upload::{FileName, limits},
};

/// A flow.js request that may bring bytes.
pub struct Upload<'a> {
    /// Knows who asks.
    pub gate: &'a dyn Gate,
    /// The query string, without its `?`.
    pub query: &'a str,
    /// The header `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The header `Content-Digest`.
    pub content_digest: Option<&'a str>,
}

/// Answers a POST or a PUT: a chunk, or a probe in the form of one.
pub async fn upload<S>(engine: &Engine, request: Upload<'_>, body: S) -> Result<Answer, Refusal>
where
    S: Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
{
    let query = FlowFields::from_query(request.query)?;
    match BodyKind::of(request.content_type)? {
        BodyKind::Octet => {
            let grant = request.gate.admit(query.ticket()).await?;
            let post = request.resolve(&grant, &query)?;
            take((engine, request.gate), &grant, post, body.boxed()).await
        }
        BodyKind::Multipart(boundary) => {
            let grant = if request.gate.is_known(query.ticket()) {
                Some(request.gate.admit(query.ticket()).await?)
            } else {
                None
            };
            let form = Form::new(boundary, body.map(|frame| frame.map_err(BoxError::from)));
            let form = form.within(engine.allowance());
            let fields = FlowFields::default();
            Multipart { engine, request, query, grant, fields, form }.answer().await
        }
    }
}

impl Upload<'_> {
    fn resolve(&self, grant: &Grant, fields: &FlowFields) -> Result<FlowRequest<Post>, Rejection> {
        fields.post(&grant.principal)?.with_content_digest(self.content_digest)
    }
}

/// A form that is being read.
struct Multipart<'a> {
    engine: &'a Engine,
    request: Upload<'a>,
    query: FlowFields,
    /// What its sender may do, if that was known before the form was read.
    grant: Option<Grant>,
    /// What the form said so far.
    fields: FlowFields,
    form: Form<'static>,
}

impl<'a> Multipart<'a> {
    /// Fields, then the file: that is how flow.js sends it, and then nothing is held in memory.
    async fn answer(mut self) -> Result<Answer, Refusal> {
        loop {
            match self.form.next().await.map_err(form_refusal)? {
                Some(Part::Field { name, value }) => self.fields.set(&name, value)?,
                Some(Part::File(part)) => return self.file(part.filename).await,
                // A form without a file asks.
                None => {
                    let grant = self.admit().await?;
                    return probe_as(self.engine, &grant, &self.fields.over(self.query)).await;
                }
            }
        }
    }

    /// Whose the request is, now that the fields before the file were read.
    async fn admit(&mut self) -> Result<Grant, Refusal> {
        let (gate, early, late) = (self.request.gate, self.query.ticket(), self.fields.ticket());
        if early.is_some() && late.is_some() && early != late {
            let detail = "the form has another `ticket` than the query: send one";
            return Err(Rejection::malformed("ambiguous_credentials", detail).into());
        }
        match self.grant.take() {
            Some(grant) => {
                late.map_or(Ok(()), |ticket| gate.check(ticket))?;
                Ok(grant)
            }
            None => gate.admit(late.or(early)).await,
        }
    }

    fn desk(&self) -> Desk<'a> {
        (self.engine, self.request.gate)
    }

    async fn file(mut self, part_filename: Option<String>) -> Result<Answer, Refusal> {
        if let Some(filename) = part_filename {
            self.fields.suggest_filename(&filename);
        }
        let grant = self.admit().await?;
        let fields = self.fields.clone().over(self.query.clone());
        match self.request.resolve(&grant, &fields) {
            Ok(post) if is_streamed(&post) => {
                take(self.desk(), &grant, post, closed(self.form)).await
            }
            resolved => self.spooled(&grant, resolved).await,
        }
    }

    /// A file whose place or size is not known yet: it is kept until the form has ended.
    async fn spooled(
        mut self,
        grant: &Grant,
        resolved: Result<FlowRequest<Post>, Rejection>,
    ) -> Result<Answer, Refusal> {
        const SMALL: u64 = limits::SPOOL_MEMORY_LEN_MAX as u64;
        let intent;
        let (max, keeping, too_long) = match &resolved {
            Ok(FlowRequest { addressed: Post::Whole(whole), .. }) => {
                check_name(self.engine, grant, whole.filename())?;
                let max = grant.at_most(self.engine.options().max_file_size);
                (max, Keeping::Whole(&grant.principal), None)
            }
            // A longer one is refused at the first byte too many, not when all of it has come.
            Ok(post @ FlowRequest { addressed: Post::Chunk(chunk), .. }) => {
                let expected = chunk.range.len();
                intent = chunk_intent(grant, post, chunk);
                (expected, Keeping::Chunk(&intent), None)
            }
            // Perhaps the fields that are missing come behind the file.
            Err(rejection) => (SMALL, Keeping::Unknown, Some(rejection.clone().into())),
        };
        let kept = keep(self.engine, self.form, max, keeping).await;
        let (form, spooled) = kept.map_err(|error| match (error, too_long) {
            (UploadError::TooLarge { .. }, Some(too_long)) => too_long,
            (error, _) => refusal(&error),
        })?;
        self.form = form;
        let ticket = self.fields.ticket().map(str::to_owned);
        while let Some(part) = self.form.next().await.map_err(form_refusal)? {
            match part {
                Part::Field { name, value } if spooled.is_small() => {
                    self.fields.set(&name, value)?;
                    // Who sends the file is known by now, and is nobody else.
                    if self.fields.ticket() != ticket.as_deref() {
                        return Err(
                            Rejection::form("put the field `ticket` before the file").into()
                        );
                    }
                }
                Part::Field { name, .. } => late(&name)?,
                Part::File(_) => {}
            }
        }
        let desk = self.desk();
        let fields = self.fields.over(self.query);
        let post = self.request.resolve(grant, &fields)?;
        take_spooled(desk, grant, post, spooled).await
    }
}

/// Whether a file goes straight to its place. A small one is kept until the form has ended, so
/// that fields may follow it.
fn is_streamed(post: &FlowRequest<Post>) -> bool {
    match &post.addressed {
        Post::Chunk(chunk) => limits::LATE_FIELDS_LEN_MAX < chunk.range.len(),
        Post::Whole(_) => false,
    }
}

/// The file of a form, up to the end of the form: a form that goes on with what should have come
/// before the file is an error, and nothing of the file is then kept.
fn closed(form: Form<'static>) -> Body {
    let frames = stream::unfold(Some(form), async |form| {
        let mut form = form?;
        let frame = form.file().next().await;
        if let Some(frame) = frame {
            return Some((frame.map_err(BodyError::from), Some(form)));
        }
        loop {
            let checked = match form.next().await {
                Ok(None) => return None,
                Ok(Some(Part::Field { name, .. })) => late(&name).map_err(FormError::from),
                Ok(Some(Part::File(_))) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = checked {
                return Some((Err(error.into()), None));
            }
        }
    });
    frames.boxed()
}

/// A field behind a file that was not kept back for it.
fn late(name: &str) -> Result<(), Rejection> {
    let mut probe = FlowFields::default();
    probe.set(name, "0".into())?;
    if probe == FlowFields::default() {
        return Ok(());
    }
    let detail = "put every field of the form before the file: it is too large to wait for them";
    Err(Rejection::form(detail))
}

/// Whom a request that brings bytes has to do with.
type Desk<'a> = (&'a Engine, &'a dyn Gate);

/// Hands a body to the engine; one of undeclared size is kept first.
async fn take(
    (engine, gate): Desk<'_>,
    grant: &Grant,
    post: FlowRequest<Post>,
    body: Body,
) -> Result<Answer, Refusal> {
    match &post.addressed {
        Post::Chunk(chunk) => {
            let intent = chunk_intent(grant, &post, chunk);
            let piece = Piece { range: chunk.range, digest: post.chunk_digest };
            receive((engine, gate), &intent, piece, body).await
        }
        Post::Whole(whole) => {
            check_name(engine, grant, whole.filename())?;
            let max = grant.at_most(engine.options().max_file_size);
            let spooled = engine.spool(body, max, Keeping::Whole(&grant.principal)).await;
            take_spooled((engine, gate), grant, post, spooled.map_err(|error| refusal(&error))?)
                .await
        }
    }
}

/// A file that is kept before it is an upload is looked at before it is kept.
fn check_name(engine: &Engine, grant: &Grant, name: &FileName) -> Result<(), Refusal> {
    engine.check_name(name, grant.permit.as_deref()).map_err(|error| refusal(&error))
}

async fn take_spooled(
    (engine, gate): Desk<'_>,
    grant: &Grant,
    post: FlowRequest<Post>,
    spooled: Spooled,
) -> Result<Answer, Refusal> {
    let Post::Whole(whole) = &post.addressed else {
        return Box::pin(take((engine, gate), grant, post, spooled.into_body())).await;
    };
    let identity = whole.identity(spooled.len())?;
    let range = identity.plan().piece(0).expect("a plan has at least one piece");
    let intent = intent(grant, &post, identity, whole.filename().clone());
    let intent = Intent { kept: spooled.charge(), ..intent };
    let piece = Piece { range, digest: post.chunk_digest };
    receive((engine, gate), &intent, piece, spooled.into_body()).await
}

async fn receive(
    (engine, gate): Desk<'_>,
    intent: &Intent,
    piece: Piece,
    body: Body,
) -> Result<Answer, Refusal> {
    if gate.counts_uploads() && engine.would_begin(intent).await.map_err(|it| refusal(&it))? {
        gate.begin(&intent.identity).await;
    }
    let received = engine.receive(intent, piece, body).await;
    received.map(Answer::to_chunk).map_err(|error| refusal(&error))
}

/// As [`reply::refusal`]; but a form that turned out not to be one while it was read as a body is
/// refused as what it is.
fn refusal(error: &UploadError) -> Refusal {
    match rejection_in(error) {
        Some(rejection) => rejection.clone().into(),
        None => reply::refusal(error),
    }
}

fn form_refusal(error: FormError) -> Refusal {
    refusal(&BodyError::from(error).into())
}
