//! `/openapi.json`: the interface as an OpenAPI 3.1 document, made from the types that serve it.
//!
//! What holds for every operation is said once, in the description: HEAD, what is no method of an
//! address, and requests that are none.

#![expect(clippy::needless_pass_by_value, reason = "values are made where they are passed")]

mod events;
mod fields;
mod problems;
mod sign_in;

use std::sync::LazyLock;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use self::{
    events::events,
    fields::{FLOW_FIELDS, OF_A_CHUNK, flow_body, flow_query},
};
use super::{
    creatives::{CreativeList, OneCreative, Reschedule, Scheduled},
    gate::{self, Need},
    limits::Limits,
    operation::Health,
    problem::ProblemDocument,
    route::Route,
    tickets::{Issued, TicketRequest},
    uploads::UploadList,
};
use crate::{
    dialect::Status,
    upload::{
        UploadId, UploadState,
        limits::{PAGE_LEN, PAGE_LEN_MAX},
    },
};

const DESCRIPTION: &str = "Takes files in chunks from browsers that speak flow.js, and publishes \
    each exactly once. HEAD works where GET does, except on /upload. Every answer carries \
    X-Request-ID; errors are problems by RFC 9457, and `code` tells them apart. A method that an \
    address has not is answered by 405 with Allow; what is no HTTP request by 400 or 431 without a \
    body, and the connection ends.";

/// The document. Built once.
#[must_use]
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(build);
    &DOCUMENT
}

fn build() -> Value {
    // As they are written, not as they would be read: a field that may be null is still there.
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut say = Say { schemas: settings.into_generator() };
    let mut paths = say.paths();
    let problem = say.schema::<ProblemDocument<'_>>();
    say_who_may(&mut paths, &problem);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "flowstitch",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT", "identifier": "MIT" },
            "description": DESCRIPTION,
        },
        "paths": paths,
        "components": {
            "schemas": say.schemas.take_definitions(true),
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
    })
}

/// Says of each operation what its caller needs, by the table that is enforced, and how it may be
/// refused. Where no users are known, nothing is needed: hence the empty alternative.
fn say_who_may(paths: &mut Value, problem: &Value) {
    let id = UploadId::new().to_string();
    for (path, operations) in paths.as_object_mut().into_iter().flatten() {
        let route = Route::of(&path.replace("{id}", &id));
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            let method = method.to_uppercase().parse().ok();
            let (Some(route), Some(method)) = (route, method) else { continue };
            if let Some(answers) = operation["responses"].as_object_mut() {
                answers.extend(problems::of(route, &method, problem));
            }
            let need = gate::need(route, &method);
            if need != Need::Nothing {
                operation["security"] = json!([{ "bearer": [] }, {}]);
                let takes = if need == Need::Session { "Takes" } else { "Takes the scope" };
                operation["description"] = json!(format!("{takes} {need}."));
            }
        }
    }
}

/// Writes path items; every schema it mentions ends among the components.
struct Say {
    schemas: SchemaGenerator,
}

impl Say {
    fn paths(&mut self) -> Value {
        json!({
            "/upload": self.flow(),
            "/upload-creative": self.upload_creative(),
            "/uploads": self.uploads(),
            "/uploads/lookup": self.lookup(),
            "/uploads/{id}": self.upload(),
            "/uploads/{id}/events": events(),
            "/scheduled": self.scheduled(),
            "/creatives": self.creatives(),
            "/creatives/{id}": self.creative(),
            "/creatives/{id}/content": file("content", "The bytes of a creative", id()),
            "/tickets": self.tickets(),
            "/limits": self.limits(),
            "/auth": self.ways(),
            "/auth/otp": self.code(),
            "/auth/session": self.session(),
            "/healthz": self.health("health", "Alive?", "The process serves."),
            "/readyz": self.health("ready", "Ready?", "Uploads can be taken."),
            "/metrics": metrics(),
            "/openapi.json": openapi(),
            "/": file("page", "The page", json!([])),
            "/static/{name}": file("asset", "A file of the page", json!([
                path("name", json!({ "type": "string" })),
            ])),
        })
    }

