//! What the engine is asked, made of what a flow.js request says.

use super::params::{Chunk, FlowRequest, Named};
use crate::{
    dialect::Grant,
    engine::{Announced, Intent, Resemblance},
    upload::{FileName, Identity, Principal},
};

pub(super) fn chunk_intent<A>(grant: &Grant, request: &FlowRequest<A>, chunk: &Chunk) -> Intent {
    intent(grant, request, chunk.identity.clone(), chunk.filename.clone())
}

pub(super) fn intent<A>(
    grant: &Grant,
    request: &FlowRequest<A>,
    identity: Identity,
    filename: FileName,
) -> Intent {
    let scheduled = request.scheduled.or_else(|| grant.day());
    let (sha256, permit) = (request.sha256, grant.permit.clone());
    let by = grant.by.clone();
    let visit = grant.visit;
    let identity = identity.of_visitor(visit.map(|visit| visit.visitor));
    Intent { identity, visit, filename, scheduled, sha256, permit, by, kept: None }
}

pub(super) fn resemblance(principal: &Principal, named: &Named) -> Resemblance {
    Resemblance {
        principal: principal.clone(),
        identifier: named.identifier.clone(),
        filename: named.filename.clone(),
        relative_path: named.relative_path.clone(),
        total: named.total,
        stride: named.stride,
        count: named.count,
    }
}

/// What a question by hand says of its file.
pub(super) fn announced<'a, A>(
    grant: &'a Grant,
    request: &FlowRequest<A>,
    named: &'a Named,
) -> Announced<'a> {
    Announced {
        principal: &grant.principal,
        filename: named.called.as_ref(),
        len: named.total,
        scheduled: request.scheduled.or_else(|| grant.day()),
        sha256: request.sha256,
        permit: grant.permit.as_deref(),
    }
}
