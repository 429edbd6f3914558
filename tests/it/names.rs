//! Names as they come: kept as metadata to the last byte, and never a path.

use http::{Method, Request, StatusCode};

use crate::support::{Form, TestApp, sha256_hex};

/// Every kind of name that has got somewhere it should not.
fn hostile(tag: &str) -> Vec<String> {
    let mut names: Vec<String> = [
        "../{}",
        "../../../../../../../../tmp/{}",
        "/{}",
        "/etc/../tmp/{}",
        "..\\..\\{}.exe",
        "C:\\{}",
        "\\\\host\\share\\{}",
        "{}\0.png",
        "\0",
        "{}/../../../x",
        "..",
        ".",
        "%2e%2e%2f{}",
        "{}\r\nX-Injected: 1\r\n\r\n",
        "a\"; filename=\"{}",
        "{};b='c'",
        "{}\u{202e}gnp.exe",
        "\u{feff}{}",
        "{}' OR 1=1; DROP TABLE uploads;--",
        "<script>alert('{}')</script>",
        "CON",
        "nul.png",
        "{}. . .",
        "   ",
        "~/.ssh/{}",
        "$(touch {})`touch {}`",
        "-rf {}",
        "a.tar.gz:{}",
        "{}.notanextension",
        "{}.p/ng",
    ]
    .iter()
    .map(|name| name.replace("{}", tag))
    .collect();
    names.push("😀".repeat(1024));
    names.push(format!("{}.png", "x".repeat(16 * 1024 - 4)));
    names.push("\u{7f}\u{1}\u{1b}[31m".into());
    names
}

#[tokio::test]
async fn a_hostile_name_is_metadata_and_has_no_effect_on_any_path() {
    let app = TestApp::builder().flag("--durability=relaxed").start().await;
    let tag = app.dir().file_name().expect("a name").to_str().expect("text").replace('.', "t");
    let names = hostile(&tag);
    for name in &names {
        // Everywhere where a name can stand, and the identifier, too.
        let file = app.flow("hello world").name(name).path(name).identifier(name);
        file.probe(1).await.assert_missing();
        file.octet(1).await.assert_status(200);
        let status = file.probe(1).await.assert_status(200).json();
        assert_eq!(status["upload"]["filename"], **name);
        let last = file.octet(2).await;
        let creative = file.assert_completed(last.assert_status(201));
        assert_eq!(creative["filename"], **name);
        let listed = app.creatives().await;
        assert!(listed.iter().any(|it| it["filename"] == **name), "{name:?}");
        let content = creative["creative_url"].as_str().expect("an address").to_owned();
        let content = app.get(&content).await;
        content.assert_status(200);
        assert_eq!(content.body, "hello world");
        assert!(content.header("x-injected").is_none());
        let shown = content.header("content-disposition").expect("it downloads");
        assert!(shown.is_ascii() && !shown.contains(['/', '\\', '\r', '\0']), "{shown}");
    }
    let outside = [app.dir().parent().expect("it is below one"), "/tmp".as_ref(), "/".as_ref()];
    for entry in outside.into_iter().flat_map(|dir| std::fs::read_dir(dir).expect("a folder")) {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(!name.contains(&tag), "{name}");
    }
    // Files of ours and of nobody else, whatever they are called: asserted of each of them.
    app.assert_ends_with(names.len()).await;
}

#[tokio::test]
async fn a_hostile_name_in_a_form_comes_out_as_it_went_in() {
    let app = TestApp::builder().flag("--durability=relaxed").start().await;
    let names = hostile("tag");
    let mut count = 0;
    for name in &names {
        let file = app.flow("hello world").name(name).path(name).identifier(name);
        // Control characters may stand in a field, but in the head of no part.
        let unheard_of = name.contains(|c: char| c.is_control() && !"\r\n".contains(c));
        let part_names = if unheard_of { vec!["blob"] } else { vec!["blob", name] };
        for (index, part_name) in part_names.into_iter().enumerate() {
            let file = file.clone().chunk_size(100 + index);
            let form = Form::new().fields(&file.fields(1)).file(part_name, file.content());
            let reply = app.send(form.post("/upload")).await;
            let creative = file.assert_completed(reply.assert_status(201));
            assert_eq!(creative["filename"], **name);
            count += 1;
        }
    }
    assert!(names.len() < count);
    app.assert_ends_with(count).await;
}

#[tokio::test]
async fn names_in_any_script_are_names() {
    let app = TestApp::start().await;
    let names = ["文件 图片.png", "Καλημέρα κόσμε.png", "ملف العربية.png", "файл.png"];
    for name in names {
        // flow.js deletes all that is not ASCII from its default identifier: these are all one.
        let file = app.flow("hello world").name(name).path(&format!("папка/{name}"));
        let creative = file.upload().await;
        assert_eq!(creative["filename"], name);
        let url = creative["creative_url"].as_str().expect("an address");
        let reply = app.get(url).await;
        let shown = reply.header("content-disposition").expect("a name");
        assert!(shown.contains("filename*=UTF-8''"), "{shown}");
    }
    app.assert_ends_with(names.len()).await;
}

#[tokio::test]
async fn composed_and_decomposed_are_two_names() {
    let app = TestApp::start().await;
    let composed = app.flow("composed").name("\u{e9}.txt").identifier("x");
    let decomposed = app.flow("decompos").name("e\u{301}.txt").identifier("x");
    composed.send([1]).await;
    decomposed.probe(1).await.assert_missing();
    decomposed.send([1]).await;
    assert_eq!(composed.upload().await["filename"], "\u{e9}.txt");
    assert_eq!(decomposed.upload().await["filename"], "e\u{301}.txt");
    app.assert_ends_with(2).await;
}

