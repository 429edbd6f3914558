//! Servers that do less than any upload server can: what is left is what the machine allows.
//!
//! Bare hyper, with tokio's defaults, which are those of the binary. They understand the requests
//! of flow.js's method `octet` just far enough to know where a body belongs, and promise nothing.

use std::{
    collections::HashMap,
    convert::Infallible,
    fs::{File, OpenOptions},
    io::{self, IoSlice},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use clap::ValueEnum;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustix::io::pwritev;
use tokio::{net::TcpListener, runtime::Runtime};

/// What a limit does with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Limit {
    /// Reads it, and drops it. A probe is answered 204.
    Drop,
    /// Writes it to its place in a file, which is made with its first chunk.
    Write,
}

impl Limit {
    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Write => "write",
        }
    }
}

/// Bytes that are gathered before they are written: a chunk of the usual size is one write.
const WRITE_LEN: usize = 1 << 20;
/// Slices of one write: what Linux takes at a time (`IOV_MAX`).
const SLICES_MAX: usize = 1024;

/// The files that have been begun.
#[derive(Default)]
struct Files {
    folder: PathBuf,
    open: Mutex<HashMap<String, Arc<Mutex<File>>>>,
}

/// Where a body belongs.
struct Place {
    identifier: String,
    offset: u64,
    /// No other chunk will come.
    only: bool,
}

/// Serves on a free port, which it tells by `listening`, until the process ends.
pub(crate) fn serve(
    limit: Limit,
    folder: PathBuf,
    listening: impl FnOnce(&str),
) -> io::Result<Infallible> {
    let files = Arc::new(Files { folder, ..Files::default() });
    Runtime::new()?.block_on(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        listening(&listener.local_addr()?.to_string());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let files = files.clone();
            let service = service_fn(move |request| answer(limit, files.clone(), request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    })
}

async fn answer(
    limit: Limit,
    files: Arc<Files>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let mut answer = Response::new(Empty::new());
    if request.method() == hyper::Method::GET {
        *answer.status_mut() = StatusCode::NO_CONTENT;
        return Ok(answer);
    }
    let place = Place::of(request.uri().query().unwrap_or_default());
    let mut body = request.into_body();
    if limit == Limit::Drop {
        while let Some(frame) = body.frame().await {
            drop(frame?);
        }
        return Ok(answer);
    }
    let Some(Place { identifier, mut offset, only }) = place else {
        *answer.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(answer);
    };
    let file = files.open(&identifier, only).expect("a file");
    let (mut gathered, mut len) = (Vec::new(), 0);
    loop {
        let frame = body.frame().await.transpose()?;
        let ended = frame.is_none();
        if let Some(data) = frame.and_then(|frame| frame.into_data().ok()) {
            len += data.len();
            gathered.push(data);
        }
        if len != 0 && (ended || WRITE_LEN <= len || gathered.len() == SLICES_MAX) {
            // Right here, not on a thread that may block: measured to cost less. One at a time: so
            // does Linux with the writes to one file, but it has the others spin.
            let file = file.lock().unwrap_or_else(PoisonError::into_inner);
            write_at(&file, &gathered, offset).expect("the disk takes it");
            offset += std::mem::take(&mut len) as u64;
            gathered.clear();
        }
        if ended {
            return Ok(answer);
        }
    }
}

impl Files {
    fn open(&self, identifier: &str, only: bool) -> io::Result<Arc<Mutex<File>>> {
        let path = self.folder.join(identifier);
        let open = || OpenOptions::new().write(true).create(true).truncate(false).open(path);
        if only {
            return open().map(Mutex::new).map(Arc::new);
        }
        let mut files = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(identifier) {
            return Ok(file.clone());
        }
        let file = Arc::new(Mutex::new(open()?));
        files.insert(identifier.to_owned(), file.clone());
        Ok(file)
    }
}

impl Place {
    /// Read from the fields of a chunk; flow.js's names and our generator's files need no decoding.
    fn of(query: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
        };
        let number = |name| field(name)?.parse::<u64>().ok();
        Some(Self {
            identifier: field("flowIdentifier")?.to_owned(),
            offset: (number("flowChunkNumber")? - 1) * number("flowChunkSize")?,
            only: number("flowTotalChunks")? == 1,
        })
    }
}

/// Writes all of it, usually at once.
fn write_at(file: &File, slices: &[Bytes], mut offset: u64) -> io::Result<()> {
    let mut slices: Vec<IoSlice> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
    let mut left = &mut slices[..];
    while !left.is_empty() {
        let written = pwritev(file, left, offset)?;
        offset += written as u64;
        IoSlice::advance_slices(&mut left, written);
    }
    Ok(())
}
