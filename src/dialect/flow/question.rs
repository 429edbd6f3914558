//! Probes and lookups: questions that come before bytes.

use super::{
    fields::FlowFields,
    intent::{announced, chunk_intent, intent, resemblance},
    params::{FlowRequest, Lookup, Named, Probe},
    reply::{self, Answer},
};
use crate::{
    dialect::{Gate, Grant, Refusal, Status},
    engine::Engine,
};

/// Answers a test GET: is this chunk here?
pub async fn probe(engine: &Engine, gate: &dyn Gate, query: &str) -> Result<Answer, Refusal> {
    probe_fields(engine, gate, &FlowFields::from_query(query)?).await
}

/// Answers the one question that stands for all test GETs of a file.
pub async fn lookup(
    engine: &Engine,
    gate: &dyn Gate,
    query: &str,
) -> Result<Option<Status>, Refusal> {
    let fields = FlowFields::from_query(query)?;
    let grant = gate.admit(fields.ticket()).await?;
    let request = fields.lookup(&grant.principal)?;
    let from = fields.first_index()?;
    let found = match &request.addressed {
        Lookup::Upload(identity, filename) => {
            let intent = intent(&grant, &request, identity.clone(), filename.clone());
            engine.lookup(&intent, from).await
        }
        Lookup::Partial(named) => {
            free(engine, &grant, &request, named).await?;
            let file = announced(&grant, &request, named);
            engine.lookup_resembling(&resemblance(&grant.principal, named), from, &file).await
        }
    };
    let found = found.map_err(|error| reply::refusal(&error))?;
    Ok(found.map(Status::from))
}

async fn probe_fields(
    engine: &Engine,
    gate: &dyn Gate,
    fields: &FlowFields,
) -> Result<Answer, Refusal> {
    let grant = gate.admit(fields.ticket()).await?;
    probe_as(engine, &grant, fields).await
}

/// As [`probe`], of a caller who was let in, with fields from wherever they stood.
pub(super) async fn probe_as(
    engine: &Engine,
    grant: &Grant,
    fields: &FlowFields,
) -> Result<Answer, Refusal> {
    let request = fields.probe(&grant.principal)?;
    let found = match &request.addressed {
        Probe::Chunk(chunk) => {
            engine.probe(&chunk_intent(grant, &request, chunk), chunk.range).await
        }
        Probe::Partial(named, index) => {
            free(engine, grant, &request, named).await?;
            let file = announced(grant, &request, named);
            engine.probe_resembling(&resemblance(&grant.principal, named), *index, &file).await
        }
    };
    found.map(Answer::to_probe).map_err(|error| reply::refusal(&error))
}

/// Who asks before sending begins anew, also if the question names only some of the file.
async fn free<A>(
    engine: &Engine,
    grant: &Grant,
    request: &FlowRequest<A>,
    named: &Named,
) -> Result<(), Refusal> {
    let Some((identity, filename)) = named.post.clone() else { return Ok(()) };
    let freed = engine.free(&intent(grant, request, identity, filename)).await;
    freed.map_err(|error| reply::refusal(&error))
}
