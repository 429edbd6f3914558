//! `GET /creatives/{id}/content`: the bytes of what was published, and what browsers are told.

use flowstitch::upload::limits::READ_LEN_MAX;
use http::Method;

use crate::support::{Reply, TestApp, sha256_hex};

const TEN: &str = "0123456789";

async fn publish(app: &TestApp, name: &str, content: impl Into<Vec<u8>>) -> String {
    let creative = app.flow(content).name(name).chunk_size(1 << 20).upload().await;
    creative["creative_url"].as_str().expect("an address").to_owned()
}

async fn ask(app: &TestApp, url: &str, lines: &[(&str, &str)]) -> Reply {
    app.ask(Method::GET, url, lines).await
}

/// Bytes that do not repeat where slices begin.
fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i * i / 7 + i) % 251).expect("small")).collect()
}

/// No scripts; but its own origin, which a player needs for the rest of its own film.
const SANDBOX: &str = "; sandbox allow-same-origin";

#[tokio::test]
async fn a_file_comes_back_whole_and_is_described() {
    let app = TestApp::start().await;
    let url = publish(&app, "a.txt", TEN).await;
    let reply = app.get(&url).await;
    assert_eq!(reply.assert_status(200).body, TEN);
    let etag = format!("\"{}\"", sha256_hex(TEN.as_bytes()));
    for (name, value) in [
        ("content-length", "10"),
        ("content-type", "text/plain"),
        ("etag", &etag),
        ("last-modified", "Tue, 01 Dec 2026 12:00:00 GMT"),
        ("accept-ranges", "bytes"),
        ("cache-control", "private, no-cache"),
        ("content-disposition", "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt"),
        ("x-content-type-options", "nosniff"),
        ("content-range", ""),
    ] {
        assert_eq!(reply.header(name).unwrap_or_default(), value, "{name}");
    }
    let policy = reply.header("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'") && policy.ends_with(SANDBOX), "{policy}");
}

#[tokio::test]
async fn a_part_can_be_had() {
    let app = TestApp::start().await;
    let url = publish(&app, "a.bin", TEN).await;
    for (range, said, bytes) in [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=2-5", "bytes 2-5/10", "2345"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=7-99", "bytes 7-9/10", "789"),
        ("bytes=-4", "bytes 6-9/10", "6789"),
        ("bytes=-99", "bytes 0-9/10", TEN),
    ] {
        let reply = ask(&app, &url, &[("range", range)]).await;
        assert_eq!(reply.assert_status(206).body, bytes, "{range}");
        assert_eq!(reply.header("content-range"), Some(said));
        assert_eq!(reply.header("content-length"), Some(bytes.len().to_string().as_str()));
        assert!(reply.header("content-disposition").is_some(), "{range}");
    }
    for ignored in ["bytes=0-1,4-5", "bytes=5-2", "bytes=x", "lines=1-2"] {
        let reply = ask(&app, &url, &[("range", ignored)]).await;
        assert_eq!(reply.assert_status(200).body, TEN, "{ignored}");
    }
}

#[tokio::test]
async fn a_range_past_the_end_is_refused_with_the_length() {
    let app = TestApp::start().await;
    let url = publish(&app, "a.png", TEN).await;
    for range in ["bytes=10-", "bytes=99-100", "bytes=-0"] {
        let reply = ask(&app, &url, &[("range", range)]).await;
        reply.assert_problem(416, "range_not_satisfiable");
        assert_eq!(reply.header("content-range"), Some("bytes */10"));
        assert_eq!(reply.header("content-disposition"), None);
    }
}

#[tokio::test]
async fn a_large_file_is_sent_in_slices_without_a_seam() {
    const SLICE: usize = READ_LEN_MAX;
    let app = TestApp::start().await;
    let content = noise(2 * SLICE + 17);
    let url = publish(&app, "a.bin", content.clone()).await;
    assert!(app.get(&url).await.body == content);
    for (first, last) in
        [(SLICE - 1, SLICE), (1, 2 * SLICE), (0, SLICE - 1), (SLICE, 2 * SLICE + 16)]
    {
        let reply = ask(&app, &url, &[("range", &format!("bytes={first}-{last}"))]).await;
        assert!(reply.assert_status(206).body == content[first..=last], "{first}-{last}");
    }
}

