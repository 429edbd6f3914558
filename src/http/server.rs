//! From a listening socket to requests: accepts connections, bounds them, and stops in order.
//!
//! Invariant: nothing that a client does, and no shortage of the system's, ends the loop; only
//! `stop` does. Every connection's task has ended when [`serve`] returns or is dropped.
//!
//! HTTP/1.1 and 1.0 only; HTTP/2 is the reverse proxy's, and TLS is that of [`super::tls`]. What
//! hyper sees to by itself, and a test here holds it to:
//!
//! * `Content-Length` together with `Transfer-Encoding`: the latter counts, as RFC 9112 has it, and
//!   the connection closes after the answer, so that what a proxy took for the body is never read
//!   as a second request. Two lengths that differ, or an encoding that does not end in `chunked`:
//!   400.
//! * A head longer than [`limits::REQUEST_HEAD_LEN_MAX`]: 431.
//! * Half-closed connections count as closed: a browser that goes away is noticed at once.

use std::{error::Error, io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use http_body_util::BodyExt;
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    select,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::{debug, warn};

use super::{
    Handler, Request, body,
    door::{Door, Entered, Opened},
    gate::Peer,
    intake::{Intake, Reader},
    pace::Pace,
    proxies::Proxies,
    slots::Slots,
    stall::StallGuard,
    strict,
};
use crate::{engine::Allowance, upload::limits};

/// The bounds of a server.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Connections at a time; more wait until one ends or is idle, but for checks of health.
    pub max_connections: usize,
    /// Connections of one address at a time; more are closed unless one of its own is idle.
    pub max_connections_per_address: usize,
    /// How long a connection is idle before it may have to give way.
    pub idle_grace: Duration,
    /// How long a connection may be silent while the server is full.
    pub door_patience: Duration,
    /// How long a request head may take, and how long a connection may stay idle.
    pub head_timeout: Duration,
    /// How long a client may take nothing of its answer.
    pub stall_timeout: Duration,
    /// How slowly a head may come, and an answer be taken.
    pub pace: Pace,
    /// What large heads are kept in.
    pub memory: Allowance,
    /// Which of those who connect speak for others; these may have any number of connections.
    pub proxies: Arc<Proxies>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_connections: limits::CONNECTIONS_MAX,
            max_connections_per_address: limits::CONNECTIONS_PER_ADDRESS_MAX,
            idle_grace: limits::IDLE_GRACE,
            door_patience: limits::DOOR_PATIENCE,
            head_timeout: limits::REQUEST_HEAD_TIMEOUT,
            stall_timeout: limits::RESPONSE_STALL_TIMEOUT,
            pace: Pace::default(),
            memory: Allowance::new(limits::REQUESTS_MEMORY),
            proxies: Arc::default(),
        }
    }
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Connections that were cut because they had not ended by the deadline.
    pub cut: usize,
}

/// Serves until `stop`. Then takes no more connections, lets each finish the request that it is
/// in, closes the idle ones at once, and after `deadline` cuts what is left.
///
/// Cancel safety: may be dropped at any `.await`; all connections are then cut.
pub async fn serve<A, S>(
    listener: A,
    service: S,
    options: ServerOptions,
    stop: CancellationToken,
    deadline: Duration,
) -> Outcome
where
    A: Accept<Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static>,
    S: Handler,
{
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let _cut_when_dropped = cut.clone().drop_guard();
    let connection = Connection::new(service, &options, stop.clone());
    let slots = Slots::new(
        options.max_connections,
        options.max_connections_per_address,
        options.idle_grace,
    );
    let len_max = limits::door_len(options.max_connections);
    let door = Arc::new(Door::new(slots, len_max, options.door_patience));
    let mut streams = Streams::new(listener);
    while let Some((stream, peer)) = stop.run_until_cancelled(streams.next()).await {
        let from = peer.filter(|peer| !options.proxies.trusts(*peer));
        let (connection, slot) = (connection.clone(), door.try_enter(from));
        let (door, stop) = (door.clone(), stop.clone());
        let connection = async move {
            let entered = match slot {
                Some(slot) => Entered { stream: Opened::new(stream), slot, once: None },
                None => stop.run_until_cancelled(Box::pin(door.wait(stream, from))).await??,
            };
            connection.run(entered, peer).await;
            Some(())
        };
        connections.spawn(cut.clone().run_until_cancelled_owned(connection));
    }
    // From here on newcomers are refused by the system.
    drop(streams);
    connections.close();
    if timeout(deadline, connections.wait()).await.is_ok() {
        return Outcome { cut: 0 };
    }
    let outcome = Outcome { cut: connections.len() };
    cut.cancel();
    connections.wait().await;
    outcome
}