#[tokio::test]
async fn a_line_break_in_a_name_is_the_same_to_a_probe_and_to_a_form() {
    let app = TestApp::start().await;
    let in_query = app.flow("hello world").name("a\"\nb.txt");
    let in_form = app.flow("hello world").name("a\"\r\nb.txt");
    in_form.clone().identifier("11-a").send([1]).await;
    in_query.clone().identifier("11-a").probe(1).await.assert_status(200);
}

#[tokio::test]
async fn one_upload_may_call_its_file_differently_and_the_first_name_stays() {
    let app = TestApp::start().await;
    let first = app.flow("hello world").name("first.png").path("d/p").identifier("i");
    let second = app.flow("hello world").name("second.png").path("d/p").identifier("i");
    first.send([1]).await;
    let last = second.post(2).await.assert_status(201).json();
    assert_eq!(last["creative"]["filename"], "first.png");
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn a_name_that_is_too_long_is_refused_and_half_a_surrogate_is_not() {
    let app = TestApp::start().await;
    let long = "x".repeat(16 * 1024 + 1);
    let too_long = app.flow("abc").name(&long).path("p").identifier("i");
    too_long.post(1).await.assert_problem(400, "invalid_form");
    too_long.octet(1).await.assert_problem(400, "invalid_filename");
    too_long.probe(1).await.assert_problem(400, "invalid_filename");
    // What is no UTF-8 would make two names one; browsers never send it.
    let query = "flowFilename=a%FF&flowIdentifier=i";
    let request = Request::post(format!("/upload?{query}")).body("abc".into());
    app.send(request.expect("a request")).await.assert_problem(400, "invalid_filename");
    assert_eq!(app.uploads().await.len(), 0);
    let creative = app.flow("abc").name("a\u{fffd}.png").upload().await;
    assert_eq!(creative["filename"], "a\u{fffd}.png");
    assert_eq!(creative["sha256"], sha256_hex(b"abc"));
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn a_control_character_in_the_head_of_a_part_is_refused_with_what_to_do() {
    let app = TestApp::start().await;
    for control in ["\0", "\u{1}", "\u{1b}", "\u{7f}"] {
        let name = format!("a{control}b.png");
        let file = app.flow("abc").name(&name);
        let reply = file.post(1).await;
        let detail = reply.assert_problem(400, "invalid_form");
        assert!(detail.contains("control character"), "{detail}");
        file.probe(1).await.assert_missing();
        // As a field it is a name like any other.
        let elsewhere = Form::new().fields(&file.fields(1)).file("blob", "abc").post("/upload");
        let creative = file.assert_completed(&app.send(elsewhere).await);
        assert_eq!(creative["filename"], name);
    }
    app.assert_ends_with(4).await;
}

#[tokio::test]
async fn a_tab_in_the_name_of_a_part_is_kept_and_not_shown() {
    let app = TestApp::start().await;
    let form = Form::new().field("flowIdentifier", "i").file("a\tb.png", "abc").post("/upload");
    let creative = app.send(form).await.assert_status(201).json()["creative"].clone();
    assert_eq!(creative["filename"], "a\tb.png");
    let content = app.get(creative["creative_url"].as_str().expect("an address")).await;
    let shown = content.header("content-disposition").expect("a name");
    assert!(shown.ends_with("filename=\"ab.png\"; filename*=UTF-8''ab.png"), "{shown}");
    app.assert_ends_with(1).await;
}

/// What is short as it comes and long as it is written: six bytes of JSON for one, and nine of a
/// header for a character of three.
#[tokio::test]
async fn a_name_that_grows_when_it_is_written_stays_within_bounds() {
    let app = TestApp::builder().flag("--durability=relaxed").start().await;
    for (number, piece) in
        ["\u{1}", "\"", "\\", "%", "€", "😀", "e\u{301}\u{301}"].iter().enumerate()
    {
        let name = piece.repeat(16 * 1024 / piece.len());
        let file = app.flow("abc").name(&name).path("p").identifier(&number.to_string());
        let reply = file.octet(1).await;
        let creative = file.assert_completed(&reply);
        assert_eq!(creative["filename"], name.as_str());
        let content = app.get(creative["creative_url"].as_str().expect("an address")).await;
        let disposition = content.header("content-disposition").expect("a name").len();
        assert!(disposition < 4096, "{piece:?}: {disposition}");
        // Twice: of the upload, and of its creative.
        assert!(reply.body.len() < 2 * 6 * name.len() + 4096, "{piece:?}: {}", reply.body.len());
    }
    app.assert_ends_with(7).await;
}

/// A packed file is stored as it is. A body that is said to be packed is refused.
#[tokio::test]
async fn a_bomb_is_stored_as_it_came() {
    let app = TestApp::start().await;
    // A mebibyte of zeros, packed.
    let mut bomb =
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xed\xc1\x01\x0d\0\0\0\xc2\xa0\xf7Om\x0e7\xa0".to_vec();
    bomb.resize(1045, 0);
    let file = app.flow(bomb.clone()).chunk_size(2048).name("bomb.gz");
    // A client that asks to have it unpacked is refused.
    let mut packed = file.octet_request(Method::POST, 1, &bomb);
    packed.headers_mut().insert("content-encoding", "gzip".parse().expect("a header"));
    assert_eq!(app.send(packed).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let creative =
        file.assert_completed(&app.send(file.octet_request(Method::POST, 1, &bomb)).await);
    assert_eq!((&creative["size"], &creative["sha256"]), (&1045.into(), &sha256_hex(&bomb).into()));
    assert_eq!(app.published(&creative), bomb);
    let content = app.get(creative["creative_url"].as_str().expect("an address")).await;
    assert_eq!((content.header("content-encoding"), &content.body[..]), (None, &bomb[..]));
}
