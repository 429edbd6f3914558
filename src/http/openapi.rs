//! `/openapi.json`: the interface as an OpenAPI 3.1 document, made from the types that serve it.

use std::sync::LazyLock;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    creatives::{CreativeList, OneCreative, Reschedule, Scheduled},
    operation::Health,
    problem::{self, ProblemDocument},
    uploads::UploadList,
};
use crate::dialect::Status;

/// The document. Built once.
#[must_use]
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(build);
    &DOCUMENT
}

fn build() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    let paths = paths(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "flowstitch",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT", "identifier": "MIT" },
            "description": "Takes files in chunks from browsers that speak flow.js, and publishes \
                each exactly once.",
        },
        "paths": paths,
        "components": { "schemas": schemas.take_definitions(true) },
    })
}

fn paths(schemas: &mut SchemaGenerator) -> Value {
    let mut say = Say { schemas };
    let mut paths = Map::new();
    for (path, item) in [
        ("/upload", say.flow()),
        ("/upload-creative", say.upload_creative()),
        ("/uploads", say.uploads()),
        ("/uploads/lookup", say.lookup()),
        ("/uploads/{id}", say.upload()),
        ("/uploads/{id}/events", say.events()),
        ("/scheduled", say.scheduled()),
        ("/creatives", say.creatives()),
        ("/creatives/{id}", say.creative()),
        ("/creatives/{id}/content", say.content()),
        ("/healthz", say.health()),
        ("/readyz", say.ready()),
        ("/metrics", say.metrics()),
        ("/openapi.json", say.openapi()),
    ] {
        paths.insert(path.into(), item);
    }
    Value::Object(paths)
}

/// Writes path items; every schema it mentions ends among the components.
struct Say<'a> {
    schemas: &'a mut SchemaGenerator,
}

impl Say<'_> {
    fn json<T: JsonSchema>(&mut self, description: &str) -> Value {
        let schema = self.schemas.subschema_for::<T>();
        json!({
            "description": description,
            "content": { "application/json": { "schema": schema } },
        })
    }

    fn problem(&mut self, description: &str) -> Value {
        let schema = self.schemas.subschema_for::<ProblemDocument<'_>>();
        json!({
            "description": description,
            "content": { problem::CONTENT_TYPE: { "schema": schema } },
        })
    }

    /// An operation: its answers, and a problem for everything else.
    fn operation(&mut self, id: &str, summary: &str, parameters: &Value, answers: Value) -> Value {
        let mut answers = answers;
        answers["default"] = self.problem("A problem: `code` and `detail` say which.");
        json!({
            "operationId": id, "summary": summary, "parameters": parameters, "responses": answers,
        })
    }

    fn flow(&mut self) -> Value {
        let here = self.json::<Status>("The chunk is safely here, or the upload is complete.");
        let completed = self.json::<Status>("This request completed the upload.");
        let answers = json!({
            "200": here, "201": completed, "204": { "description": "A probe: not here." },
        });
        let probe_answers = json!({
            "200": answers["200"].clone(), "204": { "description": "The chunk is not here." },
        });
        let mut get =
            self.operation("probeChunk", "Is this chunk here?", &flow_query(), probe_answers);
        get["x-flow-js"] = json!("test request");
        let summary = "Send a chunk; without a file part, a probe";
        let mut post = self.operation("sendChunk", summary, &flow_query(), answers.clone());
        post["requestBody"] = flow_body();
        let mut put = self.operation("putChunk", summary, &flow_query(), answers);
        put["requestBody"] = flow_body();
        json!({ "get": get, "post": post, "put": put })
    }

    fn upload_creative(&mut self) -> Value {
        let created = self.json::<OneCreative>("The creative.");
        let accepted = self.json::<Status>("Safe, and still being checked: ask for the upload.");
        let answers = json!({ "201": created, "202": accepted });
        let summary = "Upload one picture in one request";
        let mut post = self.operation("uploadCreative", summary, &json!([]), answers);
        post["requestBody"] = json!({
            "required": true,
            "content": { "multipart/form-data": { "schema": {
                "type": "object",
                "required": ["file", "scheduled_at"],
                "properties": {
                    "file": { "type": "string", "format": "binary" },
                    "scheduled_at": { "type": "string", "format": "date" },
                },
            } } },
        });
        json!({ "post": post })
    }

    fn uploads(&mut self) -> Value {
        let list = self.json::<UploadList>("A page of uploads, newest first.");
        let parameters = json!([
            query("state", "string", "Only those in this state."),
            query("limit", "integer", "How many at most."),
            query("cursor", "string", "The `next_cursor` of the page before."),
        ]);
        let answers = json!({ "200": list });
        json!({ "get": self.operation("listUploads", "My uploads", &parameters, answers) })
    }

    fn lookup(&mut self) -> Value {
        let status = self.json::<Status>("How the upload stands.");
        let summary = "One question instead of a probe per chunk";
        let answers = json!({ "200": status });
        json!({ "get": self.operation("lookupUpload", summary, &flow_query(), answers) })
    }

    fn upload(&mut self) -> Value {
        let status = self.json::<Status>("How the upload stands.");
        let gone = json!({ "204": { "description": "It has no file and will have none." } });
        json!({
            "get": self.operation("showUpload", "One upload", &id(), json!({ "200": status })),
            "delete": self.operation("cancelUpload", "Give an upload up", &id(), gone),
        })
    }

    fn events(&mut self) -> Value {
        let answers = json!({ "200": {
            "description": "A status body at each change; ends when the upload has ended.",
            "content": { "text/event-stream": { "schema": { "type": "string" } } },
        } });
        json!({ "get": self.operation("followUpload", "Follow an upload", &id(), answers) })
    }

    fn scheduled(&mut self) -> Value {
        let days = self.json::<Scheduled>("The creatives of today and tomorrow.");
        let summary = "What is scheduled now";
        json!({ "get": self.operation("scheduled", summary, &json!([]), json!({ "200": days })) })
    }

    fn creatives(&mut self) -> Value {
        let list = self.json::<CreativeList>("A page of creatives, by scheduled day.");
        let parameters = json!([
            query("from", "string", "The first day, `YYYY-MM-DD`."),
            query("to", "string", "The last day, `YYYY-MM-DD`."),
            query("limit", "integer", "How many at most."),
            query("cursor", "string", "The `next_cursor` of the page before."),
        ]);
        let answers = json!({ "200": list });
        json!({ "get": self.operation("listCreatives", "My creatives", &parameters, answers) })
    }

    fn creative(&mut self) -> Value {
        let one = self.json::<OneCreative>("The creative.");
        let schema = self.schemas.subschema_for::<Reschedule>();
        let answers = json!({ "200": one });
        let mut patch =
            self.operation("reschedule", "Schedule for another day", &id(), answers.clone());
        patch["requestBody"] = json!({
            "required": true, "content": { "application/json": { "schema": schema } },
        });
        let deleted = json!({ "204": { "description": "Record and file are gone." } });
        json!({
            "get": self.operation("showCreative", "One creative", &id(), answers),
            "patch": patch,
            "delete": self.operation("deleteCreative", "Delete record and file", &id(), deleted),
        })
    }

    fn content(&mut self) -> Value {
        let bytes = json!({ "*/*": { "schema": { "type": "string", "format": "binary" } } });
        let answers = json!({
            "200": { "description": "The whole file.", "content": bytes },
            "206": { "description": "The range that was asked for.", "content": bytes },
            "304": { "description": "Not modified." },
        });
        json!({ "get": self.operation("content", "The bytes of a creative", &id(), answers) })
    }

    fn health(&mut self) -> Value {
        let ok = self.json::<Health>("The process serves.");
        json!({ "get": self.operation("health", "Alive?", &json!([]), json!({ "200": ok })) })
    }

    fn ready(&mut self) -> Value {
        let ok = self.json::<Health>("Uploads can be taken.");
        json!({ "get": self.operation("ready", "Ready?", &json!([]), json!({ "200": ok })) })
    }

    fn metrics(&mut self) -> Value {
        let answers = json!({ "200": {
            "description": "OpenMetrics text.",
            "content": { "application/openmetrics-text": { "schema": { "type": "string" } } },
        } });
        json!({ "get": self.operation("metrics", "Measurements", &json!([]), answers) })
    }

    fn openapi(&mut self) -> Value {
        let answers = json!({ "200": {
            "description": "This document.",
            "content": { "application/json": { "schema": { "type": "object" } } },
        } });
        json!({ "get": self.operation("openapi", "The interface", &json!([]), answers) })
    }
}