/// A connection, and where it comes from.
pub type Accepted<S> = (S, Option<IpAddr>);

/// What connections come from. Cancel safety: a connection is taken or it is not.
pub trait Accept {
    /// A connection.
    type Stream;
    /// The next one, and the address at its other end, if it has one. Errors: those of `accept(2)`,
    /// which may pass.
    fn accept(&mut self) -> impl Future<Output = io::Result<Accepted<Self::Stream>>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
        let (stream, peer) = Self::accept(self).await?;
        // Small answers to small requests must not wait for each other's acknowledgements.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(error = &error as &dyn Error, "Cannot set TCP_NODELAY");
        }
        Ok((stream, Some(peer.ip())))
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn accept(&mut self) -> io::Result<Accepted<UnixStream>> {
        Self::accept(self).await.map(|(stream, _)| (stream, None))
    }
}

/// Accepts, whatever happens.
struct Streams<A> {
    listener: A,
    warned_at: Option<Instant>,
}

impl<A: Accept> Streams<A> {
    fn new(listener: A) -> Self {
        Self { listener, warned_at: None }
    }

    /// The next connection. Cancel safety: may be dropped, and no connection is lost.
    async fn next(&mut self) -> Accepted<A::Stream> {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_of_one_connection(&error) => {
                    debug!(
                        error = &error as &dyn Error,
                        "A connection was gone before it was here"
                    );
                }
                // Out of file descriptors or memory. They come back when connections end, and to
                // ask again at once would only burn the processor.
                Err(error) => {
                    self.warn(&error);
                    sleep(limits::ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// A shortage shows at every attempt; one line in a while is enough.
    fn warn(&mut self, error: &io::Error) {
        if self.warned_at.is_none_or(|at| limits::ACCEPT_WARN_INTERVAL <= at.elapsed()) {
            self.warned_at = Some(Instant::now());
            warn!(error = error as &dyn Error, "Cannot accept connections for now");
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// What it takes to serve one connection.
#[derive(Clone)]
struct Connection<S> {
    service: S,
    http: http1::Builder,
    stall_timeout: Duration,
    pace: Pace,
    memory: Allowance,
    proxies: Arc<Proxies>,
    stop: CancellationToken,
}

impl<S: Handler> Connection<S> {
    fn new(service: S, options: &ServerOptions, stop: CancellationToken) -> Self {
        let mut http = http1::Builder::new();
        // Without a timer hyper would never close a silent connection. The bound of its
        // buffer is that of a head; what bodies take of it, `Reader` bounds.
        http.timer(TokioTimer::new())
            .header_read_timeout(options.head_timeout)
            .max_buf_size(limits::REQUEST_HEAD_LEN_MAX);
        let (stall_timeout, pace) = (options.stall_timeout, options.pace);
        let (memory, proxies) = (options.memory.clone(), options.proxies.clone());
        Self { service, http, stall_timeout, pace, memory, proxies, stop }
    }

    async fn run<T>(self, entered: Entered<T>, peer: Option<IpAddr>)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self { service, mut http, stall_timeout, pace, memory, proxies, stop } = self;
        let Entered { stream, slot, once } = entered;
        if let Some(head_timeout) = once {
            http.keep_alive(false).header_read_timeout(head_timeout);
        }
        let (slot, intake) = (Arc::new(slot), Arc::new(Intake::default()));
        let (own, written, answered) = (slot.clone(), slot.clone(), intake.clone());
        let stream = Reader::new(stream, intake.clone(), memory, pace);
        let io = TokioIo::new(StallGuard::new(stream, stall_timeout, pace, move || {
            if written.flushed() {
                answered.end_request();
            }
        }));
        let service = service_fn(move |request: http::Request<Incoming>| {
            let mut request = request.map(|body| coming(body, &intake));
            if let Some(peer) = peer {
                let client = proxies.client(peer, request.headers());
                request.extensions_mut().insert(Peer(client));
            }
            own.busy();
            take_in(&mut request, &intake);
            // What is done for a client that has left counts as its connection until it is done.
            request.extensions_mut().insert(own.clone());
            let (own, answer) = (own.clone(), service.clone().oneshot(request));
            async move { answer.await.map(|response| own.answered(response)) }
        });
        let mut connection = pin!(http.serve_connection(io, service));
        // The connection first: if a request has come, it gives way no more.
        let ended = select! {
            biased;
            ended = connection.as_mut() => ended,
            () = slot.gives_way() => return,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(error = &error as &dyn Error, "A connection ended early");
        }
    }
}

/// A body of which the reader of its connection knows whether it is still coming.
fn coming(body: Incoming, intake: &Intake) -> body::RequestBody {
    if body.is_end_stream() {
        return body::empty();
    }
    let coming = intake.begin_body();
    // The way to give a body something to drop at its end, and change nothing else of it.
    body::boxed(body.map_err(move |error| {
        let _ = &coming;
        error
    }))
}

/// Hands a request what the reader of its connection knows of it.
fn take_in(request: &mut Request, intake: &Arc<Intake>) {
    let (lease, has_bare_lf) = intake.begin_request();
    let malformed = strict::check(request, has_bare_lf).err().map(strict::Malformed);
    let extensions = request.extensions_mut();
    extensions.insert(intake.clone());
    lease.map(|lease| extensions.insert(lease));
    malformed.map(|malformed| extensions.insert(malformed));
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, convert::Infallible, net::SocketAddr, sync::Mutex};

    use http::HeaderValue;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::Notify,
        task::JoinHandle,
    };

    use super::*;
    use crate::http::{
        Response,
        content::{self, Representation},
    };

    /// Longer than any test takes; a test that waits for it hangs and so fails.
    const NEVER: Duration = Duration::from_hours(1);
    const SOON: Duration = Duration::from_millis(20);

    struct Running {
        address: SocketAddr,
        stop: CancellationToken,
        task: JoinHandle<Outcome>,
    }

    /// What the service of these tests does and knows.
    #[derive(Default)]
    struct Desk {
        /// Paths, in the order in which they came.
        seen: Mutex<Vec<String>>,
        /// A request for `/wait` has come.
        waiting: Notify,
        /// It may go.
        go: Notify,
        /// Nobody waits for it any more; and what was done for it is done.
        left: Arc<Notify>,
        done: Arc<Notify>,
    }

    impl Desk {
        async fn answer(self: Arc<Self>, request: Request) -> Result<Response, Infallible> {
            let path = request.uri().path().to_owned();
            self.seen.lock().expect("no panic").push(path.clone());
            if path == "/wait" {
                self.waiting.notify_one();
                self.go.notified().await;
            }
            if path == "/peer" {
                let peer = request.extensions().get::<Peer>().expect("it came by TCP").0;
                return Ok(Response::new(body::full(peer.to_string())));
            }
            if path == "/detached" {
                let (desk, left) = (self.clone(), NotifyWhenDropped(self.left.clone()));
                tokio::spawn(async move {
                    desk.go.notified().await;
                    drop(request);
                    desk.done.notify_one();
                });
                self.waiting.notify_one();
                std::future::pending::<()>().await;
                drop(left);
                unreachable!("nobody waits for ever");
            }
            if path == "/file" {
                let file = Representation {
                    len: 7,
                    etag: HeaderValue::from_static("\"a\""),
                    modified: None,
                };
                let selection = content::select(request.method(), request.headers(), &file);
                let send = |range: std::ops::Range<u64>| {
                    let byte = move |_| Ok(bytes::Bytes::from_static(b"x"));
                    body::stream(futures_util::stream::iter(range.map(byte)))
                };
                return Ok(selection.into_response("", send));
            }
            let bytes = http_body_util::BodyExt::collect(request.into_body()).await;
            let len = bytes.map_or(0, |bytes| bytes.to_bytes().len());
            Ok(Response::new(body::full(format!("{path} {len}"))))
        }

        fn seen(&self) -> Vec<String> {
            self.seen.lock().expect("no panic").clone()
        }
    }

    async fn start(options: ServerOptions, deadline: Duration) -> (Running, Arc<Desk>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, desk) = (CancellationToken::new(), Arc::new(Desk::default()));
        let service = Arc::clone(&desk);
        let service = tower::service_fn(move |request| Arc::clone(&service).answer(request));
        let task = tokio::spawn(serve(listener, service, options, stop.clone(), deadline));
        (Running { address, stop, task }, desk)
    }

    fn patient() -> ServerOptions {
        ServerOptions {
            idle_grace: Duration::ZERO,
            head_timeout: NEVER,
            stall_timeout: NEVER,
            door_patience: SOON,
            ..ServerOptions::default()
        }
    }

    impl Running {
        async fn connect(&self) -> Client {
            Client(TcpStream::connect(self.address).await.expect("it listens"))
        }

        async fn stopped(self) -> Outcome {
            self.stop.cancel();
            self.task.await.expect("no panic")
        }
    }

    struct Client(TcpStream);

    impl Client {
        async fn send(&mut self, text: &str) {
            self.0.write_all(text.as_bytes()).await.expect("open");
        }

        async fn get(&mut self, path: &str) -> String {
            self.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
            self.response().await
        }

        /// One response, which must say how long it is.
        async fn response(&mut self) -> String {
            let mut text = String::new();
            while !text.ends_with("\r\n\r\n") {
                text.push(char::from(self.0.read_u8().await.expect("a head")));
            }
            let (_, len) = text.split_once("content-length: ").expect("a length");
            let len = len.lines().next().and_then(|len| len.parse().ok()).expect("a number");
            let mut rest = vec![0; len];
            self.0.read_exact(&mut rest).await.expect("a body");
            text + &String::from_utf8(rest).expect("text")
        }

        /// All until the server closes.
        async fn rest(mut self) -> String {
            let mut text = String::new();
            self.0.read_to_string(&mut text).await.expect("closed in order");
            text
        }
    }

    #[tokio::test]
    async fn a_connection_serves_one_request_after_the_other() {
        let (server, _) = start(patient(), NEVER).await;
        let mut client = server.connect().await;
        assert!(client.get("/a").await.ends_with("\r\n\r\n/a 0"));
        client.send("POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nfourGET /c ").await;
        assert!(client.response().await.ends_with("\r\n\r\n/b 4"));
        client.send("HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(client.response().await.ends_with("\r\n\r\n/c 0"));
    }

    #[tokio::test]
    async fn a_file_is_sent_with_its_length_and_not_at_all_to_a_head() {
        let (server, _) = start(patient(), NEVER).await;
        let mut client = server.connect().await;
        client.send("GET /file HTTP/1.1\r\nhost: x\r\nrange: bytes=2-4\r\n\r\n").await;
        let part = client.response().await;
        assert!(part.starts_with("HTTP/1.1 206 ") && part.ends_with("\r\n\r\nxxx"), "{part}");
        assert!(!part.contains("transfer-encoding"), "{part}");
        client.send("HEAD /file HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        let head = client.rest().await;
        assert!(head.contains("content-length: 7\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[tokio::test]
    async fn a_silent_connection_is_closed() {
        let options = ServerOptions { head_timeout: SOON, ..patient() };
        let (server, desk) = start(options, NEVER).await;
        assert_eq!(server.connect().await.rest().await, "");

        let mut slow = server.connect().await;
        slow.send("GET / HTTP/1.1\r\nhos").await;
        assert_eq!(slow.rest().await, "");

        let mut idle = server.connect().await;
        idle.get("/once").await;
        assert_eq!(idle.rest().await, "");
        assert_eq!(desk.seen(), ["/once"]);
    }

    #[tokio::test]
    async fn a_client_that_takes_no_answer_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let dropped = Arc::new(Notify::new());
        let told = Arc::clone(&dropped);
        let endless = tower::service_fn(move |_: Request| {
            // Dropped with the body, and so with the connection.
            let guard = NotifyWhenDropped(Arc::clone(&told));
            let zeros = futures_util::stream::repeat_with(move || {
                let _ = &guard;
                Ok(bytes::Bytes::from_static(&[0; 4096]))
            });
            async move { Ok::<_, Infallible>(Response::new(body::stream(zeros))) }
        });
        let options = ServerOptions { stall_timeout: SOON, ..patient() };
        tokio::spawn(serve(listener, endless, options, CancellationToken::new(), NEVER));
        let mut client = TcpStream::connect(address).await.expect("it listens");
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("open");
        dropped.notified().await;
    }

    struct NotifyWhenDropped(Arc<Notify>);

    impl Drop for NotifyWhenDropped {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }

    #[tokio::test]
    async fn a_stop_lets_requests_end_and_closes_idle_connections() {
        let (server, desk) = start(patient(), NEVER).await;
        let mut idle = server.connect().await;
        idle.get("/a").await;
        let fresh = server.connect().await;
        let mut busy = server.connect().await;
        busy.send("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
        desk.waiting.notified().await;

        server.stop.cancel();
        assert_eq!(idle.rest().await, "");
        assert_eq!(fresh.rest().await, "");
        assert!(!server.task.is_finished());
        desk.go.notify_one();
        let last = busy.rest().await;
        assert!(last.contains("connection: close\r\n") && last.ends_with("/wait 0"), "{last}");
        assert_eq!(server.task.await.expect("no panic"), Outcome { cut: 0 });
    }

    #[tokio::test]
    async fn what_does_not_end_by_the_deadline_is_cut_and_counted() {
        let (server, desk) = start(patient(), SOON).await;
        let mut busy = server.connect().await;
        busy.send("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
        desk.waiting.notified().await;
        assert_eq!(server.stopped().await, Outcome { cut: 1 });
        assert_eq!(busy.rest().await, "");
        assert_eq!(Arc::strong_count(&desk), 1, "a handler outlived its server");
    }

    #[tokio::test]
    async fn a_server_that_is_dropped_leaves_no_connection() {
        let (server, desk) = start(patient(), NEVER).await;
        let mut busy = server.connect().await;
        busy.send("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
        desk.waiting.notified().await;
        server.task.abort();
        assert_eq!(busy.rest().await, "");
    }

    #[tokio::test]
    async fn one_connection_too_many_waits_for_a_busy_one() {
        let (server, desk) = start(ServerOptions { max_connections: 1, ..patient() }, NEVER).await;
        let mut first = server.connect().await;
        first.send("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
        desk.waiting.notified().await;
        let mut second = server.connect().await;
        second.send("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
        desk.go.notify_one();
        // Written to its end, and then there is room.
        assert!(first.response().await.ends_with("/wait 0"));
        desk.waiting.notified().await;
        assert_eq!(first.rest().await, "");
        // One that waits for a place does not keep the server from stopping.
        let _third = server.connect().await;
        desk.go.notify_one();
        assert_eq!(server.stopped().await, Outcome { cut: 0 });
    }

    #[tokio::test]
    async fn in_a_full_house_the_longest_idle_gives_way() {
        let (server, _) = start(ServerOptions { max_connections: 3, ..patient() }, NEVER).await;
        let mut used = server.connect().await;
        used.get("/1").await;
        let mut silent = server.connect().await;
        silent.get("/silent").await;
        let mut slow = server.connect().await;
        slow.get("/slow").await;
        slow.send("GET / HTTP/1.1\r\nhos").await;
        used.get("/2").await;
        let mut third = server.connect().await;
        third.get("/3").await;
        assert_eq!(silent.rest().await, "");
        used.get("/4").await;
        server.connect().await.get("/5").await;
        // Half a head is no request. What the server never read is a reset, and as good as an end.
        let mut text = Vec::new();
        let _ = slow.0.read_to_end(&mut text).await;
        assert!(text.is_empty());
        used.get("/6").await;
    }

    #[tokio::test]
    async fn an_address_that_has_all_it_may_gets_no_more() {
        let options =
            ServerOptions { max_connections_per_address: 2, max_connections: 9, ..patient() };
        let (server, desk) = start(options, NEVER).await;
        let idle = server.connect().await;
        let mut busy = server.connect().await;
        busy.send("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
        desk.waiting.notified().await;
        let mut other = server.connect().await;
        other.send("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
        desk.waiting.notified().await;
        assert_eq!(idle.rest().await, "", "its own idle one gave way");
        assert_eq!(server.connect().await.rest().await, "", "none is idle");
        for mut client in [busy, other] {
            desk.go.notify_one();
            client.response().await;
        }
        server.connect().await.get("/again").await;
    }

    #[tokio::test]
    async fn a_proxy_speaks_for_its_clients_and_has_as_many_connections_as_it_needs() {
        let proxies = Arc::new(Proxies::new(&["127.0.0.0/8".parse().expect("a network")]));
        for (proxies, client) in [(Arc::default(), "127.0.0.1"), (proxies, "192.0.2.7")] {
            let believed = client != "127.0.0.1";
            let options = ServerOptions { max_connections_per_address: 1, proxies, ..patient() };
            let (server, desk) = start(options, NEVER).await;
            let mut busy = server.connect().await;
            busy.send("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
            desk.waiting.notified().await;
            if believed {
                server.connect().await.get("/more").await;
            } else {
                assert_eq!(server.connect().await.rest().await, "");
            }
            desk.go.notify_one();
            busy.response().await;
            let forwarded = "x-forwarded-for: 6.6.6.6, 192.0.2.7";
            busy.send(&format!("GET /peer HTTP/1.1\r\nhost: x\r\n{forwarded}\r\n\r\n")).await;
            assert!(busy.response().await.ends_with(&format!("\r\n\r\n{client}")));
        }
    }

    #[tokio::test]
    async fn what_is_done_for_a_client_that_left_counts_as_its_connection() {
        let options = ServerOptions { max_connections_per_address: 1, ..patient() };
        let (server, desk) = start(options, NEVER).await;
        let mut client = server.connect().await;
        client.send("GET /detached HTTP/1.1\r\nhost: x\r\n\r\n").await;
        desk.waiting.notified().await;
        drop(client);
        desk.left.notified().await;
        assert_eq!(server.connect().await.rest().await, "");
        desk.go.notify_one();
        desk.done.notified().await;
        server.connect().await.get("/again").await;
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let (server, desk) = start(patient(), NEVER).await;
        let mut client = server.connect().await;
        let mut head = "GET / HTTP/1.1\r\nx: ".to_owned();
        head.push_str(&"x".repeat(limits::REQUEST_HEAD_LEN_MAX - head.len()));
        client.send(&head).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(desk.seen().is_empty());
    }

    #[tokio::test]
    async fn lengths_that_contradict_each_other_smuggle_nothing() {
        let (server, desk) = start(patient(), NEVER).await;
        let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
        for (head, status) in [
            (format!("content-length: {}\r\ntransfer-encoding: chunked", smuggled.len()), "200"),
            (format!("transfer-encoding: chunked\r\ncontent-length: {}", smuggled.len()), "200"),
            (format!("content-length: 0\r\ncontent-length: {}", smuggled.len()), "400"),
            ("content-length: +5".into(), "400"),
            ("transfer-encoding: chunked, gzip".into(), "400"),
        ] {
            let mut client = server.connect().await;
            client.send(&format!("POST /x HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n{smuggled}")).await;
            let mut text = Vec::new();
            // A reset after the answer is as good as an orderly end.
            let _ = client.0.read_to_end(&mut text).await;
            let text = String::from_utf8_lossy(&text);
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {text}");
        }
        assert_eq!(desk.seen(), ["/x", "/x"]);
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_is_noticed() {
        let (server, desk) = start(patient(), NEVER).await;
        let mut client = server.connect().await;
        client.send("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
        desk.waiting.notified().await;
        drop(client);
        // Never told to go: this ends only if the handler was dropped.
        assert_eq!(server.stopped().await, Outcome { cut: 0 });
    }

    /// Plays a script; fails the test if asked for more.
    struct Script(VecDeque<io::Result<&'static str>>);

    impl Accept for Script {
        type Stream = &'static str;

        async fn accept(&mut self) -> io::Result<Accepted<&'static str>> {
            self.0.pop_front().expect("it stops at a stream").map(|stream| (stream, None))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_shortage_ends_the_loop() {
        const EMFILE: i32 = 24;
        let mut streams = Streams::new(Script(VecDeque::from([
            Err(io::ErrorKind::ConnectionAborted.into()),
            Err(io::Error::from_raw_os_error(EMFILE)),
            Err(io::Error::from_raw_os_error(EMFILE)),
            Ok("a stream"),
        ])));
        let began = Instant::now();
        assert_eq!(streams.next().await.0, "a stream");
        assert!(streams.listener.0.is_empty());
        assert_eq!(began.elapsed(), 2 * limits::ACCEPT_PAUSE);
        // The second shortage was no news.
        assert_eq!(streams.warned_at, Some(began));
    }
}
