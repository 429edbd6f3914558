//! Callers without credentials: two people with files of one name and size have two uploads.

use std::{cell::RefCell, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use flowstitch::{
    catalog::MemoryCatalog,
    http::{body, gate::Peer},
    upload::limits::{LIVE_IDLE, VISITOR_LATE_MAX, VISITOR_OFFER, VISITOR_SHOWN},
};
use futures_util::{FutureExt, StreamExt, stream};
use http::{Method, Request};
use serde_json::Value;
use tokio::{sync::oneshot, time};

use crate::support::{CatalogOp, FlowFile, Reply, StagedCatalog, TestApp, idle, multipart};

const COOKIE: &str = "flowstitch_visitor";

/// A browser or a program, with a file of its own.
struct Client<'a> {
    file: FlowFile<'a>,
    from: IpAddr,
    lines: Vec<(&'static str, &'static str)>,
    /// Its cookies; nothing if it keeps none.
    jar: Option<RefCell<Option<String>>>,
}

impl<'a> Client<'a> {
    /// Keeps cookies, as browsers and `requests.Session` do.
    fn new(file: FlowFile<'a>) -> Self {
        let lines = vec![("user-agent", "test/1.0")];
        Self { file, from: [192, 0, 2, 1].into(), lines, jar: Some(RefCell::default()) }
    }

    /// Keeps no cookies, as curl does.
    fn without_jar(file: FlowFile<'a>) -> Self {
        Self { jar: None, ..Self::new(file) }
    }

    fn from(self, from: [u8; 4]) -> Self {
        Self { from: from.into(), ..self }
    }

    fn saying(mut self, name: &'static str, value: &'static str) -> Self {
        self.lines.retain(|(other, _)| *other != name);
        self.lines.push((name, value));
        self
    }

    /// The same browser with another file.
    fn with(&self, file: FlowFile<'a>) -> Self {
        Self { file, jar: self.jar.clone(), from: self.from, lines: self.lines.clone() }
    }

    fn cookie(&self) -> Option<String> {
        self.jar.as_ref().and_then(|jar| jar.borrow().clone())
    }

    fn sign(&self, mut request: Request<Bytes>) -> Request<Bytes> {
        request.extensions_mut().insert(Peer(self.from));
        let cookie = self.cookie();
        let lines = self.lines.iter().copied();
        let lines = lines.chain(cookie.as_deref().map(|cookie| ("cookie", cookie)));
        for (name, value) in lines {
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        request
    }

    fn keep(&self, reply: &Reply) {
        let pair = reply.header("set-cookie").and_then(|line| line.split(';').next());
        if let (Some(jar), Some(pair)) = (&self.jar, pair) {
            jar.replace(Some(pair.to_owned()));
        }
    }

    async fn send(&self, request: Request<Bytes>) -> Reply {
        let reply = self.file.app().send(self.sign(request)).await;
        self.keep(&reply);
        reply
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Bytes::new()).expect("a request")).await
    }

    async fn probe(&self, number: usize) -> Reply {
        self.get(&format!("/upload?{}", self.file.query_string(number))).await
    }

    async fn lookup(&self) -> Reply {
        self.get(&format!("/uploads/lookup?{}", self.file.query_string(1))).await
    }

    async fn post(&self, number: usize) -> Reply {
        self.send(self.file.request(number, self.file.chunk(number))).await
    }

    /// Sends what is missing, as flow.js does. Gives the numbers of the chunks that it sent, and
    /// the creative.
    async fn upload(&self) -> (Vec<usize>, Value) {
        let (mut sent, mut last) = (Vec::new(), None);
        for number in 1..=self.file.count() {
            let mut reply = self.probe(number).await;
            if reply.status == 204 {
                sent.push(number);
                reply = self.post(number).await;
            }
            assert!(matches!(reply.status.as_u16(), 200 | 201), "{number}: {reply:?}");
            last = Some(reply);
        }
        (sent, self.file.assert_completed(&last.expect("a chunk")))
    }

    async fn assert_has_nothing(&self) {
        for number in 1..=self.file.count() {
            self.probe(number).await.assert_missing();
        }
        self.lookup().await.assert_problem(404, "not_found");
    }
}

/// Ten chunks, all of this byte: flow.js calls every one of them by the same name.
fn image(app: &TestApp, byte: u8) -> FlowFile<'_> {
    app.flow(vec![byte; 40]).name("image.jpg")
}

