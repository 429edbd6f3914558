//! Hostile values in every place of every operation, by every kind of caller: never a fault of
//! ours, never an answer that `/openapi.json` does not have, and nothing left of a refusal.
//!
//! Operations, and the places where a value can stand, are read from the document: what is added to
//! the service is tested here without another word.

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};

use bytes::Bytes;
use flowstitch::{
    catalog::{AuditQuery, Catalog, MemoryCatalog},
    http::gate::Peer,
    store::MemoryStore,
    upload::Deed,
};
use http::{HeaderValue, Method, Request};
use serde_json::{Value, json};

use crate::support::{
    Form, Machine, Reply, TestApp,
    keys::{SECRET, Signer, claims},
};

/// Headers that the service reads, documented or not.
const HEADERS: [&str; 21] = [
    "accept",
    "authorization",
    "content-digest",
    "content-encoding",
    "content-md5",
    "content-range",
    "content-type",
    "expect",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-event-id",
    "origin",
    "range",
    "repr-digest",
    "sec-fetch-site",
    "trailer",
    "upload-complete",
    "x-request-id",
];

/// Values that got somewhere, somewhere.
fn values() -> Vec<Vec<u8>> {
    let texts = [
        "",
        " ",
        "\0",
        "\u{7f}\u{1}\u{1b}[31m",
        "x\r\nX-Injected: 1\r\n\r\nGET /metrics HTTP/1.1",
        "../../../../../etc/passwd",
        "..\\..\\x",
        "%00%0a%ff",
        "' OR 1=1; DROP TABLE uploads;--",
        "-1",
        "9223372036854775808",
        "1e999",
        "NaN",
        "\u{202e}gnp.exe",
        "{{7*7}}${7*7}",
        "bytes=0-0,1-1,99999999999999999999-",
        "multipart/form-data; boundary=",
        "Bearer x",
    ];
    let mut values: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    values.push(b"\xff\xfe\xc0\xaf".to_vec());
    values.push("😀".repeat(3000).into_bytes());
    values.push(vec![b'9'; 30_000]);
    values.push(vec![b'['; 100_000]);
    values
}

/// A place of a request where a value can stand.
#[derive(Debug, Clone)]
enum Place {
    Path,
    Query(String),
    Header(String),
    Field(String),
    /// Of a JSON object.
    Property(String),
    /// The whole of a body of this type.
    Body(String),
}

/// One operation of the document.
#[derive(Debug, Clone)]
struct Operation {
    method: Method,
    path: String,
    statuses: Vec<String>,
    /// What stands in them when nothing is hostile.
    places: Vec<Place>,
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            let statuses = operation["responses"].as_object().expect("answers");
            all.push(Operation {
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                statuses: statuses.keys().cloned().collect(),
                places: places(document, operation),
            });
        }
    }
    all
}

fn places(document: &Value, operation: &Value) -> Vec<Place> {
    let mut places: Vec<Place> = HEADERS.map(|name| Place::Header(name.into())).into();
    for parameter in operation["parameters"].as_array().expect("parameters") {
        let name = parameter["name"].as_str().expect("a name").to_owned();
        match parameter["in"].as_str() {
            Some("path") => places.push(Place::Path),
            Some("query") => places.push(Place::Query(name)),
            Some("header") => places.push(Place::Header(name)),
            other => panic!("nobody knows how to send {other:?}"),
        }
    }
    for (kind, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        places.push(Place::Body(kind.replace("*/*", "application/octet-stream")));
        let schema = &content["schema"];
        let reference = schema["$ref"].as_str().map(|it| it.trim_start_matches('#'));
        let schema = reference.map_or(schema, |it| document.pointer(it).expect("it is there"));
        for name in schema["properties"].as_object().into_iter().flat_map(|it| it.keys()) {
            let is_form = kind == "multipart/form-data";
            let place = if is_form { Place::Field } else { Place::Property };
            places.push(place(name.clone()));
        }
    }
    places
}

/// What is right in a place of this name.
fn good(name: &str) -> &'static str {
    match name {
        "flowChunkNumber" | "flowTotalChunks" => "1",
        "flowChunkSize" | "flowCurrentChunkSize" | "flowTotalSize" => "4",
        "flowIdentifier" => "4-apng",
        "flowFilename" | "flowRelativePath" | "file" => "a.png",
        "scheduled_at" => "2026-12-24",
        "limit" => "5",
        _ => "",
    }
}

