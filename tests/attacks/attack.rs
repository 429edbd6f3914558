//! The attackers: each holds one connection, and comes again when it is closed.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{interval, timeout},
};

use crate::past;

/// All attacks; the first is none, and what the others are compared with.
pub(crate) const ATTACKS: [Attack; 8] = [
    Attack::Nothing,
    Attack::Heads,
    Attack::Bodies,
    Attack::Idle,
    Attack::IdleOfOne,
    Attack::ProbesByHand,
    Attack::WrongBytes,
    Attack::Unverified,
];

/// Attackers who probe by hand: each asks again as soon as it is answered.
const PROBES_AT_ONCE: usize = 16;
/// Attackers who send a wrong byte for a stored chunk, and leave.
const WRONG_AT_ONCE: usize = 20;
/// How long each of them waits before it does so again.
const WRONG_AGAIN: Duration = Duration::from_millis(100);
/// Bytes of the chunk that is stored for them.
pub(crate) const STORED_LEN: usize = 64 << 20;
/// Uploads that must be read back; each has an attacker, who asks for one chunk after the other.
pub(crate) const UNVERIFIED: usize = 24;
/// How often an attacker sends a byte.
const DRIP: Duration = Duration::from_secs(5);
/// How long an attacker whose connection was closed waits before it comes again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a connection may take to be made before the attacker tries again.
const PATIENCE: Duration = Duration::from_secs(20);
/// Addresses from which they come.
const ADDRESSES: usize = 10;
/// Attackers that connect at the same time: more would only fill the backlog.
const AT_ONCE: usize = 256;

/// What is done to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attack {
    Nothing,
    /// Requests whose heads come in drips.
    Heads,
    /// Chunks that come in drips.
    Bodies,
    /// Connections on which nothing is said.
    Idle,
    /// The same from one address.
    IdleOfOne,
    /// Probes that name one field only, on a catalog with many ended uploads.
    ProbesByHand,
    /// The first bytes of a stored chunk, one of them wrong, from clients that leave at once.
    WrongBytes,
    /// Probes of uploads that must be read back after an unclean stop.
    Unverified,
}

/// An attack that goes on.
pub(crate) struct Attackers {
    tasks: JoinSet<()>,
    open: Arc<AtomicUsize>,
}

impl Attack {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Heads => "slow heads",
            Self::Bodies => "slow bodies",
            Self::Idle => "idle connections",
            Self::IdleOfOne => "idle connections, one address",
            Self::ProbesByHand => "probes by hand",
            Self::WrongBytes => "wrong bytes",
            Self::Unverified => "unverified uploads",
        }
    }

    /// Begins it, and waits until each attacker has tried once.
    pub(crate) async fn start(self, server: SocketAddr, connections: usize) -> Attackers {
        let count = match self {
            Self::Nothing => 0,
            // They cannot be as many: the server closes none of them for a newcomer's sake before
            // they were silent for a while, or too slow for long.
            Self::Heads | Self::Bodies => connections * 4 / 10,
            Self::Idle | Self::IdleOfOne => connections,
            Self::ProbesByHand => PROBES_AT_ONCE,
            Self::WrongBytes => WRONG_AT_ONCE,
            Self::Unverified => UNVERIFIED,
        };
        if self == Self::WrongBytes {
            store_chunk(server).await.expect("the server answers");
        }
        let pause = if self == Self::WrongBytes { WRONG_AGAIN } else { AGAIN };
        let (mut tasks, open) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        let (connecting, tried) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(0)));
        for number in 0..count {
            let (open, connecting, tried) = (open.clone(), connecting.clone(), tried.clone());
            let addresses = if self == Self::IdleOfOne { 1 } else { ADDRESSES };
            let from = Ipv4Addr::new(127, 0, 1, u8::try_from(number % addresses + 1).unwrap_or(1));
            tasks.spawn(async move {
                let mut first = true;
                let mut again = interval(pause);
                loop {
                    again.tick().await;
                    let connecting = connecting.acquire().await.expect("never closed");
                    let stream = timeout(PATIENCE, connect(from.into(), server)).await;
                    drop(connecting);
                    if std::mem::take(&mut first) {
                        tried.add_permits(1);
                    }
                    if let Ok(Ok(stream)) = stream {
                        open.fetch_add(1, Ordering::Relaxed);
                        self.hold(stream, number).await;
                        open.fetch_sub(1, Ordering::Relaxed);
                    }
                    again.reset();
                }
            });
        }
        let all = u32::try_from(count).expect("no machine has more");
        drop(tried.acquire_many(all).await.expect("never closed"));
        Attackers { tasks, open }
    }

    /// Keeps a connection for as long as the server lets it.
    async fn hold(self, mut stream: TcpStream, number: usize) {
        let begin = match self {
            Self::ProbesByHand => return probe_by_hand(stream, number).await,
            Self::Unverified => return probe_unverified(stream, number).await,
            Self::WrongBytes => {
                // Whether all of it was sent does not matter: the next attempt comes soon.
                stream.write_all(stored_chunk("yx").as_bytes()).await.ok();
                stream.write_all(&[b'x'; 350]).await.ok();
                return;
            }
            Self::Heads => "GET / HTTP/1.1\r\nhost: localhost\r\nx-drip: ".to_owned(),
            Self::Bodies => format!(
                "POST /upload?flowIdentifier=drip-{number}&flowFilename=drip-{number}\
                 &flowChunkNumber=1&flowTotalChunks=2&flowChunkSize=1048576&flowTotalSize=2097152 \
                 HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/octet-stream\r\n\
                 content-length: 1048576\r\n\r\n"
            ),
            Self::Nothing | Self::Idle | Self::IdleOfOne => {
                // It ends when the server says so; what it says is nobody's business here.
                while stream.read(&mut [0; 1024]).await.is_ok_and(|len| len != 0) {}
                return;
            }
        };
        let mut open = stream.write_all(begin.as_bytes()).await.is_ok();
        while open {
            let answered = timeout(DRIP, stream.read(&mut [0; 1024])).await;
            open = answered.is_err() && stream.write_all(b"x").await.is_ok();
        }
    }
}

