//! A form of any bytes, in frames of any length, as the body of a POST from flow.js.
//!
//! The first line of the input is the lengths of the frames, each byte one; the rest is the body,
//! whose boundary is `flow`.
//!
//! * No answer says that the service failed, and a refusal leaves no trace.
//! * What is acknowledged stands in the body, between the head of a part and a delimiter, and was
//!   stored bit for bit.
//! * However the body is cut into frames, the answer is the same.

use http::Request;
use serde_json::Value;

use crate::service::{self, Reply, Service};

const BOUNDARY: &str = "flow";

/// Runs the input once in one frame, and once as it says.
pub fn check(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n');
    let (lens, body) = at.map_or((data, &[][..]), |at| (&data[..at], &data[at + 1..]));
    service::run(async {
        let whole = answer(body, &[]).await;
        let cut = answer(body, lens).await;
        assert_eq!(whole, cut, "in frames of {lens:?}");
    });
}

/// What a client learns, but for what differs from run to run.
async fn answer(body: &[u8], lens: &[u8]) -> (u16, Value) {
    let service = Service::start().await;
    let request = Request::post("/upload")
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
    let reply = service.send(service::in_frames(request, body, lens, false)).await;
    check_facts(&service, &reply, body).await;
    service.finish().await;
    (reply.status.as_u16(), lasting(&reply.json()))
}

async fn check_facts(service: &Service, reply: &Reply, body: &[u8]) {
    let facts = service.facts().await;
    if !matches!(reply.status.as_u16(), 200 | 201) {
        // A file that is not what its own request says of it is refused, and that is remembered.
        let remembered = usize::from(reply.json()["code"] == "checksum_mismatch");
        assert!(facts.uploads.len() <= remembered, "{reply:?}: {facts:?}");
        assert!(facts.creatives.is_empty(), "{reply:?}: {facts:?}");
        return;
    }
    let [(record, ranges)] = &facts.uploads.values().collect::<Vec<_>>()[..] else {
        panic!("not one upload: {facts:?}");
    };
    let status = reply.json();
    assert_eq!(status["upload"]["id"], record.id.to_string());
    assert_eq!(status["complete"], reply.status == 201, "{status}");
    // Of a complete upload the ranges may be forgotten: then it was one.
    let whole = record.identity.plan().piece(0).expect("a plan has a piece");
    let range = ranges.first().copied().unwrap_or(whole);
    assert!(ranges.len() <= 1, "one request, one range: {ranges:?}");
    let stored = service.stored(record, range).await;
    assert_eq!(status["upload"]["received_bytes"], stored.len());
    assert!(is_part(body, &stored, BOUNDARY), "{stored:?} was never sent");
}

/// Whether these bytes stand in the body between a head and a delimiter.
pub(crate) fn is_part(body: &[u8], content: &[u8], boundary: &str) -> bool {
    let expected = [b"\r\n\r\n", content, format!("\r\n--{boundary}").as_bytes()].concat();
    body.windows(expected.len()).any(|window| window == expected)
}

/// An answer without ids and times.
fn lasting(body: &Value) -> Value {
    let upload = &body["upload"];
    let mut lasting: Vec<Value> = ["state", "filename", "total_size", "received_bytes"]
        .iter()
        .chain(&["chunk_size", "total_chunks", "received_chunks", "error"])
        .map(|key| upload[key].clone())
        .collect();
    lasting.extend(["complete", "code", "detail"].map(|key| body[key].clone()));
    lasting.push(body["creative"]["sha256"].clone());
    lasting.push(body["creative"]["scheduled_at"].clone());
    Value::Array(lasting)
}
