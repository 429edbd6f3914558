//! HTTP/1.1 on a socket, byte by byte: what a fault needs to be able to say wrongly.

use std::{io, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

/// Longer than anything takes on a busy machine: what comes later than this never comes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = in_time(TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        in_time(self.stream.get_mut().write_all(bytes)).await
    }

    /// Ends what is sent, in order.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        in_time(self.stream.get_mut().shutdown()).await
    }

    /// Ends the connection by force: the server is told that it is gone.
    pub(crate) fn reset(self) -> io::Result<()> {
        self.stream.get_ref().set_zero_linger()
    }

    /// All that still comes until the server ends the connection.
    pub(crate) async fn rest(mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        in_time(self.stream.read_to_end(&mut rest)).await?;
        Ok(rest)
    }

    /// One request, one answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request).await?;
        self.answer().await
    }

    /// The next answer that has a body to its end, or is known to have none.
    pub(crate) async fn answer(&mut self) -> io::Result<Answer> {
        in_time(self.read_answer()).await
    }

    /// The next answer, which is one to HEAD.
    pub(crate) async fn head_only(&mut self) -> io::Result<Answer> {
        let (status, headers) = in_time(self.head()).await?;
        Ok(Answer { status, headers, body: Vec::new() })
    }

    async fn read_answer(&mut self) -> io::Result<Answer> {
        let (status, headers) = self.head().await?;
        let mut answer = Answer { status, headers, body: Vec::new() };
        if status < 200 || status == 204 || status == 304 {
            return Ok(answer);
        }
        if let Some(len) = answer.header("content-length") {
            let len: usize = len.parse().map_err(io::Error::other)?;
            answer.body.resize(len, 0);
            self.stream.read_exact(&mut answer.body).await?;
        } else {
            while let Some(piece) = self.piece().await? {
                answer.body.extend(piece);
            }
        }
        Ok(answer)
    }

    async fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let line = self.line().await?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status: {line:?}")))?;
        let mut headers = Vec::new();
        while let Some((name, value)) = self.line().await?.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok((status, headers))
    }

    /// The next piece of a body in chunked coding; nothing after the last.
    async fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let len = usize::from_str_radix(&self.line().await?, 16).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).await?;
        self.line().await?;
        Ok((len != 0).then_some(bytes))
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// Waits for what must come.
async fn in_time<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, what).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` if it is something else.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Status and body, for people.
    pub(crate) fn told(&self) -> String {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(300).collect();
        format!("{} {body}", self.status)
    }
}

/// Where the body of a request begins.
pub(crate) fn body_at(request: &[u8]) -> usize {
    let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    end.expect("a request has a head") + 4
}

/// A whole request.
pub(crate) fn request(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let lines: String = headers.iter().flat_map(|line| [line, "\r\n"]).collect();
    let len = match method {
        "GET" | "HEAD" | "DELETE" => String::new(),
        _ => format!("content-length: {}\r\n", body.len()),
    };
    let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{lines}{len}\r\n");
    [head.as_bytes(), body].concat()
}
