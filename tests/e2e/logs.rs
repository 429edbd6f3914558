//! What is logged of requests: enough to find one, and nothing that is the client's alone.

use serde_json::Value;

use crate::support::{FlowFile, Setup, bytes, request};

/// A request of each sort, each with an id of its own and with words that nobody else uses.
fn logged(format: &str) -> Vec<String> {
    let setup = Setup::new().flag(format!("--log-format={format}")).flag("--log=trace");
    let server = setup.start();
    let file = FlowFile::new("geheim-秘密.png", bytes(1, 2000), 1000);
    file.upload(&server);
    let mut connection = server.connect();
    let (content_type, _) = file.form(1);
    let other = FlowFile::new(&file.name, bytes(2, 2000), 1000).form(1).1;
    let secrets = "X-Token: geheim\r\nCookie: a=geheim\r\nAuthorization: Bearer geheim";
    for (id, method, path, body, status) in [
        ("probe-1", "GET", file.address(1), Vec::new(), 200),
        ("probe-2", "GET", "/upload?flowFilename=geheim&flowChunkNumber=x".into(), Vec::new(), 400),
        ("send-1", "POST", "/upload".into(), other, 409),
        ("send-2", "POST", "/upload".into(), b"geheim".to_vec(), 400),
        ("look-1", "GET", "/creatives?from=geheim".into(), Vec::new(), 400),
        ("look-2", "GET", "/nowhere?geheim".into(), Vec::new(), 404),
    ] {
        let id = format!("X-Request-ID: {id}");
        let request = request(method, &path, &[&content_type, &id, secrets], &body);
        connection.ask(&request).expect("an answer").assert_status(status);
    }
    let (status, log) = server.terminated();
    assert!(status.success(), "{status}");
    log.whole()
}

#[track_caller]
fn assert_discreet(lines: &[String]) {
    for word in ["geheim", "秘密", "%E7%A7%98", "flowFilename=", "flowChunkNumber"] {
        let told: Vec<_> = lines.iter().filter(|line| line.contains(word)).collect();
        assert!(told.is_empty(), "{word:?} is in the log: {told:#?}");
    }
}

const IDS: [&str; 6] = ["probe-1", "probe-2", "send-1", "send-2", "look-1", "look-2"];

#[test]
fn text_for_people_has_the_id_of_the_request() {
    let lines = logged("text");
    assert_discreet(&lines);
    for id in IDS {
        let of_it = |line: &&String| line.contains(&format!("request_id=\"{id}\""));
        assert!(lines.iter().any(|line| of_it(&line) && line.contains("status=")), "{id}");
    }
    // No colours where nobody sees them.
    assert!(!lines.iter().any(|line| line.contains('\u{1b}')));
}

#[test]
fn json_for_machines_has_the_id_of_the_request() {
    let lines = logged("json");
    assert_discreet(&lines);
    let (plain, json): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line.starts_with("listening on http://"));
    assert_eq!(plain.len(), 1);
    let json: Vec<Value> =
        json.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for id in IDS {
        let answered =
            json.iter().filter(|line| line["span"]["request_id"] == id && line["status"].is_u64());
        assert_eq!(answered.count(), 1, "{id}");
    }
    let timed = |line: &Value| line["timestamp"].as_str().is_some_and(|it| it.ends_with('Z'));
    assert!(json.iter().all(|line| timed(line) && line["level"].is_string()));
}

#[test]
fn an_address_cannot_forge_a_line() {
    let server = Setup::new().flag("--log=debug").start();
    let path = "/x%0alistening%20on%1b[31m";
    server.connect().ask(&request("GET", path, &[], b"")).expect("an answer").assert_status(404);
    let (_, log) = server.terminated();
    let lines = log.whole();
    assert!(lines.iter().any(|line| line.contains(path)), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("listening on")).count(), 1);
}
