//! `/openapi.json`: whole, well-formed, and true of real answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    sync::Arc,
};

use bytes::Bytes;
use flowstitch::{
    http::route::Route,
    store::{MemoryStore, StoreOp},
    upload::{CreativeId, UploadId},
};
use http::{Method, Request};
use serde_json::{Map, Value, json};

use crate::support::{Form, Outbox, Reply, TestApp, keys::SECRET};

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

async fn document(app: &TestApp) -> Value {
    app.get("/openapi.json").await.assert_status(200).json()
}

/// Every operation: path, method, and what is said of it.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("a path item");
        item.iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    all.collect()
}

/// Every value below this one, and itself.
fn everything(value: &Value) -> Vec<&Value> {
    let below: Vec<&Value> = match value {
        Value::Object(fields) => fields.values().flat_map(everything).collect(),
        Value::Array(items) => items.iter().flat_map(everything).collect(),
        _ => Vec::new(),
    };
    [value].into_iter().chain(below).collect()
}

/// Schemas that allow nothing that they do not name, so that what is not documented is found.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object) {
                fields.insert("additionalProperties".into(), false.into());
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// The document as a judge of answers.
struct Judge {
    document: Value,
    /// What was judged: method, path and status.
    seen: BTreeSet<(String, String, u16)>,
}

impl Judge {
    async fn of(app: &TestApp) -> Self {
        let mut document = document(app).await;
        close(&mut document["components"]["schemas"]);
        Self { document, seen: BTreeSet::new() }
    }

    /// Asserts that `value` is what this schema, or a reference to one, says.
    fn assert_valid(&self, schema: &Value, value: &Value, what: &str) {
        let schema = json!({ "allOf": [schema], "components": self.document["components"] });
        let validator = jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&schema)
            .expect("a schema");
        let errors: Vec<_> = validator.iter_errors(value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{what}: {errors:?} in {value}");
    }

    /// Asserts that this answer is one that the document has for this operation.
    fn assert_true(&mut self, method: &Method, path: &str, reply: &Reply) {
        let name = method.as_str().to_lowercase();
        let what = format!("{method} {path}: {}", reply.status);
        let answers = &self.document["paths"][path][&name]["responses"];
        let exact = &answers[reply.status.as_str()];
        let answer = if reply.status.is_server_error() { &answers["5XX"] } else { exact };
        assert!(answer.is_object(), "{what} is not in the document");
        match (reply.header("content-type"), answer["content"].as_object()) {
            (_, None) => assert!(reply.body.is_empty(), "{what}"),
            (Some(said), Some(content)) => {
                let essence = said.split(';').next().unwrap_or_default();
                let kind = content.get(essence).or(content.get("*/*"));
                let schema = &kind.unwrap_or_else(|| panic!("{what}: {said}"))["schema"];
                if essence.ends_with("json") {
                    self.assert_valid(schema, &reply.json(), &what);
                }
            }
            (None, Some(content)) => panic!("{what}: no type, but the document has {content:?}"),
        }
        self.seen.insert((path.into(), name, reply.status.as_u16()));
    }

    async fn ask(&mut self, app: &TestApp, method: Method, path: &str, address: &str) -> Reply {
        let reply = app.call(method.clone(), address).await;
        self.assert_true(&method, path, &reply);
        reply
    }

    async fn get(&mut self, app: &TestApp, path: &str, address: &str) -> Reply {
        self.ask(app, Method::GET, path, address).await
    }
}

#[tokio::test]
async fn the_document_is_openapi_3_1() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    assert_eq!(document["openapi"], "3.1.0");
    for name in ["title", "version"] {
        assert!(document["info"][name].as_str().is_some_and(|text| !text.is_empty()), "{name}");
    }
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let what = format!("{method} {path}");
        assert!(path.starts_with('/') && METHODS.contains(&method), "{what}");
        assert!(ids.insert(operation["operationId"].as_str().expect("an id")), "{what}");
        let answers = operation["responses"].as_object().expect("answers");
        assert!(answers.contains_key("5XX") && 1 < answers.len(), "{what}");
        for (status, answer) in answers {
            let is_status = status.len() == 3 && status.starts_with(['2', '3', '4']);
            assert!(status == "5XX" || is_status, "{what}: {status}");
            assert!(answer["description"].is_string(), "{what}: {status}");
        }
        assert_parameters(path, operation);
    }
}

