//! Sockets to listen on.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use super::StartError;
use crate::upload::limits;

/// Listens on this address. To be called before `App::open`: whoever connects meanwhile waits,
/// and if it cannot be done, the data has not been touched. Must be called inside a tokio runtime.
pub fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    bind(address).map_err(|source| StartError::Listen { address: address.to_string(), source })
}

/// As `TcpListener::bind`, whose backlog is too short for those who wait for a connection.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the connections of its predecessor to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(limits::BACKLOG_LEN)
}