#[tokio::test]
async fn a_file_of_no_bytes_is_a_file() {
    let app = TestApp::start().await;
    let url = publish(&app, "empty.png", "").await;
    for lines in [&[][..], &[("range", "bytes=0-")], &[("range", "bytes=-1")]] {
        let reply = ask(&app, &url, lines).await;
        assert!(reply.assert_status(200).body.is_empty());
        assert_eq!(reply.header("content-length"), Some("0"));
        assert_eq!(reply.header("content-type"), Some("image/png"));
    }
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let app = TestApp::start().await;
    let url = publish(&app, "a.png", TEN).await;
    let etag = format!("\"{}\"", sha256_hex(TEN.as_bytes()));
    let weak = format!("\"x\", W/{etag}");
    let now = "Tue, 01 Dec 2026 12:00:00 GMT";
    for (name, value) in [
        ("if-none-match", etag.as_str()),
        ("if-none-match", &weak),
        ("if-none-match", "*"),
        ("if-modified-since", now),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let reply = app.ask(method, &url, &[(name, value), ("range", "bytes=0-1")]).await;
            assert!(reply.assert_status(304).body.is_empty(), "{name}: {value}");
            assert_eq!(reply.header("etag"), Some(etag.as_str()));
            assert_eq!(reply.header("cache-control"), Some("private, no-cache"));
            assert_ne!(reply.header("content-length"), Some("0"), "it would say: it is empty now");
        }
    }
    for (name, value) in [
        ("if-none-match", "\"other\""),
        ("if-modified-since", "Tue, 01 Dec 2026 11:59:59 GMT"),
        ("if-match", &etag),
    ] {
        assert_eq!(ask(&app, &url, &[(name, value)]).await.assert_status(200).body, TEN);
    }
    let reply = ask(&app, &url, &[("if-match", "\"other\"")]).await;
    reply.assert_problem(412, "precondition_failed");
}

#[tokio::test]
async fn a_part_of_another_file_is_not_mixed_in() {
    let app = TestApp::start().await;
    let url = publish(&app, "a.png", TEN).await;
    let etag = format!("\"{}\"", sha256_hex(TEN.as_bytes()));
    let range = ("range", "bytes=2-3");
    for same in [etag.as_str(), "Tue, 01 Dec 2026 12:00:00 GMT"] {
        let reply = ask(&app, &url, &[range, ("if-range", same)]).await;
        assert_eq!(reply.assert_status(206).body, "23", "{same}");
    }
    for other in ["\"other\"", &format!("W/{etag}"), "Tue, 01 Dec 2026 12:00:01 GMT", "junk"] {
        let reply = ask(&app, &url, &[range, ("if-range", other)]).await;
        assert_eq!(reply.assert_status(200).body, TEN, "{other}");
    }
}