    fn schema<T: JsonSchema>(&mut self) -> Value {
        self.schemas.subschema_for::<T>().to_value()
    }

    fn json<T: JsonSchema>(&mut self, description: &str) -> Value {
        answer(description, "application/json", self.schema::<T>())
    }

    fn flow(&mut self) -> Value {
        let here = self.json::<Status>("The chunk is safely here, or the upload is complete.");
        let completed = made(self.json::<Status>("This request completed the upload."));
        let missing = json!({ "description": "To a probe: the chunk is not here." });
        let probed = json!({ "200": here, "204": missing });
        let sent = json!({ "200": here, "201": completed, "204": missing });
        let digest = [content_digest("this chunk")];
        let fields: Vec<Value> = flow_query(&FLOW_FIELDS).into_iter().chain(digest).collect();
        let sending = |id| {
            let summary = "Send a chunk; without a file part, a probe";
            let mut operation = operation(id, summary, json!(fields), sent.clone());
            operation["requestBody"] = flow_body();
            operation
        };
        let (post, put) = (sending("sendChunk"), sending("putChunk"));
        let probe = flow_query(&FLOW_FIELDS);
        let get = operation("probeChunk", "Is this chunk here?", json!(probe), probed);
        json!({ "get": get, "post": post, "put": put })
    }

    fn upload_creative(&mut self) -> Value {
        let created = made(self.json::<OneCreative>("The creative."));
        let accepted = self.json::<Status>("Safe, and still being checked: ask for the upload.");
        let answers = json!({ "201": created, "202": accepted });
        let summary = "Upload one picture in one request";
        let mut post =
            operation("uploadCreative", summary, json!([content_digest("the file")]), answers);
        let form = json!({
            "type": "object",
            "required": ["file", "scheduled_at"],
            "properties": { "file": binary(), "scheduled_at": date() },
        });
        post["requestBody"] = body(&json!({ "multipart/form-data": { "schema": form } }));
        json!({ "post": post })
    }

    fn uploads(&mut self) -> Value {
        let list = self.json::<UploadList>("A page of uploads, newest first.");
        let state = self.schema::<UploadState>();
        let [limit, cursor] = page();
        let parameters = json!([query("state", state, "Only those in this state."), limit, cursor]);
        get("listUploads", "My uploads", parameters, json!({ "200": list }))
    }

    fn lookup(&mut self) -> Value {
        let status = self.json::<Status>("How the upload stands.");
        let summary = "One question instead of a probe per chunk";
        let fields = flow_query(&FLOW_FIELDS[OF_A_CHUNK..]).into_iter().chain([from_chunk()]);
        let parameters = json!(fields.collect::<Vec<_>>());
        get("lookupUpload", summary, parameters, json!({ "200": status }))
    }

    fn upload(&mut self) -> Value {
        let status = json!({ "200": self.json::<Status>("How the upload stands.") });
        let gone = json!({ "204": { "description": "It has no file and will have none." } });
        let show = json!([path("id", json!({ "type": "string", "format": "uuid" })), from_chunk()]);
        json!({
            "get": operation("showUpload", "One upload", show, status),
            "delete": operation("cancelUpload", "Give an upload up", id(), gone),
        })
    }

    fn scheduled(&mut self) -> Value {
        let days = self.json::<Scheduled>("The creatives of today and tomorrow.");
        get("scheduled", "What is scheduled now", json!([]), json!({ "200": days }))
    }

    fn creatives(&mut self) -> Value {
        let list = self.json::<CreativeList>("A page of creatives, by scheduled day.");
        let [limit, cursor] = page();
        let from = query("from", date(), "The first day.");
        let parameters = json!([from, query("to", date(), "The last day."), limit, cursor]);
        get("listCreatives", "My creatives", parameters, json!({ "200": list }))
    }

    fn creative(&mut self) -> Value {
        let one = json!({ "200": self.json::<OneCreative>("The creative.") });
        let deleted = json!({ "204": { "description": "Record and file are gone." } });
        let day = self.schema::<Reschedule>();
        let mut patch = operation("reschedule", "Choose another day", id(), one.clone());
        patch["requestBody"] = body(&json!({ "application/json": { "schema": day } }));
        json!({
            "get": operation("showCreative", "One creative", id(), one),
            "patch": patch,
            "delete": operation("deleteCreative", "Delete record and file", id(), deleted),
        })
    }

