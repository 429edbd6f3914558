//! flow.js's requests, to the byte, on a connection that is kept; and answers, read to their end.
//!
//! As cheap as they can be: a chunk is sent in one vectored write, its bytes uncopied.

use std::{
    fmt::Write as _,
    io::{self, ErrorKind, IoSlice, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::content::FlowFile;

const BOUNDARY: &str = "----WebKitFormBoundaryQ7tTZ0o1FwHvkpYc";
/// Longer than any server that still works needs.
const PATIENCE: Duration = Duration::from_mins(2);
const ANSWER_LEN: usize = 16 * 1024;

/// A connection to a server.
pub(crate) struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    /// What is sent before the bytes of a chunk; kept, so that its memory is used again.
    before: Vec<u8>,
    answer: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Answer<'_> {
    /// Whether it says that the file is published and recorded.
    pub(crate) fn is_complete(&self) -> bool {
        let says_so = b"\"complete\":true";
        self.status == 201 || self.body.windows(says_so.len()).any(|window| window == says_so)
    }
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let answer = vec![0; ANSWER_LEN];
        Ok(Self { stream, address, before: Vec::with_capacity(4096), answer })
    }

    /// Sends a chunk as an HTML form, as flow.js does unless it is told otherwise.
    pub(crate) fn post_form(
        &mut self,
        file: &FlowFile,
        number: u64,
        shared: &[u8],
    ) -> io::Result<Answer<'_>> {
        let (stamp, rest) = file.chunk(number, shared);
        let after = format!("\r\n--{BOUNDARY}--\r\n");
        let mut form = String::with_capacity(2048);
        for (name, value) in fields(file, number) {
            let head = "Content-Disposition: form-data; name=";
            write!(form, "--{BOUNDARY}\r\n{head}\"{name}\"\r\n\r\n{value}\r\n").expect("a string");
        }
        write!(
            form,
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            file.name
        )
        .expect("a string");
        let len = form.len() + stamp.len() + rest.len() + after.len();
        let content = format!(
            "Content-Length: {len}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        );
        self.head("POST", "/upload", &content);
        self.before.extend_from_slice(form.as_bytes());
        self.before.extend_from_slice(&stamp);
        self.send(rest, after.as_bytes())?;
        self.answer()
    }

    /// Sends a chunk as flow.js's method `octet` does.
    pub(crate) fn post_octets(
        &mut self,
        file: &FlowFile,
        number: u64,
        shared: &[u8],
    ) -> io::Result<Answer<'_>> {
        let (stamp, rest) = file.chunk(number, shared);
        let content = format!("Content-Length: {}\r\n", stamp.len() + rest.len());
        self.head("POST", &address_of(file, number), &content);
        self.before.extend_from_slice(&stamp);
        self.send(rest, b"")?;
        self.answer()
    }

    /// Asks whether a chunk is there.
    pub(crate) fn probe(&mut self, file: &FlowFile, number: u64) -> io::Result<Answer<'_>> {
        self.get(&address_of(file, number))
    }

    /// A GET.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer<'_>> {
        self.head("GET", path, "");
        self.send(b"", b"")?;
        self.answer()
    }

    /// Begins a request: its head, with the lines that Chromium sends.
    fn head(&mut self, method: &str, path: &str, content: &str) {
        let Self { before, address, .. } = self;
        before.clear();
        let origin =
            if method == "GET" { String::new() } else { format!("Origin: http://{address}\r\n") };
        write!(
            before,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: keep-alive\r\n{content}\
             sec-ch-ua-platform: \"Linux\"\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/140.0.0.0 Safari/537.36\r\n\
             sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n\
             sec-ch-ua-mobile: ?0\r\nAccept: */*\r\n{origin}Sec-Fetch-Site: same-origin\r\n\
             Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nReferer: http://{address}/\r\n\
             Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n"
        )
        .expect("memory");
    }

    /// Sends what was begun, with this behind it.
    fn send(&mut self, rest: &[u8], after: &[u8]) -> io::Result<()> {
        let mut slices = [IoSlice::new(&self.before), IoSlice::new(rest), IoSlice::new(after)];
        let mut left = &mut slices[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.stream.write_vectored(left)? {
                0 => return Err(ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut left, written),
            }
        }
        Ok(())
    }

    /// The next answer. Servers of ours say how long it is, and send no other before it is asked.
    fn answer(&mut self) -> io::Result<Answer<'_>> {
        let mut filled = 0;
        loop {
            if filled == self.answer.len() {
                // A list; answers to chunks and probes have room.
                self.answer.resize(2 * filled, 0);
            }
            match self.stream.read(&mut self.answer[filled..])? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
            if let Some((status, head_len, body_len)) = parse(&self.answer[..filled])?
                && head_len + body_len <= filled
            {
                return Ok(Answer { status, body: &self.answer[head_len..head_len + body_len] });
            }
        }
    }
}

/// Status, and the lengths of head and body, once the whole head is here.
fn parse(bytes: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(io::Error::other)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.get(9..12)?.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status: {head:?}")))?;
    let len = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(Some((status, end + 4, len.unwrap_or_default())))
}

/// The fields of a chunk, in flow.js's order.
fn fields(file: &FlowFile, number: u64) -> [(&'static str, String); 8] {
    [
        ("flowChunkNumber", number.to_string()),
        ("flowChunkSize", file.chunk_size.to_string()),
        ("flowCurrentChunkSize", file.len(number).to_string()),
        ("flowTotalSize", file.size.to_string()),
        ("flowIdentifier", file.identifier.clone()),
        ("flowFilename", file.name.clone()),
        ("flowRelativePath", file.name.clone()),
        ("flowTotalChunks", file.count().to_string()),
    ]
}

/// The address of a chunk. Names of ours need no escapes.
fn address_of(file: &FlowFile, number: u64) -> String {
    let pairs = fields(file, number).map(|(name, value)| format!("{name}={value}"));
    format!("/upload?{}", pairs.join("&"))
}
