//! The events of an upload.

use serde_json::{Value, json};

use super::{answer, get, id, text};

pub(super) fn events() -> Value {
    let description = "A status body after changes, at most four times a second; ends when the \
                       upload has ended.";
    let event = json!({
        "type": "object",
        "properties": {
            "id": { "type": "string" },
            "data": { "type": "string", "contentMediaType": "application/json" },
        },
    });
    let seen = "The upload has ended, and `Last-Event-ID` is that of its last event.";
    let events = json!({
        "200": answer(description, "text/event-stream", event),
        "204": { "description": seen },
    });
    let last = json!({
        "name": "Last-Event-ID", "in": "header", "schema": text(),
        "description": "The id of the last event that was received.",
    });
    let mut parameters = id();
    parameters.as_array_mut().expect("a list of parameters").push(last);
    get("followUpload", "Follow an upload", parameters, events)
}
