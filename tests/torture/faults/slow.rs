//! Requests as odd clients and networks make them: byte by byte, in packets of any size, of unsaid
//! length, asking for permission, many at once, behind others that were refused. All are taken.

use async_trait::async_trait;
use fastrand::Rng;

use super::Fault;
use crate::{
    audit,
    client::post,
    failure::Failure,
    ledger::FileId,
    report::Kind,
    round::Round,
    server::Server,
    wire::{Answer, Connection, body_at, request},
};

/// Bytes of a request that come one by one.
const DROPS: usize = 1500;

pub(crate) struct Slow;

/// The way in which a chunk comes.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// One byte at a time.
    Drops,
    /// In packets, each of which the server has the time to read.
    Packets,
    /// In chunked transfer coding, with extensions and trailers.
    Coded,
    /// The body waits for 100 Continue.
    Asking,
    /// Together with the chunks behind it.
    Together,
    /// Behind requests that are refused.
    AfterRefusals,
}

const WAYS: [Way; 6] =
    [Way::Drops, Way::Packets, Way::Coded, Way::Asking, Way::Together, Way::AfterRefusals];

#[async_trait]
impl Fault for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn about(&self) -> &'static str {
        "byte by byte, in packets, chunked, 100-continue, pipelined, behind refusals"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let server = round.setup.start().await?;
        for file in round.add_files(if round.thorough { 12 } else { 6 }, 1..=12) {
            let rng = round.rng.fork();
            Sender { round, server: &server, file, rng }.work().await?;
        }
        audit::conclude(round, server).await
    }
}

/// Sends one file over one connection.
struct Sender<'a> {
    round: &'a Round,
    server: &'a Server,
    file: FileId,
    rng: Rng,
}

impl Sender<'_> {
    async fn work(mut self) -> Result<(), Failure> {
        let count = self.round.ledger.plan(self.file).count();
        let mut connection = Connection::open(self.server.address()).await?;
        let mut number = 1;
        while number <= count {
            let way = WAYS[self.rng.usize(..WAYS.len())];
            let together = if matches!(way, Way::Together) { self.rng.u64(2..=4) } else { 1 };
            let last = (number + together - 1).min(count);
            for sent in number..=last {
                self.round.ledger.sends(self.file, sent);
            }
            self.round.tally.hit();
            if let Err(error) = self.send(&mut connection, way, (number, last)).await {
                self.complain(way, number, &error.to_string());
                connection = Connection::open(self.server.address()).await?;
            }
            number = last + 1;
        }
        Ok(())
    }

    /// Sends chunks, and takes their answers.
    async fn send(
        &mut self,
        connection: &mut Connection,
        way: Way,
        (number, last): (u64, u64),
    ) -> Result<(), Failure> {
        let plan = self.round.ledger.plan(self.file);
        let whole = post(&plan, number);
        match way {
            Way::Drops => {
                for byte in whole.iter().take(DROPS) {
                    connection.send(&[*byte]).await?;
                }
                connection.send(whole.get(DROPS..).unwrap_or_default()).await?;
            }
            Way::Packets => self.packets(connection, &whole).await?,
            Way::Coded => connection.send(&coded(&whole, &mut self.rng)).await?,
            Way::Asking => {
                let asking = with_line(&whole, "expect: 100-continue");
                let (head, body) = asking.split_at(body_at(&asking));
                let asked = connection.ask(head).await?;
                if asked.status != 100 {
                    return Err(Failure::broken(format!("not asked: {}", asked.told())));
                }
                connection.send(body).await?;
            }
            Way::Together => {
                let all: Vec<u8> = (number..=last).flat_map(|sent| post(&plan, sent)).collect();
                connection.send(&all).await?;
            }
            Way::AfterRefusals => {
                refusals(connection).await?;
                connection.send(&whole).await?;
            }
        }
        for sent in number..=last {
            let answer = connection.answer().await?;
            self.taken(way, sent, &answer);
        }
        Ok(())
    }

    async fn packets(&mut self, connection: &mut Connection, bytes: &[u8]) -> Result<(), Failure> {
        let mut rest = bytes;
        for _ in 0..self.rng.usize(2..=8) {
            let packet = rest.split_off(..self.rng.usize(..=rest.len())).unwrap_or_default();
            connection.send(packet).await?;
            // While it answers this, it reads that.
            self.server.ask("GET", "/healthz").await?;
        }
        Ok(connection.send(rest).await?)
    }

    fn taken(&self, way: Way, number: u64, answer: &Answer) {
        if matches!(answer.status, 200 | 201) {
            self.round.ledger.stored(self.file, number, &answer.json());
        } else {
            self.complain(way, number, &answer.told());
        }
    }

    fn complain(&self, way: Way, number: u64, what: &str) {
        let name = &self.round.ledger.plan(self.file).name;
        self.round.tally.broken(Kind::Other, format!("{name}, chunk {number}, {way:?}: {what}"));
    }
}

/// Refused, and the connection is good for more.
async fn refusals(connection: &mut Connection) -> Result<(), Failure> {
    for (method, path, body, status) in [
        ("POST", "/upload?flowChunkNumber=x", &[0; 10_000][..], 400),
        ("GET", "/nowhere", &[], 404),
        ("POST", "/upload?flowFilename=a&flowTotalChunks=2", &[1; 100], 400),
        ("HEAD", "/upload", &[], 400),
        ("PATCH", "/upload", &[2; 100], 405),
    ] {
        connection.send(&request(method, path, &[], body)).await?;
        let answer = match method {
            "HEAD" => connection.head_only().await?,
            _ => connection.answer().await?,
        };
        if answer.status != status {
            return Err(Failure::broken(format!("{method} {path}: {}", answer.told())));
        }
    }
    Ok(())
}

/// With a header more.
fn with_line(request: &[u8], line: &str) -> Vec<u8> {
    let (head, body) = request.split_at(body_at(request) - 2);
    [head, line.as_bytes(), b"\r\n", body].concat()
}

/// In chunked transfer coding instead of a length.
fn coded(request: &[u8], rng: &mut Rng) -> Vec<u8> {
    let (head, mut body) = request.split_at(body_at(request));
    let head = String::from_utf8_lossy(head);
    let lines = head.split("\r\n").filter(|line| !line.starts_with("content-length"));
    let head = lines.collect::<Vec<_>>().join("\r\n");
    let mut coded = with_line(head.as_bytes(), "transfer-encoding: chunked");
    while !body.is_empty() {
        let len = rng.usize(1..=body.len().min(5000));
        let piece = body.split_off(..len).unwrap_or_default();
        let extension = if rng.bool() { ";name=\"value\"" } else { "" };
        coded.extend(format!("{len:x}{extension}\r\n").bytes());
        coded.extend(piece);
        coded.extend(b"\r\n");
    }
    let trailer = if rng.bool() { "x-trailer: 1\r\n" } else { "" };
    coded.extend(format!("0\r\n{trailer}\r\n").bytes());
    coded
}