/// A request that is right but for one value in one place; nothing if no client could send it.
fn request(operation: &Operation, id: &str, place: &Place, value: &[u8]) -> Option<Request<Bytes>> {
    let mut path = operation.path.replace("{id}", id).replace("{name}", "app.js");
    if matches!(place, Place::Path) {
        path = operation.path.replace("{id}", &percent(value)).replace("{name}", &percent(value));
    }
    let is_body = |place: &&Place| matches!(place, Place::Field(_) | Place::Property(_));
    let with_body = operation.places.iter().find(is_body);
    let mut query = Vec::new();
    for (name, here) in operation.places.iter().filter_map(|it| match it {
        Place::Query(name) => Some((name, matches!(place, Place::Query(other) if other == name))),
        _ => None,
    }) {
        let right = good(name);
        // A form says all of it itself.
        if with_body.is_none() && !right.is_empty() {
            query.push(format!("{name}={right}"));
        }
        if here {
            query.retain(|said| is_beside(value) || !said.starts_with(name.as_str()));
            query.push(format!("{name}={}", percent(value)));
        }
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    // The library of these tests makes no longer one; the server's parser refuses it by itself.
    let path = http::Uri::try_from(path).ok()?.to_string();
    let mut request = match (place, with_body) {
        (Place::Body(kind), _) => Request::builder()
            .method(&operation.method)
            .uri(path)
            .header("content-type", kind)
            .body(Bytes::copy_from_slice(value))
            .ok()?,
        (_, Some(Place::Field(_))) => form(operation, place, value, &path),
        (_, Some(_)) => Request::builder()
            .method(&operation.method)
            .uri(path)
            .header("content-type", "application/json")
            .body(document(operation, place, value).into())
            .ok()?,
        (_, None) => {
            let request = Request::builder().method(&operation.method).uri(path);
            request.body(Bytes::new()).ok()?
        }
    };
    if let Place::Header(name) = place {
        let value = HeaderValue::from_bytes(value).ok()?;
        let name: http::HeaderName = name.to_ascii_lowercase().parse().expect("a name");
        // Beside the one that is there.
        request.headers_mut().append(name, value);
    }
    Some(request)
}

/// Half of the values stand beside what is right, as a field that comes twice; half instead of it.
fn is_beside(value: &[u8]) -> bool {
    value.len().is_multiple_of(2)
}

fn percent(value: &[u8]) -> String {
    form_urlencoded::byte_serialize(value).collect::<String>().replace('+', "%20")
}

fn form(operation: &Operation, place: &Place, value: &[u8], path: &str) -> Request<Bytes> {
    let mut form = Form::new();
    for name in operation.places.iter().filter_map(|it| match it {
        Place::Field(name) if name != "file" => Some(name),
        _ => None,
    }) {
        let here = matches!(place, Place::Field(other) if other == name);
        if !good(name).is_empty() && (!here || is_beside(value)) {
            form = form.field(name, good(name));
        }
        if here {
            form = form.field(name, value);
        }
    }
    let is_file = matches!(place, Place::Field(name) if name == "file");
    let name = if is_file { String::from_utf8_lossy(value).into_owned() } else { "a.png".into() };
    form.file(&name, b"\x89PNG").request(operation.method.clone(), path)
}

/// A JSON object; also one that has a name twice.
fn document(operation: &Operation, place: &Place, value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut members = Vec::new();
    for name in operation.places.iter().filter_map(|it| match it {
        Place::Property(name) => Some(name),
        _ => None,
    }) {
        let right = if name == "sub" { "bob" } else { good(name) };
        if !right.is_empty() {
            members.push(format!("{}:{}", json!(name), json!(right)));
        }
        if matches!(place, Place::Property(other) if other == name) {
            members.retain(|said| is_beside(value) || !said.starts_with(&json!(name).to_string()));
            members.push(format!("{}:{}", json!(name), json!(text)));
        }
    }
    format!("{{{}}}", members.join(","))
}

/// A service with an upload and a creative of ann's, and what is remembered of it.
struct Stage {
    app: TestApp,
    facts: MemoryCatalog,
    operations: Vec<Operation>,
    upload: String,
    creative: String,
}

impl Stage {
    async fn set(open: bool) -> Self {
        let facts = MemoryCatalog::new();
        let catalog = Arc::new(facts.reopened());
        let builder = TestApp::builder().store(Arc::new(MemoryStore::new())).catalog(catalog);
        let builder = builder.file("--ticket-key", SECRET);
        let builder = if open { builder.flag("--allow-anonymous") } else { builder };
        let app = builder.start().await;
        let ann = app.token("ann", "upload,read").await;
        let file = app.flow("hello world").name("done.bin").by(&ann);
        file.send(1..file.count()).await;
        let creative = file.post(file.count()).await.assert_status(201).json()["creative"].clone();
        let id = |name: &str| creative[name].as_str().expect("an id").to_owned();
        let document = app.get("/openapi.json").await.json();
        let operations = operations(&document);
        Self { upload: id("upload_id"), creative: id("id"), app, facts, operations }
    }

    /// Sends everything, as whoever has this credential. Gives which operations did something.
    async fn attack(&self, bearer: Option<&str>) -> BTreeSet<String> {
        let mut done = BTreeSet::new();
        let mut count = 0_u32;
        for operation in &self.operations {
            let id = if operation.method == Method::DELETE {
                // What is there is to be there for the next one.
                flowstitch::upload::UploadId::new().to_string()
            } else if operation.path.starts_with("/uploads") {
                self.upload.clone()
            } else {
                self.creative.clone()
            };
            for place in &operation.places {
                for value in values() {
                    let Some(mut request) = request(operation, &id, place, &value) else {
                        continue;
                    };
                    if let Some(bearer) = bearer {
                        let bearer = format!("Bearer {bearer}").parse().expect("a header");
                        request.headers_mut().append("authorization", bearer);
                    }
                    // From everywhere, so that those who are refused do not wait ever longer.
                    count += 1;
                    let peer = Peer(Ipv4Addr::from_bits((10 << 24) + count).into());
                    request.extensions_mut().insert(peer);
                    let reply = self.app.send(request).await;
                    judge(operation, place, &value, &reply);
                    if reply.status.is_success() {
                        done.insert(format!("{} {}", operation.method, operation.path));
                    }
                }
            }
        }
        assert!(3000 < count, "the document was read: {count}");
        done
    }

    /// What the trail says was done since the stage was set, but for what was asked of the tools.
    async fn deeds(&self) -> Vec<Deed> {
        let query = AuditQuery { since: None, principal: None, upload: None, limit: usize::MAX };
        let lines = self.facts.trail().entries(&query).await.expect("the trail");
        let lines = lines.into_iter().filter(|line| line.means != "operator");
        let mut deeds: Vec<Deed> = lines.rev().map(|line| line.deed).collect();
        deeds.drain(..2);
        deeds
    }
}

/// A path with a value in it may be another operation's, or nobody's.
fn judge(operation: &Operation, place: &Place, value: &[u8], reply: &Reply) {
    let status = reply.status.as_u16();
    let what = || {
        let start = String::from_utf8_lossy(&value[..value.len().min(40)]).into_owned();
        format!("{} {} {place:?} {start:?}: {reply:?}", operation.method, operation.path)
    };
    assert!(status < 500, "{}", what());
    let is_documented = operation.statuses.contains(&status.to_string());
    let elsewhere = matches!(place, Place::Path) && matches!(status, 404 | 405);
    assert!(is_documented || elsewhere, "not in the document: {}", what());
    assert!(!reply.headers.contains_key("x-injected"), "{}", what());
    if 400 <= status && !reply.body.is_empty() {
        let code = reply.json()["code"].as_str().expect("a code").to_owned();
        reply.assert_problem(status, &code);
    }
}

/// Who may upload nothing leaves nothing; whoever may leaves what the trail says, and no more.
async fn check(stage: &Stage, may_upload: bool) {
    let deeds = stage.deeds().await;
    if !may_upload {
        let issued = deeds.iter().filter(|deed| **deed != Deed::TicketIssued).count();
        assert_eq!(issued, 0, "{deeds:?}");
    }
    let opened = deeds.iter().filter(|deed| **deed == Deed::UploadOpened).count();
    let counts = stage.facts.count_uploads().await.expect("counts");
    let uploads: u64 = counts.iter().map(|(_, count)| count).sum();
    assert_eq!(uploads, 1 + opened as u64);
}

/// Gives which operations did something.
async fn attack_with_scopes(scopes: &str, may_upload: bool) -> BTreeSet<String> {
    let stage = Stage::set(false).await;
    let token = stage.app.token("ann", scopes).await;
    let done = stage.attack(Some(&token)).await;
    check(&stage, may_upload).await;
    done
}

#[test]
fn nobody() {
    Machine::paused(async {
        let stage = Stage::set(false).await;
        stage.attack(None).await;
        check(&stage, false).await;
    });
}

#[test]
fn the_public_where_it_may_come() {
    Machine::paused(async {
        let stage = Stage::set(true).await;
        stage.attack(None).await;
        check(&stage, true).await;
    });
}

#[test]
fn a_token_to_upload() {
    Machine::paused(attack_with_scopes("upload", true));
}

#[test]
fn a_token_to_read() {
    Machine::paused(attack_with_scopes("read", false));
}

#[test]
fn a_token_of_an_administrator() {
    Machine::paused(attack_with_scopes("admin", false));
}

#[test]
fn a_token_for_everything() {
    let done = Machine::paused(attack_with_scopes("upload,read,admin", true));
    let expected =
        ["GET /", "POST /upload", "PATCH /creatives/{id}", "POST /tickets", "GET /metrics"];
    for operation in expected {
        assert!(done.contains(operation), "{operation} was not reached: {done:?}");
    }
}

#[test]
fn a_ticket() {
    Machine::paused(async {
        let stage = Stage::set(false).await;
        let ticket = Signer::hs256(SECRET).sign(&claims(&json!({})));
        stage.attack(Some(&ticket)).await;
        check(&stage, true).await;
    });
}

#[test]
fn a_token_of_a_disabled_user() {
    Machine::paused(async {
        let stage = Stage::set(false).await;
        let token = stage.app.token("ann", "upload,read,admin").await;
        stage.app.control("/users/disable?name=ann").await.assert_status(200);
        stage.attack(Some(&token)).await;
        check(&stage, false).await;
    });
}
