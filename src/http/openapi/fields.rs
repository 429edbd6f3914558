//! The fields of flow.js, as parameters and as a form.

use serde_json::{Map, Value, json};

use super::{binary, query};

/// The fields of a flow.js request: name, type, meaning. Those of one chunk come first.
pub(super) const FLOW_FIELDS: [(&str, &str, &str); 12] = [
    ("flowChunkNumber", "integer", "The number of the chunk, from 1."),
    ("flowCurrentChunkSize", "string", "The size of this chunk, in bytes; advice only."),
    ("chunk_sha256", "string", "What this chunk must hash to, in hexadecimal."),
    ("flowChunkSize", "string", "The nominal size of a chunk, in bytes."),
    ("flowTotalSize", "integer", "The size of the file, in bytes."),
    ("flowIdentifier", "string", "The client's own word for the file."),
    ("flowFilename", "string", "The name of the file."),
    ("flowRelativePath", "string", "Where the file stood in its folder."),
    ("flowTotalChunks", "integer", "How many chunks there are."),
    ("scheduled_at", "string", "The day that it is scheduled for, `YYYY-MM-DD`."),
    ("sha256", "string", "What the whole file must hash to, in hexadecimal."),
    ("ticket", "string", "Who sends it, unless a header says so; before the file."),
];

/// How many of [`FLOW_FIELDS`] say nothing of the file.
pub(super) const OF_A_CHUNK: usize = 3;

pub(super) fn flow_query(fields: &[(&str, &str, &str)]) -> Vec<Value> {
    let parameter =
        |(name, kind, meaning): &(&str, &str, &str)| query(name, json!({ "type": kind }), meaning);
    fields.iter().map(parameter).collect()
}

pub(super) fn flow_body() -> Value {
    let mut properties: Map<String, Value> = FLOW_FIELDS
        .iter()
        .map(|(name, kind, meaning)| {
            ((*name).to_owned(), json!({ "type": kind, "description": meaning }))
        })
        .collect();
    properties.insert("file".into(), binary());
    json!({ "content": {
        "multipart/form-data": { "schema": { "type": "object", "properties": properties } },
        "*/*": { "schema": binary() },
    } })
}
