//! A flow.js client on raw connections, and files to send with it.

use std::{io, time::Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Answer, Connection, PATIENCE, Server, request};

/// A file that is sent as flow.js sends it.
#[derive(Clone)]
pub(crate) struct FlowFile {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    chunk_size: usize,
    declared: bool,
}

/// The same bytes for the same seed, and no two alike.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(len);
    bytes
}

/// A picture of one pixel.
pub(crate) fn png() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0];
    // zlib: one stored block with the line's filter and its pixel, and their Adler-32.
    let line = [0x78, 0x01, 1, 2, 0, 0xfd, 0xff, 0, 0xff, 0x01, 0x01, 0x01, 0x00];
    let line = [&line[..9], &adler32(&line[7..9])].concat();
    for (kind, data) in [(b"IHDR", &header[..]), (b"IDAT", &line), (b"IEND", &[])] {
        png.extend(u32::try_from(data.len()).expect("short").to_be_bytes());
        let checked = [kind, data].concat();
        png.extend(&checked);
        png.extend(crc32fast::hash(&checked).to_be_bytes());
    }
    png
}

fn adler32(bytes: &[u8]) -> [u8; 4] {
    let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    (b << 16 | a).to_be_bytes()
}

impl FlowFile {
    pub(crate) fn new(name: &str, content: Vec<u8>, chunk_size: usize) -> Self {
        Self { name: name.to_owned(), content, chunk_size, declared: false }
    }

    /// Its client names its SHA-256.
    pub(crate) fn declared(self) -> Self {
        Self { declared: true, ..self }
    }

    fn sha256(&self) -> String {
        hex::encode(Sha256::digest(&self.content))
    }

    /// How many chunks flow.js makes of it.
    pub(crate) fn count(&self) -> usize {
        (self.content.len() / self.chunk_size).max(1)
    }

    /// The bytes of a chunk, by its number.
    pub(crate) fn chunk(&self, number: usize) -> &[u8] {
        let start = (number - 1) * self.chunk_size;
        let last = number == self.count();
        &self.content[start..if last { self.content.len() } else { start + self.chunk_size }]
    }

    pub(crate) fn fields(&self, number: usize) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("flowChunkNumber", number.to_string()),
            ("flowChunkSize", self.chunk_size.to_string()),
            ("flowCurrentChunkSize", self.chunk(number).len().to_string()),
            ("flowTotalSize", self.content.len().to_string()),
            ("flowIdentifier", format!("{}-{}", self.content.len(), self.name)),
            ("flowFilename", self.name.clone()),
            ("flowRelativePath", self.name.clone()),
            ("flowTotalChunks", self.count().to_string()),
        ];
        if self.declared {
            fields.push(("sha256", self.sha256()));
        }
        fields
    }

    /// `/upload` with the fields of a chunk.
    pub(crate) fn address(&self, number: usize) -> String {
        let fields = self.fields(number);
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        format!("/upload?{query}")
    }

    /// The multipart POST of a chunk.
    pub(crate) fn request(&self, number: usize) -> Vec<u8> {
        let (content_type, body) = self.form(number);
        request("POST", "/upload", &[&content_type], &body)
    }

    /// The `Content-Type` line and the body of the POST of a chunk.
    pub(crate) fn form(&self, number: usize) -> (String, Vec<u8>) {
        const BOUNDARY: &str = "----WebKitFormBoundaryQ7tTZ0o1FwHvkpYc";
        let disposition = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=");
        let mut body = Vec::new();
        for (name, value) in self.fields(number) {
            body.extend(format!("{disposition}\"{name}\"\r\n\r\n{value}\r\n").into_bytes());
        }
        let file = format!("{disposition}\"file\"; filename=\"{}\"\r\n\r\n", self.name);
        body.extend(file.into_bytes());
        body.extend(self.chunk(number));
        body.extend(format!("\r\n--{BOUNDARY}--\r\n").into_bytes());
        (format!("Content-Type: multipart/form-data; boundary={BOUNDARY}"), body)
    }

    /// Sends a chunk.
    pub(crate) fn post(&self, to: &mut Connection, number: usize) -> io::Result<Answer> {
        to.ask(&self.request(number))
    }

    /// Asks for a chunk.
    pub(crate) fn probe(&self, to: &mut Connection, number: usize) -> io::Result<Answer> {
        to.ask(&request("GET", &self.address(number), &[], b""))
    }

    /// Probes every chunk, sends those that are missing, and gives the creative in the end. Returns
    /// the numbers that were missing, too.
    #[track_caller]
    pub(crate) fn resume(&self, server: &Server) -> (Value, Vec<usize>) {
        let (creative, missing) = self.resume_unhashed(server);
        assert_eq!(creative["sha256"], self.sha256());
        (creative, missing)
    }

    /// As [`Self::resume`], whichever digest is taken.
    #[track_caller]
    pub(crate) fn resume_unhashed(&self, server: &Server) -> (Value, Vec<usize>) {
        let mut connection = server.connect();
        let mut missing = Vec::new();
        let mut last = None;
        for number in 1..=self.count() {
            let answer = self.probe(&mut connection, number).expect("an answer to a probe");
            match answer.status {
                200 => last = Some(answer),
                204 => missing.push(number),
                _ => panic!("chunk {number}: {answer:?}"),
            }
        }
        for number in &missing {
            let answer = self.post(&mut connection, *number).expect("an answer to a chunk");
            assert!(matches!(answer.status, 200 | 201), "chunk {number}: {answer:?}");
            last = Some(answer);
        }
        let status = last.expect("at least one chunk").json();
        (self.creative(server, &status), missing)
    }

    /// Sends the whole file; gives the creative.
    #[track_caller]
    pub(crate) fn upload(&self, server: &Server) -> Value {
        self.resume(server).0
    }

    /// The creative of this upload, which has all its chunks: it is waited for.
    #[track_caller]
    fn creative(&self, server: &Server, status: &Value) -> Value {
        let id = status["upload"]["id"].as_str().expect("an id");
        let creative = self.followed_to_its_end(server, id)["creative"].clone();
        assert!(server.setup().published(&creative) == self.content, "not what was sent");
        creative
    }

    /// The event that says that an upload is complete.
    #[track_caller]
    fn followed_to_its_end(&self, server: &Server, id: &str) -> Value {
        let mut connection = server.connect();
        let path = format!("/uploads/{id}/events");
        connection.send(&request("GET", &path, &[], b"")).expect("open");
        assert_eq!(connection.head().expect("an answer").0, 200);
        let begun = Instant::now();
        loop {
            let event = connection.chunk().expect("whole events").expect("it ends complete");
            let event = String::from_utf8(event).expect("text");
            // Between events there are comments, which show that the connection is alive.
            let data = event.lines().find_map(|line| line.strip_prefix("data: "));
            let status = data.map(serde_json::from_str::<Value>);
            match status.transpose().expect("a status") {
                Some(status) if status["upload"]["state"] == "complete" => return status,
                last => assert!(begun.elapsed() < PATIENCE, "{}: {last:?}", self.name),
            }
        }
    }
}
