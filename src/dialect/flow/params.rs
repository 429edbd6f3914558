//! What a flow.js request asks for: its fields, read and checked.
//!
//! Promise: a value of one of these types is consistent in itself. The client's chunk number,
//! counted from 1, ends here; what leaves is an index and a range of bytes.

use super::{
    fields::{Field, FlowFields},
    geometry::{decimal, invalid_plan, no_such_chunk, place},
    names::{Names, one_newline},
    rejection::{Rejection, quote},
};
use crate::{
    dialect::digest::content_digest,
    upload::{ByteRange, Day, DeclaredDigest, FileName, Identity, Plan, Principal, Sha256Digest},
};

/// A request: what it is about, and what else it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRequest<A> {
    /// What it is about: a [`Post`], a [`Probe`] or a [`Lookup`].
    pub addressed: A,
    /// The day that the file is scheduled for, if the client names one.
    pub scheduled: Option<Day>,
    /// What the whole file must hash to.
    pub sha256: Option<Sha256Digest>,
    /// What the bytes of this chunk must hash to.
    pub chunk_digest: DeclaredDigest,
    /// How many bytes the client thinks this chunk has. Advice, not truth: it is `NaN` if the chunk
    /// size is `Infinity`, and wrong if a client encrypts or compresses.
    pub declared_len: Option<u64>,
}

/// What a request with bytes is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Post {
    /// One chunk of a file whose geometry is known.
    Chunk(Chunk),
    /// A file in one chunk that does not say how large it is.
    Whole(Whole),
}

/// What a probe asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The chunk of one certain upload: the identifier, the name or the path, and the geometry are
    /// named.
    Chunk(Chunk),
    /// The chunk with this index (from 0) of every upload that agrees with what is named.
    Partial(Named, u64),
}

/// What a lookup asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The upload with this identity, and what the client calls its file.
    Upload(Identity, FileName),
    /// Any upload that agrees with what is named.
    Partial(Named),
}

/// A chunk and its place in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The upload it belongs to.
    pub identity: Identity,
    /// What the client calls the file.
    pub filename: FileName,
    /// Its index, from 0.
    pub index: u64,
    /// Its bytes.
    pub range: ByteRange,
}

/// A whole file in one chunk of undeclared size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    principal: Principal,
    names: Names,
    stride: Option<u64>,
}

/// What a probe by hand names of an upload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// The client's identifier.
    pub identifier: Option<String>,
    /// The client's name for the file.
    pub filename: Option<String>,
    /// The relative path.
    pub relative_path: Option<String>,
    /// The size of the file, in bytes.
    pub total: Option<u64>,
    /// The nominal size of a chunk, in bytes.
    pub stride: Option<u64>,
    /// The number of chunks.
    pub count: Option<u64>,
    /// What the file would be called if it were sent, if that can be known.
    pub called: Option<FileName>,
    /// To which upload the file would belong if it were sent like this, and how it would be called
    /// there, if that can be known.
    pub post: Option<(Identity, FileName)>,
}

impl Whole {
    /// What the client calls the file.
    #[must_use]
    pub fn filename(&self) -> &FileName {
        &self.names.filename
    }

    /// The identity of the upload, now that the size of the file is known.
    pub fn identity(&self, total: u64) -> Result<Identity, Rejection> {
        let plan = Plan::new(total, self.stride.unwrap_or(total), 1).map_err(invalid_plan)?;
        self.names.identity(&self.principal, plan)
    }
}

impl<A> FlowRequest<A> {
    /// Takes in the header `Content-Digest`, which says the same as the field `chunk_sha256` and
    /// must not contradict it. Of a form, too, it is the digest of the chunk and not of the body.
    pub fn with_content_digest(mut self, header: Option<&str>) -> Result<Self, Rejection> {
        let header = header.map(content_digest).transpose()?.unwrap_or_default();
        let field = self.chunk_digest.sha256;
        if let (Some(field), Some(header)) = (field, header.sha256)
            && field != header
        {
            let detail =
                "Content-Digest and `chunk_sha256` name different digests: send one of them";
            return Err(Rejection::malformed("invalid_content_digest", detail));
        }
        self.chunk_digest = DeclaredDigest { sha256: field.or(header.sha256), ..header };
        Ok(self)
    }
}

impl FlowFields {
    /// Reads a request that brings bytes.
    ///
    /// A file that comes in one chunk needs to say no more than what it is called. A file in more
    /// chunks than one must say how it is cut.
    pub fn post(&self, principal: &Principal) -> Result<FlowRequest<Post>, Rejection> {
        // flow.js empties its list of chunks when one of them is refused for good, but its retry
        // timers go on: the file has no chunks any more, and its client has given it up.
        if self.integer(Field::TotalChunks)? == Some(0) {
            let detail =
                "`flowTotalChunks` is 0: the client has given this upload up; start it anew";
            return Err(Rejection::gone(detail));
        }
        let names = self.names()?;
        let plan = if self.comes_whole()? {
            self.total()?.map(|total| self.lone_plan(total)).transpose()?
        } else {
            self.require_geometry()?;
            self.plan()?
        };
        let principal = principal.clone();
        let addressed = match plan {
            Some(plan) => Post::Chunk(chunk(names, &principal, plan, self.number()?.unwrap_or(1))?),
            None => Post::Whole(Whole { principal, names, stride: self.lone_stride() }),
        };
        self.request(addressed)
    }