/// Those in the path are the path's; all have a place and a type; none comes twice.
fn assert_parameters(path: &str, operation: &Value) {
    let mut in_path = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for parameter in operation["parameters"].as_array().expect("parameters") {
        let text = |name: &str| parameter[name].as_str().unwrap_or_default();
        assert!(seen.insert((text("in"), text("name"))), "{path}: {parameter}");
        assert!(["path", "query", "header"].contains(&text("in")), "{path}: {parameter}");
        assert!(parameter["schema"].is_object(), "{path}: {parameter}");
        if text("in") == "path" {
            assert_eq!(parameter["required"], true, "{path}: {parameter}");
            in_path.insert(text("name"));
        }
    }
    let braced = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or_default());
    assert_eq!(in_path, braced.collect(), "{path}");
}

#[tokio::test]
async fn every_schema_is_one_and_every_reference_leads_somewhere() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let mut used = BTreeSet::new();
    for value in everything(&document) {
        if let Some(reference) = value["$ref"].as_str() {
            let pointer = reference.strip_prefix('#').expect("a place in this document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
            used.insert(pointer.trim_start_matches("/components/schemas/"));
        }
        if value["schema"].is_object() {
            assert!(jsonschema::draft202012::meta::is_valid(&value["schema"]), "{value}");
        }
    }
    let known: BTreeSet<&str> = schemas.keys().map(String::as_str).collect();
    assert_eq!(used, known, "no schema is left over");
    for (name, schema) in schemas {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}");
    }
}

/// Every route, one after the other: one that is not in this chain does not compile.
fn after(route: Route) -> Option<Route> {
    Some(match route {
        Route::Flow => Route::UploadCreative,
        Route::UploadCreative => Route::Uploads,
        Route::Uploads => Route::Lookup,
        Route::Lookup => Route::Upload(UploadId::new()),
        Route::Upload(_) => Route::Events(UploadId::new()),
        Route::Events(_) => Route::Scheduled,
        Route::Scheduled => Route::Creatives,
        Route::Creatives => Route::Creative(CreativeId::new()),
        Route::Creative(_) => Route::Content(CreativeId::new()),
        Route::Content(_) => Route::Tickets,
        Route::Tickets => Route::Limits,
        Route::Limits => Route::Auth,
        Route::Auth => Route::Code,
        Route::Code => Route::Session,
        Route::Session => Route::Health,
        Route::Health => Route::Ready,
        Route::Ready => Route::Metrics,
        Route::Metrics => Route::OpenApi,
        Route::OpenApi => Route::Asset,
        Route::Asset => return None,
    })
}

#[tokio::test]
async fn the_document_has_every_route_and_every_method_and_no_other() {
    let app = TestApp::start().await;
    let document = document(&app).await;
    let mut served: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for route in std::iter::successors(Some(Route::Flow), |route| after(*route)) {
        let methods = route.methods().iter().map(|method| method.as_str().to_lowercase());
        // A HEAD goes with every GET; the description says so.
        let methods: BTreeSet<String> = methods.filter(|method| method != "head").collect();
        if route == Route::Asset {
            served.insert("/", methods.clone());
            served.insert("/static/{name}", methods);
        } else {
            served.insert(route.name(), methods);
        }
    }
    let mut said: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (path, method, _) in operations(&document) {
        said.entry(path).or_default().insert(method.to_owned());
    }
    assert_eq!(said, served);
}

#[tokio::test]
async fn every_real_answer_is_as_the_document_says() {
    let app = TestApp::start().await;
    let mut judge = Judge::of(&app).await;
    judge_upload(&app, &mut judge).await;
    judge_creatives(&app, &mut judge).await;
    judge_slow_creative(&mut judge).await;
    judge_tickets(&mut judge).await;
    judge_sign_in(&mut judge).await;
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/"] {
        judge.get(&app, path, path).await.assert_status(200);
    }
    judge.get(&app, "/static/{name}", "/static/app.js").await.assert_status(200);
    judge.get(&app, "/static/{name}", "/static/nothing").await.assert_status(404);

    let mut not_seen = Vec::new();
    for (path, method, operation) in operations(&judge.document) {
        for status in operation["responses"].as_object().expect("answers").keys() {
            // Each success is seen here; the problems that are not have tests of their own.
            let Some(status) = status.parse().ok().filter(|status| *status < 400) else { continue };
            if !judge.seen.contains(&(path.into(), method.into(), status)) {
                not_seen.push(format!("{method} {path} {status}"));
            }
        }
    }
    assert_eq!(not_seen, Vec::<String>::new());
}

/// A picture whose stitch fails at first, and so takes longer than its client waits.
async fn judge_slow_creative(judge: &mut Judge) {
    let store = Arc::new(MemoryStore::new());
    let app = TestApp::builder().store(store.clone()).flag("--completion-wait=0").start().await;
    store.fail_next(StoreOp::Publish, ErrorKind::Other);
    let reply = app.send(picture("2026-12-02")).await;
    judge.assert_true(&Method::POST, "/upload-creative", reply.assert_status(202));
    assert_eq!(reply.json()["upload"]["state"], "stitching");
}