/// The head of a request that brings the stored chunk, and the first bytes of its body. It is not
/// the first chunk, which the server would read in order to hash it.
fn stored_chunk(begin: &str) -> String {
    format!(
        "POST /upload?flowIdentifier=stored&flowFilename=stored.bin&flowChunkNumber=2\
         &flowTotalChunks=3&flowChunkSize={STORED_LEN}&flowTotalSize={} HTTP/1.1\r\n\
         host: localhost\r\ncontent-type: application/octet-stream\r\n\
         content-length: {STORED_LEN}\r\n\r\n{begin}",
        3 * STORED_LEN
    )
}

/// Sends the chunk for which wrong bytes will come.
async fn store_chunk(server: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(stored_chunk("").as_bytes()).await?;
    stream.write_all(&vec![b'x'; STORED_LEN]).await?;
    let mut answer = [0; 4096];
    let len = stream.read(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer[..len]);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Ok(())
}

/// Asks for each chunk of an upload that must be read back, from the last to the first.
async fn probe_unverified(mut stream: TcpStream, number: usize) {
    for chunk in (1..=past::UNVERIFIED_CHUNKS).rev().cycle() {
        let probe = format!(
            "GET /upload?flowIdentifier=unverified-{number}&flowChunkNumber={chunk} HTTP/1.1\r\n\
             host: localhost\r\n\r\n"
        );
        if stream.write_all(probe.as_bytes()).await.is_err() {
            return;
        }
        if !stream.read(&mut [0; 4096]).await.is_ok_and(|len| len != 0) {
            return;
        }
    }
}

/// Asks for what is not there, by fields that many ended uploads share.
async fn probe_by_hand(mut stream: TcpStream, number: usize) {
    let named = ["flowRelativePath=nope", "flowFilename=old.bin", "flowIdentifier=old"];
    let probe = format!(
        "GET /upload?{}&flowChunkNumber=1&flowTotalSize=7 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        named[number % named.len()]
    );
    loop {
        if stream.write_all(probe.as_bytes()).await.is_err() {
            return;
        }
        if !stream.read(&mut [0; 4096]).await.is_ok_and(|len| len != 0) {
            return;
        }
    }
}

impl Attackers {
    /// Connections that they hold.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn connect(from: IpAddr, server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(server).await
}