    /// Reads a request that asks for a chunk.
    pub fn probe(&self, principal: &Principal) -> Result<FlowRequest<Probe>, Rejection> {
        let names = self.names()?;
        let missing = || Field::ChunkNumber.invalid("is missing: which chunk is asked for?");
        let number = self.number()?.ok_or_else(missing)?;
        let addressed = match self.plan()? {
            Some(plan) if self.is_exact() => Probe::Chunk(chunk(names, principal, plan, number)?),
            plan => {
                let index = match plan {
                    Some(plan) => place(plan, number)?.0,
                    None => number - 1,
                };
                match self.named(names, principal, plan)? {
                    Named { count: Some(count), .. } if count < number => {
                        return Err(no_such_chunk(number));
                    }
                    partial => Probe::Partial(partial, index),
                }
            }
        };
        self.request(addressed)
    }

    /// Reads a request that asks for an upload; a chunk number means nothing in it.
    pub fn lookup(&self, principal: &Principal) -> Result<FlowRequest<Lookup>, Rejection> {
        let names = self.names()?;
        let addressed = match self.plan()? {
            Some(plan) if self.is_exact() => {
                Lookup::Upload(names.identity(principal, plan)?, names.filename)
            }
            plan => Lookup::Partial(self.named(names, principal, plan)?),
        };
        self.request(addressed)
    }

    fn request<A>(&self, addressed: A) -> Result<FlowRequest<A>, Rejection> {
        let day = |text: &str| text.parse::<Day>().map_err(|error| error.to_string());
        let digest = |text: &str| {
            let rule = |_| "a SHA-256 is written as 64 hexadecimal digits".to_owned();
            text.parse::<Sha256Digest>().map_err(rule)
        };
        Ok(FlowRequest {
            addressed,
            scheduled: self.parsed(Field::ScheduledAt, day)?,
            sha256: self.parsed(Field::Sha256, digest)?,
            chunk_digest: DeclaredDigest {
                sha256: self.parsed(Field::ChunkSha256, digest)?,
                sha512: None,
            },
            declared_len: self.get(Field::CurrentChunkSize).and_then(decimal),
        })
    }

    fn parsed<T>(
        &self,
        field: Field,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Rejection> {
        let Some(text) = self.get(field) else { return Ok(None) };
        let wrong = |rule| field.invalid(format!("cannot be {}: {rule}", quote(text)));
        parse(text).map(Some).map_err(wrong)
    }

    /// Whether a post brings a whole file: it says so, or says nothing of chunks.
    fn comes_whole(&self) -> Result<bool, Rejection> {
        let number = self.number()?.unwrap_or(1);
        match self.count()? {
            Some(1) if 1 < number => Err(no_such_chunk(number)),
            Some(count) => Ok(count == 1),
            // A chunk size alone announces more chunks: stored as a whole, the rest were lost.
            None => Ok(number == 1 && self.get(Field::ChunkSize).is_none()),
        }
    }

    /// Lists what a file in more than one chunk must say and does not.
    fn require_geometry(&self) -> Result<(), Rejection> {
        let needed = [Field::ChunkNumber, Field::TotalSize, Field::ChunkSize, Field::TotalChunks];
        let missing: Vec<_> =
            needed.into_iter().filter(|field| self.get(*field).is_none()).collect();
        let Some(first) = missing.first() else { return Ok(()) };
        let names: Vec<_> = missing.iter().map(|field| field.name()).collect();
        let detail = format!("a file in more than one chunk needs also: `{}`", names.join("`, `"));
        Err(Rejection::malformed(first.code(), detail))
    }

    /// Whether a question names enough of the file to be about one upload. Those that leave out the
    /// identifier, or the name and the path, are by hand, however they say the file is cut: the
    /// upload may have been sent with what they leave out.
    fn is_exact(&self) -> bool {
        self.get(Field::Identifier).is_some() && self.says_name()
    }

    fn says_name(&self) -> bool {
        self.get(Field::Filename).or(self.get(Field::RelativePath)).is_some()
    }

    fn named(
        &self,
        names: Names,
        principal: &Principal,
        plan: Option<Plan>,
    ) -> Result<Named, Rejection> {
        let called = self.says_name().then(|| names.filename.clone());
        let identity = plan.map(|plan| names.identity(principal, plan)).transpose()?;
        let count = self.count()?;
        let stride = match count {
            Some(1) => self.lone_stride(),
            _ => self.integer(Field::ChunkSize)?,
        };
        Ok(Named {
            identifier: self.get(Field::Identifier).map(one_newline),
            filename: self.get(Field::Filename).map(str::to_owned),
            relative_path: self.get(Field::RelativePath).map(one_newline),
            total: self.total()?,
            stride,
            count,
            called,
            post: identity.map(|identity| (identity, names.filename)),
        })
    }
}

fn chunk(names: Names, principal: &Principal, plan: Plan, number: u64) -> Result<Chunk, Rejection> {
    let (index, range) = place(plan, number)?;
    let identity = names.identity(principal, plan)?;
    Ok(Chunk { identity, filename: names.filename, index, range })
}

#[cfg(test)]
mod tests;
