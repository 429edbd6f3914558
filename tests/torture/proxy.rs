//! A bad line: a proxy that passes bytes on slowly, in small pieces, and only for a while.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// What becomes of one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// It is cut when so many bytes have gone from the client to the server, …
    pub(crate) up: u64,
    /// … or so many back. With none it is cut as soon as the server answers.
    pub(crate) down: u64,
    /// Whether it is cut by force, on both sides.
    pub(crate) reset: bool,
    /// Bytes that are passed on at a time.
    pub(crate) piece: usize,
    /// The time that each piece takes.
    pub(crate) pace: Option<Duration>,
}

impl Weather {
    /// Everything goes through.
    pub(crate) const FAIR: Self =
        Self { up: u64::MAX, down: u64::MAX, reset: false, piece: 64 << 10, pace: None };
    /// The server hears everything, and the client nothing.
    pub(crate) const DEAF: Self = Self { down: 0, ..Self::FAIR };
}

/// The proxy. Closes all its connections when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// One that stands before a server, and draws the weather of each connection.
    pub(crate) async fn open(
        target: SocketAddr,
        mut rng: Rng,
        draw: impl Fn(&mut Rng) -> Weather + Send + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, target) = (listener.local_addr()?, Arc::new(Mutex::new(target)));
        let mut accepting = JoinSet::new();
        let current = target.clone();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let target = *current.lock().unwrap_or_else(PoisonError::into_inner);
                connections.spawn(carry(client, target, draw(&mut rng)));
            }
        });
        Ok(Self { address, target, _accepting: accepting })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server is elsewhere now: for connections to come.
    pub(crate) fn aim(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }
}

/// Carries bytes both ways until one end closes or the weather cuts it. If there is no server, the
/// client sees its connection end.
async fn carry(mut client: TcpStream, target: SocketAddr, weather: Weather) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    // If they cannot be set, the line is a little better than it should be.
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    // An error is an end as any other.
    tokio::select! {
        _ = pass(from_client, to_server, weather.up, weather) => {}
        _ = pass(from_server, to_client, weather.down, weather) => {}
    }
    if weather.reset {
        client.set_zero_linger().ok();
        server.set_zero_linger().ok();
    }
}

/// Passes on so many bytes at most.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut left: u64,
    weather: Weather,
) -> io::Result<()> {
    let mut piece = vec![0; weather.piece];
    let mut ticks = weather.pace.map(interval);
    if let Some(ticks) = &mut ticks {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        let len = from.read(&mut piece).await?;
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let passed = len.min(usize::try_from(left).unwrap_or(usize::MAX));
        to.write_all(&piece[..passed]).await?;
        left -= passed as u64;
        if len == 0 || left == 0 {
            return Ok(());
        }
    }
}