/// Time passes. It stands still only meanwhile: the catalog and the disk are real.
async fn pass(span: Duration) {
    time::pause();
    time::advance(span).await;
    time::resume();
}

fn all() -> Vec<usize> {
    (1..=10).collect()
}

#[tokio::test]
async fn two_people_with_files_of_one_name_and_size_get_two_files() {
    let app = TestApp::start().await;
    let [a, b] = [b'A', b'B'].map(|byte| Client::new(image(&app, byte)));
    for number in 1..=4 {
        a.probe(number).await.assert_missing();
        a.post(number).await.assert_status(200);
    }
    b.assert_has_nothing().await;
    let (sent, first) = b.upload().await;
    assert_eq!(sent, all());
    let (sent, second) = a.upload().await;
    assert_eq!(sent, [5, 6, 7, 8, 9, 10]);
    assert_ne!(first["id"], second["id"]);

    // Nor is anybody else told the result of either.
    let c = Client::new(image(&app, b'C'));
    c.assert_has_nothing().await;
    assert_eq!(c.upload().await.0, all());
    assert_eq!(a.upload().await, (vec![], second));
    assert_eq!(app.creatives().await.len(), 3);
}

#[tokio::test]
async fn a_client_that_begins_without_a_cookie_goes_on_with_the_one_it_gets() {
    let app = TestApp::start().await;
    let [a, b] = [b'A', b'B'].map(|byte| Client::new(image(&app, byte)));
    a.post(1).await.assert_status(200);
    assert!(a.cookie().is_some());
    for number in 2..=4 {
        a.post(number).await.assert_status(200);
    }
    let kept = a.cookie();
    a.probe(1).await.assert_status(200);
    assert_eq!(a.cookie(), kept, "it has one");
    b.assert_has_nothing().await;
    assert_eq!(b.upload().await.0, all());
    assert_eq!(a.upload().await.0, [5, 6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn what_completed_before_its_client_had_a_cookie_answers_it_later() {
    let app = TestApp::start().await;
    let a = Client::new(app.flow("abc"));
    let creative = a.file.assert_completed(&a.post(1).await);
    assert_eq!(a.upload().await, (vec![], creative));
    assert_eq!(Client::new(app.flow("xyz")).upload().await.0, [1]);
}

#[tokio::test]
async fn without_cookies_an_address_and_a_user_agent_are_one_caller() {
    let app = TestApp::start().await;
    let client = || Client::without_jar(image(&app, b'A'));
    for number in 1..=4 {
        client().post(number).await.assert_status(200);
    }
    client().from([192, 0, 2, 2]).assert_has_nothing().await;
    client().saying("user-agent", "test/2.0").assert_has_nothing().await;
    let again = client();
    assert_eq!(again.upload().await.0, [5, 6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn a_cookie_from_elsewhere_continues_nothing_that_was_begun_without_one() {
    let app = TestApp::start().await;
    let [page, prober] = [b'B', b'C'].map(|byte| Client::new(image(&app, byte)));
    page.get("/").await.assert_status(200);
    prober.probe(1).await.assert_missing();
    let sender = Client::new(app.flow("another file"));
    sender.post(1).await.assert_status(200);
    assert!([&page, &prober, &sender].iter().all(|client| client.cookie().is_some()));
    // By then what the last one began without a cookie would have come.
    app.clock().advance(i64::try_from(VISITOR_LATE_MAX.as_millis()).expect("short") + 1);

    let a = Client::without_jar(image(&app, b'A'));
    for number in 1..=4 {
        a.post(number).await.assert_status(200);
    }
    for stranger in [page, prober, sender.with(image(&app, b'D'))] {
        stranger.assert_has_nothing().await;
        assert_eq!(stranger.upload().await.0, all());
    }
    assert_eq!(a.upload().await.0, [5, 6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn an_upload_is_handed_over_after_a_restart_too() {
    let app = TestApp::start().await;
    let cookie = {
        let a = Client::new(image(&app, b'A'));
        a.post(1).await.assert_status(200);
        a.jar
    };
    let app = app.restart().await;
    let a = Client { jar: cookie, ..Client::new(image(&app, b'A')) };
    assert_eq!(a.upload().await.0, [2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(app.creatives().await.len(), 1);
}

/// The POST of a chunk whose head has come and whose body waits; what lets it come, and the answer.
fn on_its_way<'a>(
    client: &Client<'a>,
    number: usize,
) -> (oneshot::Sender<()>, impl Future<Output = Reply> + use<'a>) {
    let request = client.sign(client.file.request(number, client.file.chunk(number)));
    let (go, gone) = oneshot::channel::<()>();
    let (parts, form) = request.into_parts();
    let body = stream::once(async move {
        gone.await.expect("let go");
        Ok(form)
    });
    let app = client.file.app();
    (go, app.send_streaming(Request::from_parts(parts, body::stream(body.boxed()))))
}

#[tokio::test]
async fn what_was_on_its_way_when_an_upload_was_handed_over_still_belongs_to_it() {
    let app = TestApp::start().await;
    let a = Client::new(image(&app, b'A'));
    let (go, late) = on_its_way(&a, 3);
    let mut late = Box::pin(late);
    assert!(late.as_mut().now_or_never().is_none(), "it has begun");
    a.post(1).await.assert_status(200);
    a.post(2).await.assert_status(200);
    // One that the network has delayed by a moment.
    let delayed = Client::without_jar(image(&app, b'A'));
    delayed.post(4).await.assert_status(200);
    go.send(()).expect("it waits");
    a.keep(late.await.assert_status(200));
    assert_eq!(a.upload().await.0, [5, 6, 7, 8, 9, 10]);
    assert_eq!(app.creatives().await.len(), 1);
}

#[tokio::test]
async fn whoever_comes_later_without_a_cookie_begins_anew() {
    let app = TestApp::start().await;
    for begin in [Begin::Later, Begin::Busy, Begin::Probe, Begin::Lookup] {
        let path = format!("{begin:?}");
        let image = |byte| image(&app, byte).path(&path);
        let a = Client::new(image(b'A'));
        a.post(1).await.assert_status(200);
        a.post(2).await.assert_status(200);
        let b = Client::without_jar(image(b'B'));
        match begin {
            Begin::Later => pass(VISITOR_LATE_MAX + Duration::from_millis(1)).await,
            Begin::Busy => {
                for _ in 0..VISITOR_SHOWN {
                    a.probe(1).await.assert_status(200);
                }
            }
            Begin::Probe => b.probe(1).await.assert_missing(),
            Begin::Lookup => drop(b.lookup().await.assert_problem(404, "not_found")),
        }
        pass(Duration::from_millis(1)).await;
        b.post(3).await.assert_status(200);
        a.probe(3).await.assert_missing();
        assert_eq!(b.upload().await.0, [1, 2, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(a.upload().await.0, [3, 4, 5, 6, 7, 8, 9, 10]);
    }
}

/// How somebody else begins.
#[derive(Debug, Clone, Copy)]
enum Begin {
    /// Much later.
    Later,
    /// When more requests with the cookie have come than a client sends at once.
    Busy,
    Probe,
    Lookup,
}

#[tokio::test]
async fn first_requests_that_are_sent_at_once_make_one_visitor() {
    let app = TestApp::start().await;
    let a = Client::new(image(&app, b'A'));
    let (requests, goes): (Vec<_>, Vec<_>) = (1..=3)
        .map(|number| {
            let (go, reply) = on_its_way(&a, number);
            (Box::pin(reply), go)
        })
        .unzip();
    let mut requests = requests;
    for request in &mut requests {
        assert!(request.as_mut().now_or_never().is_none(), "it has begun");
    }
    for go in goes {
        go.send(()).expect("it waits");
    }
    let replies = futures_util::future::join_all(requests).await;
    // Whichever answer comes last, and whichever the client goes on with.
    for reply in &replies {
        a.keep(reply.assert_status(200));
        a.probe(1).await.assert_status(200);
    }
    assert_eq!(a.upload().await.0, [4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(app.creatives().await.len(), 1);
}

#[tokio::test]
async fn of_several_cookies_for_one_upload_each_goes_on_with_it() {
    let app = TestApp::start().await;
    let first = Client::new(image(&app, b'A'));
    let second = Client::new(image(&app, b'A'));
    // Sent before the first was answered, and carried out after it.
    first.post(1).await.assert_status(200);
    second.post(2).await.assert_status(200);
    assert_ne!(first.cookie(), second.cookie());
    first.post(3).await.assert_status(200);
    second.post(4).await.assert_status(200);
    assert_eq!(second.upload().await.0, [5, 6, 7, 8, 9, 10]);
    assert_eq!(app.creatives().await.len(), 1);
    Client::new(image(&app, b'B')).assert_has_nothing().await;
}

#[tokio::test]
async fn the_scripts_of_a_page_get_one_cookie_for_a_moment_and_programs_one_each() {
    let app = TestApp::start().await;
    let file = || image(&app, b'A');
    let cookie_of = async |lines: &[(&'static str, &'static str)]| {
        let client = lines.iter().fold(Client::new(file()), |it, line| it.saying(line.0, line.1));
        client.probe(1).await.assert_missing();
        client.cookie()
    };
    let (script, navigation) = (("sec-fetch-mode", "cors"), ("sec-fetch-mode", "navigate"));
    let first = cookie_of(&[script]).await;
    assert!(first.is_some());
    assert_ne!(cookie_of(&[script, ("user-agent", "other")]).await, first);
    let next = Client::new(file()).saying(script.0, script.1);
    next.probe(2).await.assert_missing();
    assert_eq!(next.cookie(), first);
    pass(VISITOR_OFFER).await;
    next.jar.as_ref().expect("a jar").replace(None);
    next.probe(3).await.assert_missing();
    assert_ne!(next.cookie(), first);
    assert_ne!(cookie_of(&[navigation]).await, cookie_of(&[navigation]).await);
    assert_ne!(cookie_of(&[]).await, cookie_of(&[]).await);
    assert_eq!(cookie_of(&[script, ("sec-fetch-site", "cross-site")]).await, None);
}

#[tokio::test]
async fn a_probe_by_hand_sees_all_of_the_public() {
    let app = TestApp::start().await;
    let a = Client::new(image(&app, b'A'));
    a.post(1).await.assert_status(200);
    a.post(2).await.assert_status(200);
    let by_hand = Client::new(app.flow(""));
    for (number, status) in [(1, 200), (2, 200), (3, 204)] {
        let path = format!("/upload?flowFilename=image.jpg&flowChunkNumber={number}");
        by_hand.get(&path).await.assert_status(status);
    }
    let mine = by_hand.get("/uploads").await.json();
    assert_eq!(mine["uploads"][0]["upload"]["filename"], "image.jpg", "a list, too");
}

#[tokio::test]
async fn a_page_gets_a_cookie_and_keeps_it() {
    let app = TestApp::start().await;
    let browser = Client::new(app.flow(""));
    let reply = browser.get("/").await;
    let line = reply.header("set-cookie").expect("a cookie").to_owned();
    let (pair, attributes) = line.split_once("; ").expect("attributes");
    assert_eq!(attributes, "Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax");
    assert!(pair.starts_with(&format!("{COOKIE}=")));
    assert_eq!(reply.header("cache-control"), Some("private, no-cache"));
    let again = browser.get("/").await;
    assert_eq!(again.header("set-cookie"), Some(&*line), "the same, for another year");
    assert_ne!(app.get("/").await.header("set-cookie"), Some(&*line));
    for path in ["/static/app.js", "/creatives", "/uploads", "/healthz", "/auth"] {
        assert_eq!(app.get(path).await.header("set-cookie"), None, "{path}");
    }
    let probe = app.flow("abc").probe(1).await;
    assert_eq!(probe.header("cache-control"), Some("no-store"), "where it is handed out");
}

#[tokio::test]
async fn the_cookie_is_for_https_alone_where_the_service_is() {
    let builder = TestApp::builder().flag("--allow-anonymous");
    let app = builder.flag("--public-url=https://up.example.com").start().await;
    let page = app.get("/").await;
    assert!(page.header("set-cookie").is_some_and(|line| line.ends_with("; Secure")));
}

#[tokio::test]
async fn whoever_shows_credentials_is_told_apart_by_them_and_gets_no_cookie() {
    let app = TestApp::start().await;
    let [ann, bob] = [app.token("ann", "upload,read").await, app.token("bob", "upload").await];
    let [first, second] = [image(&app, b'A').by(&ann), image(&app, b'B').by(&bob)];
    first.send(1..=4).await;
    // A cookie that comes with it says nothing.
    let other = first.clone().header("cookie", &format!("{COOKIE}={:032x}", 1));
    assert_eq!(other.probe(4).await.assert_status(200).header("set-cookie"), None);
    second.probe(1).await.assert_missing();
    second.upload().await;
    other.send(5..=9).await;
    first.assert_completed(&first.post(10).await);
    assert_eq!(app.get("/").await.header("set-cookie"), None, "nobody needs it");
}

#[tokio::test]
async fn a_form_that_asks_begins_anew_as_a_probe_does() {
    let app = TestApp::start().await;
    let [a, b] = [b'A', b'B'].map(|byte| Client::new(image(&app, byte)));
    a.post(1).await.assert_status(200);
    a.post(2).await.assert_status(200);
    let mut ask = multipart(&b.file.fields(1), None);
    *ask.method_mut() = Method::PUT;
    b.send(ask).await.assert_missing();
    assert_eq!(b.upload().await.0, all());
}

#[tokio::test]
async fn a_hand_over_that_fails_or_seems_to_is_done_by_the_next_request() {
    let catalog = StagedCatalog::new(Arc::new(MemoryCatalog::new()));
    let app = TestApp::builder().catalog(Arc::new(catalog.clone())).start().await;
    for fail_after in [false, true] {
        let file = image(&app, b'A').path(if fail_after { "after" } else { "before" });
        let a = Client::new(file);
        a.post(1).await.assert_status(200);
        if fail_after {
            catalog.fail_after_next(CatalogOp::HandOver);
        } else {
            catalog.fail_next(CatalogOp::HandOver);
        }
        a.post(2).await.assert_problem(503, "unavailable");
        assert_eq!(a.upload().await.0, [2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_that_only_seemed_to_fail_is_found_after_the_upload_left_memory() {
    let catalog = StagedCatalog::new(Arc::new(MemoryCatalog::new()));
    let app = TestApp::builder().catalog(Arc::new(catalog.clone())).start().await;
    let a = Client::new(image(&app, b'A'));
    a.post(1).await.assert_status(200);
    catalog.fail_after_next(CatalogOp::HandOver);
    a.post(2).await.assert_problem(503, "unavailable");
    let waited = time::timeout(LIVE_IDLE * 3, std::future::pending::<()>());
    waited.await.expect_err("nobody comes");
    assert_eq!(a.upload().await.0, [2, 3, 4, 5, 6, 7, 8, 9, 10]);
}

/// Behind one address, with one user agent, within the seconds in which requests share a cookie.
#[tokio::test]
async fn two_people_who_ask_the_same_at_once_are_two() {
    let app = TestApp::start().await;
    let [c, d] =
        [b'C', b'D'].map(|byte| Client::new(image(&app, byte)).saying("sec-fetch-mode", "cors"));
    c.probe(1).await.assert_missing();
    d.probe(1).await.assert_missing();
    for number in 1..=4 {
        c.post(number).await.assert_status(200);
    }
    assert_eq!(d.upload().await.0, all());
    assert_eq!(c.upload().await.0, [5, 6, 7, 8, 9, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_held_open_shares_its_cookie_with_no_newcomer() {
    let app = TestApp::builder().catalog(Arc::new(MemoryCatalog::new())).start().await;
    let [m, victim] = [b'M', b'A'].map(|byte| Client::new(image(&app, byte)));
    let other = m.with(image(&app, b'M').path("other"));
    let (go, reply) = on_its_way(&other, 1);
    let mut reply = Box::pin(reply);
    assert!(reply.as_mut().now_or_never().is_none(), "it has begun");
    idle().await;
    time::advance(VISITOR_OFFER).await;
    victim.probe(1).await.assert_missing();
    victim.post(1).await.assert_status(200);
    go.send(()).expect("it waits");
    m.keep(reply.await.assert_status(200));
    m.assert_has_nothing().await;
    assert_eq!(victim.upload().await.0, [2, 3, 4, 5, 6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn a_later_cookie_for_another_file_takes_nothing_over() {
    let app = TestApp::start().await;
    let [e, f] = [b'E', b'F'].map(|byte| Client::new(image(&app, byte)));
    e.post(1).await.assert_status(200);
    let other = f.with(image(&app, b'F').path("other"));
    f.keep(other.post(1).await.assert_status(200));
    f.assert_has_nothing().await;
    assert_eq!(f.upload().await.0, all());
    assert_eq!(e.upload().await.0, [2, 3, 4, 5, 6, 7, 8, 9, 10]);
}