fn query(name: &str, kind: &str, description: &str) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": { "type": kind } })
}

fn id() -> Value {
    json!([{
        "name": "id", "in": "path", "required": true,
        "schema": { "type": "string", "format": "uuid" },
    }])
}

/// The fields of a flow.js request: name, type, meaning.
const FLOW_FIELDS: [(&str, &str, &str); 11] = [
    ("flowChunkNumber", "integer", "The number of the chunk, from 1."),
    ("flowChunkSize", "string", "The nominal size of a chunk, in bytes."),
    ("flowCurrentChunkSize", "string", "The size of this chunk, in bytes; advice only."),
    ("flowTotalSize", "integer", "The size of the file, in bytes."),
    ("flowIdentifier", "string", "The client's own word for the file."),
    ("flowFilename", "string", "The name of the file."),
    ("flowRelativePath", "string", "Where the file stood in its folder."),
    ("flowTotalChunks", "integer", "How many chunks there are."),
    ("scheduled_at", "string", "The day that it is scheduled for, `YYYY-MM-DD`."),
    ("sha256", "string", "What the whole file must hash to, in hexadecimal."),
    ("chunk_sha256", "string", "What this chunk must hash to, in hexadecimal."),
];

fn flow_query() -> Value {
    FLOW_FIELDS.iter().map(|(name, kind, meaning)| query(name, kind, meaning)).collect()
}

fn flow_body() -> Value {
    let mut properties: Map<String, Value> = FLOW_FIELDS
        .iter()
        .map(|(name, kind, meaning)| {
            ((*name).to_owned(), json!({ "type": kind, "description": meaning }))
        })
        .collect();
    properties.insert("file".into(), json!({ "type": "string", "format": "binary" }));
    json!({ "content": {
        "multipart/form-data": { "schema": { "type": "object", "properties": properties } },
        "*/*": { "schema": { "type": "string", "format": "binary" } },
    } })
}
