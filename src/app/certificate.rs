//! The certificate of the service and its key: read at the start, and again on SIGHUP and when the
//! files change.
//!
//! A pair that cannot be used does not replace one that can: programs that renew certificates write
//! the two files one after the other, and in between they do not belong together.

use std::{
    convert::Infallible,
    error::Error,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::secret;
use crate::{
    config::Config,
    http::tls::{self, Identity, InvalidIdentity, TlsListener},
    upload::limits,
};

/// Why the service cannot show who it is.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {key} ({})", path.display())]
    Unreadable {
        /// The setting that names it.
        key: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What is in the files is no certificate with its key.
    #[error("cannot use tls_cert ({}) with tls_key ({})", cert.display(), key.display())]
    Unusable {
        /// The certificates.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong with them.
        #[source]
        source: InvalidIdentity,
    },
    /// The system has no signal handler to give.
    #[error("cannot listen to SIGHUP")]
    Signal(#[source] io::Error),
}

/// The two files.
#[derive(Debug, Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// What tells the content of a file from any former one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    identity: (u64, u64),
    len: u64,
    /// Seconds and nanoseconds. Unlike the date of the last change, nobody can set it back.
    changed: (i64, i64),
}

/// What the service shows of itself, kept up to date.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Files,
    seen: [Option<Stamp>; 2],
    current: watch::Sender<Identity>,
    hangup: Signal,
}

impl Certificate {
    /// What the settings name, if they name one. Must be called inside a tokio runtime.
    pub(super) fn of(config: &Config) -> Result<Option<Self>, CertificateError> {
        let (Some(cert), Some(key)) = (config.tls_cert.clone(), config.tls_key.clone()) else {
            return Ok(None);
        };
        let files = Files { cert, key };
        // From here on nothing is missed: neither a signal nor a change.
        let hangup = signal(SignalKind::hangup()).map_err(CertificateError::Signal)?;
        let seen = files.stamps();
        let current = watch::Sender::new(files.read()?);
        Ok(Some(Self { files, seen, current, hangup }))
    }

    /// Connections that are encrypted under it.
    pub(super) fn listener(&self, listener: TcpListener) -> TlsListener {
        TlsListener::new(listener, self.current.subscribe())
    }

    /// Reads the files again when they change, and when a SIGHUP comes. Connections that are open
    /// stay as they are.
    pub(super) async fn keep_fresh(mut self) -> Infallible {
        let mut looks = interval(limits::TLS_CHECK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                Some(()) = self.hangup.recv() => true,
                _ = looks.tick() => false,
            };
            self.look(asked).await;
        }
    }

    async fn look(&mut self, asked: bool) {
        let (files, seen) = (self.files.clone(), self.seen);
        let look = spawn_blocking(move || {
            // Before they are read: what changes meanwhile is seen the next time.
            let stamps = files.stamps();
            (asked || stamps != seen).then(|| (stamps, files.read()))
        });
        let Ok(Some((stamps, read))) = look.await else { return };
        self.seen = stamps;
        match read {
            Ok(identity) => {
                self.current.send_replace(identity);
                tracing::info!("Reloaded the certificate: new connections are shown this one");
            }
            Err(error) => tracing::error!(
                error = &error as &dyn Error,
                "Kept the old certificate: the files have changed and cannot be used; mend them, \
                 or send SIGHUP to have them read again"
            ),
        }
    }
}

impl Files {
    fn stamps(&self) -> [Option<Stamp>; 2] {
        [&self.cert, &self.key].map(|path| stamp(path).ok())
    }

    fn read(&self) -> Result<Identity, CertificateError> {
        let unreadable = |key, path: &PathBuf| {
            let path = path.clone();
            move |source| CertificateError::Unreadable { key, path, source }
        };
        let chain = fs::read(&self.cert).map_err(unreadable("tls_cert", &self.cert))?;
        let secret = secret::read(&self.key).map_err(unreadable("tls_key", &self.key))?;
        tls::identity(&chain, &secret).map_err(|source| {
            let Self { cert, key } = self.clone();
            CertificateError::Unusable { cert, key, source }
        })
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok(Stamp {
        identity: (metadata.dev(), metadata.ino()),
        len: metadata.len(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}
