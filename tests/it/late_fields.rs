//! Fields in any order: before the file, behind it, in the query; and files that say nothing of
//! their size.

use http::{Method, Request};

use crate::support::{Form, Reply, TestApp, counted, pattern};

const MIB: usize = 1 << 20;

/// The file that came of it, with its name.
#[track_caller]
fn arrived(app: &TestApp, reply: &Reply, name: &str, content: &[u8]) {
    let status = reply.assert_status(201).json();
    assert_eq!(status["creative"]["filename"], name);
    assert!(app.published(&status["creative"]) == content, "not what was sent");
    assert_eq!(status["upload"]["total_size"], content.len());
}

#[tokio::test]
async fn fields_may_come_in_any_order_before_the_file_and_behind_it() {
    let app = TestApp::start().await;
    let file = app.flow("hello world");
    let fields = file.fields(1);
    for cut in 0..=fields.len() {
        let file = file.clone().identifier(&format!("cut {cut}"));
        for number in [2, 1] {
            let mut fields = file.fields(number);
            fields.reverse();
            let form = Form::new().fields(&fields[..cut]).file("x", file.chunk(number));
            let reply = app.send(form.fields(&fields[cut..]).post("/upload")).await;
            if number == 1 {
                file.assert_completed(reply.assert_status(201));
            }
        }
    }
    let count = fields.len() + 1;
    app.assert_ends_with(count).await;
}