/// Where there are keys there are credentials.
async fn judge_tickets(judge: &mut Judge) {
    let app = TestApp::builder().file("--ticket-key", SECRET).start().await;
    let admin = app.token("admin", "admin").await;
    for (request, status) in [(json!({ "sub": "ann", "uploads": 1 }), 201), (json!({}), 400)] {
        let reply = app.post_json(&admin, "/tickets", &request).await;
        judge.assert_true(&Method::POST, "/tickets", reply.assert_status(status));
    }
}

/// Signing in, and out.
async fn judge_sign_in(judge: &mut Judge) {
    let outbox = Arc::new(Outbox::default());
    let app = TestApp::builder().mailer(outbox.clone()).start().await;
    app.control("/users/add?name=ann&email=ann%40example.com").await.assert_status(200);
    judge.get(&app, "/auth", "/auth").await.assert_status(200);
    let (email, path) = ("ann@example.com", "/auth/session");
    let asked = app.tell("/auth/otp", &json!({ "email": email })).await;
    judge.assert_true(&Method::POST, "/auth/otp", asked.assert_status(202));
    for (code, status) in [(outbox.code().await, 201), ("000000".into(), 401)] {
        let reply = app.tell(path, &json!({ "email": email, "code": code })).await;
        judge.assert_true(&Method::POST, path, reply.assert_status(status));
        if status == 201 {
            let token = reply.json()["token"].as_str().expect("a token").to_owned();
            for (method, status) in [(Method::POST, 200), (Method::DELETE, 204)] {
                let reply = app.call_as(&token, method.clone(), path).await;
                judge.assert_true(&method, path, reply.assert_status(status));
            }
        }
    }
}

fn picture(day: &str) -> Request<Bytes> {
    let form = Form::new().field("scheduled_at", day).file("a.png", b"\x89PNG\r\n\x1a\n");
    form.post("/upload-creative")
}

/// `/upload` and what is below `/uploads`.
async fn judge_upload(app: &TestApp, judge: &mut Judge) {
    let file = app.flow("0123456789").force_chunk_size();
    let probe = format!("/upload?{}", file.query_string(1));
    judge.get(app, "/upload", &probe).await.assert_status(204);
    judge.get(app, "/upload", "/upload").await.assert_status(400);
    let mut last = Value::Null;
    for (method, file) in [(Method::POST, &file), (Method::PUT, &file.clone().name("b.bin"))] {
        let send = async |number, bytes: Option<&[u8]>| {
            let form = Form::new().fields(&file.fields(number));
            let form = if let Some(bytes) = bytes { form.file("a.bin", bytes) } else { form };
            app.send(form.request(method.clone(), "/upload")).await
        };
        judge.assert_true(&method, "/upload", send(1, None).await.assert_status(204));
        for (number, status) in [(1, 200), (2, 200), (3, 201)] {
            let reply = send(number, Some(file.chunk(number))).await;
            judge.assert_true(&method, "/upload", reply.assert_status(status));
            last = reply.json();
        }
        let reply = send(9, Some(b"9")).await;
        judge.assert_true(&method, "/upload", reply.assert_status(400));
    }
    judge.get(app, "/upload", &probe).await.assert_status(200);

    let id = last["upload"]["id"].as_str().expect("an id");
    let path = "/uploads/{id}";
    judge.get(app, path, &format!("/uploads/{id}")).await.assert_status(200);
    let events = format!("/uploads/{id}/events");
    judge.get(app, "/uploads/{id}/events", &events).await.assert_status(200);
    let seen = Request::builder().uri(&events).header("last-event-id", "complete-3");
    let seen = app.send(seen.body(Bytes::new()).expect("a request")).await;
    judge.assert_true(&Method::GET, "/uploads/{id}/events", seen.assert_status(204));
    judge.get(app, "/uploads/{id}/events", "/uploads/x/events").await.assert_status(404);
    let complete = judge.ask(app, Method::DELETE, path, &format!("/uploads/{id}")).await;
    complete.assert_status(409);
    let running = app.flow("0123456789").name("c.bin").send([1]).await.json();
    let id = running["upload"]["id"].as_str().expect("an id");
    judge.get(app, "/uploads", "/uploads?limit=1").await.assert_status(200);
    judge.ask(app, Method::DELETE, path, &format!("/uploads/{id}")).await.assert_status(204);
    judge.get(app, "/uploads", "/uploads").await.assert_status(200);
    judge.get(app, "/uploads", "/uploads?limit=0").await.assert_status(400);
    let lookup = format!("/uploads/lookup?{}", file.query_string(1));
    judge.get(app, "/uploads/lookup", &lookup).await.assert_status(200);
    judge.get(app, "/uploads/lookup", "/uploads/lookup").await.assert_status(400);
}

