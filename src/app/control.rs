//! The socket on which the operator's tools reach the server: a file that only its user may open.
//!
//! Whoever has the data folders has the right to the socket, so it is made after they are locked
//! and removed before they are let go: a socket at which nobody answers was left by a crash. What
//! cannot be had is done without: a server without the socket serves uploads all the same.

use std::{
    error::Error,
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Mode, fchmod};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::{
    http::{
        Handler,
        server::{self, ServerOptions},
    },
    upload::limits,
};

/// A socket that is listened on. Its file goes with it.
#[derive(Debug)]
pub(super) struct ControlSocket {
    listener: UnixListener,
    _file: SocketFile,
}

/// The name of a socket in the file system.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode, by which it is known as ours.
    identity: (u64, u64),
}

impl ControlSocket {
    /// Listens at this path; says so if it cannot. Must be called inside a tokio runtime.
    pub(super) async fn bind(path: &Path) -> Option<Self> {
        match bind(path).await {
            Ok(socket) => Some(socket),
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::warn!(
                    path = %path.display(), error,
                    "No control socket: the tools that change something cannot reach this server; \
                     set control_socket to a path that can be used"
                );
                None
            }
        }
    }

    /// Serves until `stop`, and then as [`server::serve`] does.
    pub(super) async fn serve(
        self,
        service: impl Handler,
        stop: CancellationToken,
        deadline: Duration,
    ) {
        let Self { listener, _file } = self;
        let max_connections = limits::CONTROL_CONNECTIONS_MAX;
        let options = ServerOptions { max_connections, ..ServerOptions::default() };
        server::serve(listener, service, options, stop, deadline).await;
    }
}

async fn bind(path: &Path) -> io::Result<ControlSocket> {
    clear(path).await?;
    let socket = UnixSocket::new_stream()?;
    // Before it has a name: there is no moment at which anybody else could open it.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(path)?;
    let file = SocketFile { path: path.into(), identity: identity(path)? };
    Ok(ControlSocket { listener: socket.listen(limits::BACKLOG_LEN)?, _file: file })
}

/// Removes a socket that a crash has left. Errors: something else is there.
async fn clear(path: &Path) -> io::Result<()> {
    match UnixStream::connect(path).await {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            if !fs::symlink_metadata(path)?.file_type().is_socket() {
                let kind = io::ErrorKind::AlreadyExists;
                return Err(io::Error::new(kind, "a file that is no socket is there"));
            }
            fs::remove_file(path)
        }
        Err(error) => Err(error),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have put another there. A name that stays is stale, and the next start
        // replaces it.
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