#[tokio::test]
async fn terms_behind_a_small_file_count() {
    let app = TestApp::start().await;
    let file = app.flow("hello world").chunk_size(100);
    let late = |name: &str, value: &str| {
        Form::new().fields(&file.fields(1)).file("x", "hello world").field(name, value)
    };
    for (name, value, code) in [
        ("scheduled_at", "2026-11-30", "invalid_scheduled_at"),
        ("chunk_sha256", &"0".repeat(64), "checksum_mismatch"),
        ("flowTotalSize", "12", "invalid_total_size"),
    ] {
        let reply = app.send(late(name, value).post("/upload")).await;
        reply.assert_problem(400, code);
    }
    let day = late("scheduled_at", "2026-12-24").post("/upload");
    let status = app.send(day).await.assert_status(201).json();
    assert_eq!(status["creative"]["scheduled_at"], "2026-12-24");
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn fields_behind_a_large_file_are_refused_and_nothing_of_it_is_kept() {
    let app = TestApp::start().await;
    let large = app.flow(pattern(300_000)).chunk_size(MIB);
    let whole = Form::new().field("flowIdentifier", "i").file("a.png", vec![7; 3 * MIB]);
    for form in [Form::new().fields(&large.fields(1)).file("x", large.content()), whole] {
        for (name, value) in [("scheduled_at", "2026-12-24"), ("flowFilename", "b.png")] {
            let reply = app.send(form.clone().field(name, value).post("/upload")).await;
            reply.assert_problem(400, "invalid_form");
        }
    }
    large.probe(1).await.assert_missing();
    assert_eq!(app.uploads().await.len(), 0);
    // What nobody knows says nothing.
    let form = Form::new().fields(&large.fields(1)).file("x", large.content()).field("csrf", "1");
    let reply = app.send(form.post("/upload")).await;
    large.assert_completed(reply.assert_status(201));
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn a_large_file_without_its_fields_is_refused() {
    let app = TestApp::start().await;
    let form = Form::new().file("a.png", vec![7; 3 * MIB]).field("flowIdentifier", "i");
    app.send(form.post("/upload")).await.assert_problem(400, "invalid_identifier");
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn a_field_twice_is_refused_unless_it_says_the_same() {
    let app = TestApp::start().await;
    let file = app.flow("hello world");
    for number in [1, 2] {
        let form = Form::new().fields(&file.fields(1)).field("flowChunkNumber", number.to_string());
        let before = form.clone().file("x", "hell").post("/upload");
        let behind = Form::new().fields(&file.fields(1)).file("x", "hell");
        let behind = behind.field("flowChunkNumber", number.to_string()).post("/upload");
        for request in [before, behind] {
            let reply = app.send(request).await;
            if number == 1 {
                reply.assert_status(200);
            } else {
                reply.assert_problem(400, "invalid_chunk_number");
            }
        }
    }
    let query = format!("{}&flowFilename=b.bin", file.query_string(2));
    let request = Request::put(format!("/upload?{query}")).body("o world".into());
    app.send(request.expect("a request")).await.assert_problem(400, "invalid_filename");
    file.probe(2).await.assert_missing();
}

#[tokio::test]
async fn the_form_wins_over_the_query() {
    let app = TestApp::start().await;
    let file = app.flow("hello world");
    let path = format!("/upload?{}&scheduled_at=2026-12-24", file.query_string(1));
    let form = Form::new().field("flowChunkNumber", "2").file("x", "o world");
    app.send(form.post(&path)).await.assert_status(200);
    file.probe(1).await.assert_missing();
    file.probe(2).await.assert_status(200);
    // With a form behind the file as well.
    let form = Form::new().file("x", "hell").field("scheduled_at", "2026-12-25");
    let status = app.send(form.post(&path)).await.assert_status(201).json();
    assert_eq!(status["creative"]["scheduled_at"], "2026-12-25");
}

#[tokio::test]
async fn a_file_that_says_nothing_of_its_size_is_whole() {
    let app = TestApp::start().await;
    // `curl -F flowIdentifier=a -F flowFilename=a.png -F file=@b.png`, and its variations.
    let form = Form::new().field("flowIdentifier", "1").field("flowFilename", "a.png");
    let reply = app.send(form.file("b.png", "one").post("/upload")).await;
    arrived(&app, &reply, "a.png", b"one");
    let form = Form::new().field("flowIdentifier", "2").file("b.png", "two");
    arrived(&app, &app.send(form.post("/upload")).await, "b.png", b"two");
    let form = Form::new().file("b.png", "three").field("flowIdentifier", "3");
    arrived(&app, &app.send(form.post("/upload")).await, "b.png", b"three");
    let form = Form::new().file("b.png", "").field("flowFilename", "4.png");
    arrived(&app, &app.send(form.post("/upload")).await, "4.png", b"");
    let form = Form::new().field("flowTotalChunks", "1").file("", "five");
    let reply = app.send(form.post("/upload?flowRelativePath=d/5.png")).await;
    arrived(&app, &reply, "5.png", b"five");
    for (method, name) in [(Method::POST, "6.png"), (Method::PUT, "7.png")] {
        let uri = format!("/upload?flowFilename={name}&flowChunkNumber=1");
        let request = Request::builder().method(method).uri(uri).body("raw".into());
        let reply = app.send(request.expect("a request")).await;
        arrived(&app, &reply, name, b"raw");
    }
    app.assert_ends_with(7).await;
}

#[tokio::test]
async fn a_large_file_that_says_nothing_of_its_size_is_whole() {
    let app = TestApp::start().await;
    for len in [MIB - 1, MIB, MIB + 1, 5 * MIB + 17] {
        let content = pattern(len);
        let form = Form::new().field("flowIdentifier", "form").file("a.bin", &content);
        let request = form.post("/upload");
        let reply = app.send_streaming(counted(request, 70_000).0).await;
        arrived(&app, &reply, "a.bin", &content);
        let request = Request::put("/upload?flowIdentifier=octet").body(content.clone().into());
        let request = request.expect("a request");
        let reply = app.send_streaming(counted(request, 70_000).0).await;
        arrived(&app, &reply, "octet", &content);
    }
    app.assert_ends_with(8).await;
}

#[tokio::test]
async fn the_name_of_the_part_names_a_file_that_no_field_names_however_large() {
    let app = TestApp::start().await;
    for len in [10, 300_000] {
        let file = app.flow(pattern(len)).chunk_size(MIB).identifier("i");
        let mut fields = file.fields(1);
        fields.retain(|(name, _)| !["flowFilename", "flowRelativePath"].contains(&&**name));
        let form = Form::new().fields(&fields).file("part.png", file.content());
        arrived(&app, &app.send(form.post("/upload")).await, "part.png", file.content());
    }
}

#[tokio::test]
async fn a_whole_file_sent_again_is_the_same_upload() {
    let app = TestApp::start().await;
    let form = Form::new().field("flowIdentifier", "1").file("b.png", "one");
    let first = app.send(form.clone().post("/upload")).await;
    let again = app.send(form.post("/upload")).await;
    assert_eq!(again.assert_status(200).json(), first.assert_status(201).json());
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn in_one_chunk_the_chunk_size_may_be_anything() {
    let app = TestApp::start().await;
    let sizes = ["Infinity", "NaN", "333.3333333333333", "1.7976931348623157e+308", "0", "-1"];
    for size in sizes {
        let mut fields = app.flow("hello world").name(size).chunk_size(100).fields(1);
        for (name, value) in &mut fields {
            match &**name {
                "flowChunkSize" => *value = size.into(),
                "flowCurrentChunkSize" => *value = "NaN".into(),
                _ => {}
            }
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        let probe = format!("/upload?{query}");
        app.get(&probe).await.assert_missing();
        let form = Form::new().fields(&fields).file("x", "hello world").post("/upload");
        arrived(&app, &app.send(form).await, size, b"hello world");
        app.get(&probe).await.assert_status(200);
        // In more chunks than one it must be a number of bytes.
        let (_, count) = fields.last_mut().expect("flowTotalChunks comes last");
        *count = "2".into();
        let form = Form::new().fields(&fields).file("x", "hello world").post("/upload");
        app.send(form).await.assert_problem(400, "invalid_chunk_size");
    }
    app.assert_ends_with(sizes.len()).await;
}