    fn tickets(&mut self) -> Value {
        let issued = json!({ "201": self.json::<Issued>("The ticket.") });
        let request = self.schema::<TicketRequest>();
        let mut post = operation("issueTicket", "Issue a ticket", json!([]), issued);
        post["requestBody"] = body(&json!({ "application/json": { "schema": request } }));
        json!({ "post": post })
    }

    fn limits(&mut self) -> Value {
        let limits = self.json::<Limits>("The limits, and what the caller has of them.");
        get("limits", "What I may have", json!([]), json!({ "200": limits }))
    }

    fn health(&mut self, id: &str, summary: &str, well: &str) -> Value {
        let ok = self.json::<Health>(well);
        get(id, summary, json!([]), json!({ "200": ok }))
    }
}

/// A file, with ranges and preconditions.
fn file(id: &str, summary: &str, mut parameters: Value) -> Value {
    for name in ["Range", "If-Range", "If-None-Match", "If-Modified-Since"] {
        let header = json!({ "name": name, "in": "header", "schema": text() });
        parameters.as_array_mut().expect("a list of parameters").push(header);
    }
    let answers = json!({
        "200": answer("The whole file.", "*/*", binary()),
        "206": answer("The range that was asked for.", "*/*", binary()),
        "304": { "description": "Not modified." },
    });
    get(id, summary, parameters, answers)
}

fn metrics() -> Value {
    let page = answer("OpenMetrics text.", "application/openmetrics-text", text());
    get("metrics", "Measurements", json!([]), json!({ "200": page }))
}

fn openapi() -> Value {
    let object = json!({ "type": "object" });
    let document = answer("This document.", "application/json", object);
    get("openapi", "The interface", json!([]), json!({ "200": document }))
}

fn get(id: &str, summary: &str, parameters: Value, answers: Value) -> Value {
    json!({ "get": operation(id, summary, parameters, answers) })
}

/// An operation with its answers; the problems are added at the end.
fn operation(id: &str, summary: &str, parameters: Value, answers: Value) -> Value {
    json!({
        "operationId": id, "summary": summary, "parameters": parameters, "responses": answers,
    })
}

fn answer(description: &str, content_type: &str, schema: Value) -> Value {
    json!({ "description": description, "content": { content_type: { "schema": schema } } })
}

/// An answer whose header has the address of what was made.
fn made(mut answer: Value) -> Value {
    let description = "The path of what was made.";
    let location = json!({ "required": true, "schema": text(), "description": description });
    answer["headers"] = json!({ "Location": location });
    answer
}

fn body(content: &Value) -> Value {
    json!({ "required": true, "content": content })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn binary() -> Value {
    json!({ "type": "string", "format": "binary" })
}

fn date() -> Value {
    json!({ "type": "string", "format": "date" })
}

fn content_digest(of: &str) -> Value {
    let description = format!("What {of} must hash to (RFC 9530, `sha-256` or `sha-512`).");
    json!({
        "name": "Content-Digest", "in": "header", "schema": { "type": "string" },
        "description": description,
    })
}

fn query(name: &str, schema: Value, description: &str) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn path(name: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

/// From which chunk on a status lists what is missing.
fn from_chunk() -> Value {
    let number = json!({ "type": "integer", "minimum": 1, "default": 1 });
    query("from_chunk", number, "The first chunk that `missing_chunks` may list.")
}

fn id() -> Value {
    json!([path("id", json!({ "type": "string", "format": "uuid" }))])
}

/// The parameters of every list: how long, and from where on.
fn page() -> [Value; 2] {
    let len = json!({
        "type": "integer", "minimum": 1, "maximum": PAGE_LEN_MAX, "default": PAGE_LEN,
    });
    [
        query("limit", len, "How many at most."),
        query("cursor", text(), "The `next_cursor` of the page before."),
    ]
}