/// `/upload-creative`, and what is below `/creatives`.
async fn judge_creatives(app: &TestApp, judge: &mut Judge) {
    for (day, status) in [("2026-12-02", 201), ("2026-11-30", 400)] {
        let reply = app.send(picture(day)).await;
        judge.assert_true(&Method::POST, "/upload-creative", reply.assert_status(status));
    }
    judge.get(app, "/creatives", "/creatives?limit=1").await.assert_status(200);
    judge.get(app, "/creatives", "/creatives").await.assert_status(200);
    judge.get(app, "/creatives", "/creatives?from=x").await.assert_status(400);
    judge.get(app, "/limits", "/limits").await.assert_status(200);
    judge.get(app, "/scheduled", "/scheduled").await.assert_status(200);
    let creative = app.creatives().await.remove(0);
    let address = format!("/creatives/{}", creative["id"].as_str().expect("an id"));
    let path = "/creatives/{id}";
    judge.get(app, path, &address).await.assert_status(200);
    for (body, status) in [(r#"{"scheduled_at": "2026-12-03"}"#, 200), ("{}", 400)] {
        let reply = app.patch(&address, body).await;
        judge.assert_true(&Method::PATCH, path, reply.assert_status(status));
    }
    let content = format!("{address}/content");
    for (path, address) in [
        ("/creatives/{id}/content", content.as_str()),
        ("/", "/"),
        ("/static/{name}", "/static/app.js"),
    ] {
        let tag = app.get(address).await.header("etag").expect("a tag").to_owned();
        for (line, status) in [
            (("range", "bytes=0-3"), 206),
            (("if-none-match", tag.as_str()), 304),
            (("accept", "*/*"), 200),
            (("range", "bytes=999999999-"), 416),
        ] {
            let reply = app.ask(Method::GET, address, &[line]).await;
            judge.assert_true(&Method::GET, path, reply.assert_status(status));
        }
    }
    judge.ask(app, Method::DELETE, path, &address).await.assert_status(204);
    judge.ask(app, Method::DELETE, path, &address).await.assert_status(404);
    judge.get(app, path, &address).await.assert_status(404);
}

#[tokio::test]
async fn the_examples_of_the_interface_are_as_the_document_says() {
    let app = TestApp::start().await;
    let judge = Judge::of(&app).await;
    let (upload, creative) = (UploadId::new(), CreativeId::new());
    let creative = json!({
        "id": creative, "user_id": "anonymous",
        "creative_url": format!("/creatives/{creative}/content"), "filename": "a.png", "size": 1,
        "sha256": "0".repeat(64), "blake3": null, "content_type": "image/png",
        "scheduled_at": "2026-12-01", "created_at": "2026-12-01T12:00:00Z", "upload_id": upload,
    });
    let mut status = json!({
        "upload": {
            "id": upload, "state": "receiving", "filename": "a.png", "total_size": 10_485_760,
            "received_bytes": 3_145_728, "chunk_size": 1_048_576, "total_chunks": 10,
            "missing_chunks": [[4, 10]], "created_at": "2026-12-01T12:00:00Z",
            "expires_at": "2026-12-02T12:00:00Z", "error": null,
        },
        "complete": false,
        "creative": null,
    });
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    for state in ["receiving", "stitching", "complete", "failed", "cancelled", "expired"] {
        status["upload"]["state"] = state.into();
        judge.assert_valid(&reference("Status"), &status, state);
    }
    judge.assert_valid(&reference("CreativeBody"), &creative, "the creative");
    status["creative"] = creative;
    judge.assert_valid(&reference("Status"), &status, "complete");

    // And the judge is not asleep.
    let schema =
        json!({ "allOf": [reference("Status")], "components": judge.document["components"] });
    let is_valid = |status: &Value| jsonschema::is_valid(&schema, status);
    assert!(is_valid(&status));
    let without = |pointer: &str, name: &str| {
        let mut less = status.clone();
        let fields: Option<&mut Map<_, _>> =
            less.pointer_mut(pointer).and_then(Value::as_object_mut);
        fields.expect("an object").remove(name);
        less
    };
    for (pointer, name) in [("", "creative"), ("/upload", "error"), ("/creative", "sha256")] {
        assert!(!is_valid(&without(pointer, name)), "{name} is always there");
    }
    status["upload"]["state"] = "done".into();
    assert!(!is_valid(&status));
    status["upload"]["state"] = "complete".into();
    status["upload"]["surprise"] = 1.into();
    assert!(!is_valid(&status));
}
