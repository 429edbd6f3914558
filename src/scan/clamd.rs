//! clamd of `ClamAV`, at its Unix socket: the command INSTREAM.
//!
//! The file goes in pieces, each behind its length (four bytes, the highest first); a length of
//! zero ends it. The answer is a line: `stream: OK`, `stream: NAME FOUND`, or `… ERROR`.

use std::path::PathBuf;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::{Content, ScanError, Scanner, Verdict};
use crate::upload::limits::SCAN_ANSWER_LEN_MAX;

/// What clamd says of a file that is larger than its `StreamMaxLength`. It would say so again.
const TOO_LARGE: &str = "INSTREAM size limit exceeded. ERROR";

/// clamd at this socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clamd {
    socket: PathBuf,
}

impl Clamd {
    /// clamd at the socket with this name.
    #[must_use]
    pub fn at(socket: PathBuf) -> Self {
        Self { socket }
    }
}

#[async_trait]
impl Scanner for Clamd {
    async fn scan(&self, content: Content<'_>) -> Result<Verdict, ScanError> {
        let connected = UnixStream::connect(&self.socket).await;
        let mut clamd = connected.map_err(ScanError::Unreachable)?;
        // It may answer before the end, and close: that the rest cannot be sent is no answer.
        let sent = send(&mut clamd, content).await;
        if let Err(error @ ScanError::Content(_)) = sent {
            return Err(error);
        }
        match answer(&mut clamd).await {
            Ok(answer) if !answer.is_empty() => verdict(&answer),
            Ok(_) => sent.and(Err(ScanError::Undecided("clamd said nothing".into()))),
            Err(error) => sent.and(Err(error)),
        }
    }
}

async fn send(clamd: &mut UnixStream, mut content: Content<'_>) -> Result<(), ScanError> {
    clamd.write_all(b"zINSTREAM\0").await.map_err(ScanError::Unreachable)?;
    while let Some(bytes) = content.next().await {
        let bytes = bytes.map_err(ScanError::Content)?;
        if bytes.is_empty() {
            // Its length would mean the end.
            continue;
        }
        let len = u32::try_from(bytes.len()).expect("files are read in slices of READ_LEN_MAX");
        clamd.write_all(&len.to_be_bytes()).await.map_err(ScanError::Unreachable)?;
        clamd.write_all(&bytes).await.map_err(ScanError::Unreachable)?;
    }
    clamd.write_all(&[0; 4]).await.map_err(ScanError::Unreachable)
}

/// What clamd says, without the zero at its end.
async fn answer(clamd: &mut UnixStream) -> Result<String, ScanError> {
    let mut text = Vec::new();
    let mut bounded = clamd.take(SCAN_ANSWER_LEN_MAX as u64);
    bounded.read_to_end(&mut text).await.map_err(ScanError::Unreachable)?;
    Ok(String::from_utf8_lossy(&text).trim_matches(['\0', '\n', ' ']).to_owned())
}

fn verdict(answer: &str) -> Result<Verdict, ScanError> {
    let said = answer.strip_prefix("stream: ").unwrap_or(answer);
    match said.strip_suffix(" FOUND") {
        Some(name) => Ok(Verdict::Refused(name.to_owned())),
        None if said == TOO_LARGE => Ok(Verdict::Refused("the file is too large for it".into())),
        None if said == "OK" => Ok(Verdict::Clean),
        None => Err(ScanError::Undecided(format!("clamd said: {answer:?}").into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ok_is_clean_and_only_found_is_refused() {
        assert!(matches!(verdict("stream: OK"), Ok(Verdict::Clean)));
        let found = verdict("stream: Eicar-Test-Signature FOUND").expect("a verdict");
        assert_eq!(found, Verdict::Refused("Eicar-Test-Signature".into()));
        assert!(matches!(verdict(TOO_LARGE), Ok(Verdict::Refused(_))));
        for unclear in ["", "OK?", "stream: ", "INSTREAM: broken. ERROR", "UNKNOWN"] {
            assert!(matches!(verdict(unclear), Err(ScanError::Undecided(_))), "{unclear}");
        }
    }
}
