//! A real nginx in front, as people run it: with request buffering, its default, it reads the whole
//! request before the server sees a byte of it; without, it passes bytes on as they come. The
//! server is killed behind it, and clients see its 502.

use std::{net::TcpListener, path::Path, process::Stdio};

use async_trait::async_trait;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::Fault;
use crate::{
    audit,
    client::Style,
    failure::Failure,
    plan::Plan,
    proxy::{Proxy, Weather},
    report::Kind,
    round::Round,
    server::in_time,
    wire::PATIENCE,
};

/// How often another port is tried.
const ATTEMPTS_MAX: usize = 10;
/// What nginx says when it serves.
const SERVING: &str = "event method";
/// Larger than what nginx keeps in memory of a request.
const LARGE: u64 = 1 << 20;

pub(crate) struct Nginx {
    name: &'static str,
    buffering: &'static str,
}

impl Nginx {
    pub(crate) const BUFFERING: Self = Self { name: "nginx", buffering: "on" };
    pub(crate) const PASSING: Self = Self { name: "nginx-unbuffered", buffering: "off" };
}

#[async_trait]
impl Fault for Nginx {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        "uploads through nginx, while the server behind it is killed"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let mut server = round.setup.start().await?;
        // The server comes back elsewhere each time; nginx knows one address for it.
        let relay = |_: &mut fastrand::Rng| Weather::FAIR;
        let relay = Proxy::open(server.address(), round.rng.fork(), relay).await?;
        let scratch = round.ground.scratch().join("nginx");
        let (_nginx, port) = start(&scratch, self.buffering, &relay).await?;
        let nginx = ([127, 0, 0, 1], port).into();
        let mut files = round.add_files(4, 0..=20);
        files.push(large(round));
        for _ in 0..if round.thorough { 6 } else { 2 } {
            let style = Style { connections: round.rng.usize(1..=4), copies: 1..=2, probes: true };
            let mut crew = round.send_to(&files, nginx, &style);
            crew.answers(round.rng.u64(0..60)).await;
            server.kill().await?;
            round.tally.hit();
            // They are told 502 now, and ask again.
            crew.answers(round.rng.u64(1..20)).await;
            let before = round.ledger.snapshot();
            server = round.setup.start().await?;
            relay.aim(server.address());
            audit::promises(round, &server, &before).await?;
            let ended = crew.stopped().await;
            round.note_refusals(&ended);
        }
        let mut crew = round.send_to(&files, nginx, &Style::FLOW_JS);
        if in_time("uploads through nginx", crew.finished()).await.is_err() {
            let detail = format!("uploads through nginx do not end within {PATIENCE:?}");
            round.tally.broken(Kind::Stuck, detail);
        }
        let ended = crew.stopped().await;
        round.note_refusals(&ended);
        audit::conclude(round, server).await
    }
}

/// A file with chunks of flow.js's own kind of size.
fn large(round: &mut Round) -> usize {
    let name = format!("{}.bin", round.ledger.files().len());
    let (seed, octet) = (round.rng.u64(..), round.rng.bool());
    let chunk_size = if round.thorough { 8 * LARGE } else { LARGE };
    let plan = Plan { name, seed, total: 2 * chunk_size + 5, chunk_size, force: false, octet };
    round.ledger.add(plan)
}

/// Starts nginx on a port that is free.
async fn start(scratch: &Path, buffering: &str, relay: &Proxy) -> Result<(Child, u16), Failure> {
    std::fs::create_dir(scratch)?;
    for _ in 0..ATTEMPTS_MAX {
        // It is given back before nginx takes it: somebody else may be faster.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        std::fs::write(scratch.join("nginx.conf"), config(scratch, buffering, port, relay))?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(scratch).arg("-c").arg(scratch.join("nginx.conf"));
        command.arg("-e").arg("stderr").stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = match command.stderr(Stdio::piped()).kill_on_drop(true).spawn() {
            Ok(child) => child,
            Err(error) => return Err(Failure::not_run(format!("nginx does not start: {error}"))),
        };
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        while let Some(line) = in_time("a word of nginx", lines.next_line()).await?? {
            if line.contains(SERVING) {
                // It must never wait for us to read.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok((child, port));
            }
        }
    }
    Err(Failure::not_run("nginx does not serve: see its nginx.conf with --keep"))
}

/// One process, in its own folder, that passes everything on.
fn config(scratch: &Path, buffering: &str, port: u16, relay: &Proxy) -> String {
    let (folder, server) = (scratch.display().to_string(), relay.address());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| [name, "_temp_path ", &folder, "/", name, ";\n"].concat())
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr notice;\n\
         events {{ worker_connections 512; }}\nhttp {{\n{temporary}access_log off;\n\
         client_max_body_size 0;\nserver {{\nlisten 127.0.0.1:{port};\nlocation / {{\n\
         proxy_pass http://{server};\nproxy_http_version 1.1;\nproxy_set_header Connection '';\n\
         proxy_request_buffering {buffering};\nproxy_buffering {buffering};\n}}\n}}\n}}\n"
    )
}