#[tokio::test]
async fn a_head_says_what_a_get_would() {
    let app = TestApp::start().await;
    let url = publish(&app, "a.png", TEN).await;
    let get = app.get(&url).await;
    for lines in [&[][..], &[("range", "bytes=2-3")]] {
        let head = app.ask(Method::HEAD, &url, lines).await;
        assert!(head.assert_status(200).body.is_empty());
        for (name, value) in &get.headers {
            if name != "x-request-id" {
                assert_eq!(head.headers.get(name), Some(value), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_name_is_safe_in_a_header() {
    let app = TestApp::start().await;
    for (name, plain, full) in [
        ("cat.png", "cat.png", "cat.png"),
        ("文件 1.txt", "__ 1.txt", "%E6%96%87%E4%BB%B6%201.txt"),
        ("a\"; filename=\"b.exe", "a_; filename=_b.exe", "a%22%3B%20filename%3D%22b.exe"),
        ("../../etc/passwd", "passwd", "passwd"),
        ("C:\\windows\\a.dll", "a.dll", "a.dll"),
        ("a\r\nSet-Cookie: b=c", "aSet-Cookie: b=c", "aSet-Cookie%3A%20b%3Dc"),
        ("cat\u{202e}gnp.exe", "catgnp.exe", "catgnp.exe"),
        ("100%41.png", "100_41.png", "100%2541.png"),
        // Joiners are part of how words and emoji are spelt.
        ("ن\u{200c}ا.png", "___.png", "%D9%86%E2%80%8C%D8%A7.png"),
        ("👩\u{200d}🚀.png", "___.png", "%F0%9F%91%A9%E2%80%8D%F0%9F%9A%80.png"),
        ("..", "file", "file"),
    ] {
        let url = publish(&app, name, TEN).await;
        let reply = app.get(&url).await;
        let said = reply.header("content-disposition").unwrap_or_default().to_owned();
        let (_, said) = said.split_once("; ").expect("a name");
        assert_eq!(said, format!("filename=\"{plain}\"; filename*=UTF-8''{full}"), "{name:?}");
        assert_eq!(reply.header("set-cookie"), None);
        assert_eq!(reply.body, TEN);
    }
    let long = publish(&app, &format!("{}.png", "🦀".repeat(1024)), TEN).await;
    let reply = app.get(&long).await;
    let said = reply.header("content-disposition").unwrap_or_default();
    assert!(said.len() < 2048 && said.ends_with("%F0%9F%A6%80.png"), "{said}");
}

#[tokio::test]
async fn only_what_a_browser_cannot_run_is_shown_in_it() {
    let app = TestApp::start().await;
    let png = b"\x89PNG\r\n\x1a\n and so on".as_slice();
    for (name, content, content_type, how) in [
        ("a.png", png, "image/png", "inline"),
        ("a.mp3", b"noise", "audio/mpeg", "inline"),
        ("a.mp4", b"noise", "video/mp4", "inline"),
        // The content decides over the name…
        ("a.html", png, "image/png", "inline"),
        ("page.png", b"<!DOCTYPE html><script>alert(1)</script>", "text/html", "attachment"),
        ("page.gif", b"\n <html><script>alert(1)</script>", "text/html", "attachment"),
        ("logo.png", b"<svg onload=\"alert(1)\"/>", "image/svg+xml", "attachment"),
        ("logo.gif", b"<?xml version='1.0'?><!-- --><svg/>", "image/svg+xml", "attachment"),
        ("feed.jpg", b"<?xml version='1.0'?><rss/>", "text/xml", "attachment"),
        // …what begins as markup is no picture, though nobody knows what else it is…
        (
            "a.png",
            b"\xef\xbb\xbf<script>alert(1)</script>",
            "application/octet-stream",
            "attachment",
        ),
        (
            "a.webp",
            b"<x:x xmlns:x='http://www.w3.org/1999/xhtml'/>",
            "application/octet-stream",
            "attachment",
        ),
        ("a.mp4", b"\xff\xfe<\0h\0t\0m\0l\0>\0", "application/octet-stream", "attachment"),
        // …and what can run is a download.
        ("a.svg", b"<svg onload=\"alert(1)\"/>", "image/svg+xml", "attachment"),
        ("a.html", b"<script>alert(1)</script>", "text/html", "attachment"),
        ("a.xhtml", b"<script/>", "application/xhtml+xml", "attachment"),
        ("a.js", b"alert(1)", "text/javascript", "attachment"),
        ("a.pdf", b"%PDF-1.7", "application/pdf", "attachment"),
        ("a.png", b"%PDF-1.7", "application/pdf", "attachment"),
        ("a.jpg", b"%PDF-1.7\n<svg onload='alert(1)'/>", "application/pdf", "attachment"),
        ("a.xml", b"<x/>", "text/xml", "attachment"),
        // A picture and a script at once: as what it is served it is a picture, and `nosniff` keeps
        // it from being run as the script that it is, too.
        ("a.js", b"GIF89a/*\0\0\0\0*/=1;alert(1)", "image/gif", "inline"),
        ("a.html", b"GIF89a<script>alert(1)</script>", "image/gif", "inline"),
        ("a", b"noise", "application/octet-stream", "attachment"),
    ] {
        let url = publish(&app, name, content).await;
        let reply = app.get(&url).await;
        assert_eq!(reply.header("content-type"), Some(content_type), "{name}");
        let said = reply.header("content-disposition").unwrap_or_default();
        assert!(said.starts_with(&format!("{how};")), "{name}: {said}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        let policy = reply.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("sandbox") && !policy.contains("script"), "{policy}");
    }
}
