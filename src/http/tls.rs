//! TLS: connections that are encrypted before anything else is said on them.
//!
//! The handshake is no step of its own. It is made when the connection is first read, and so in the
//! connection's own task and within the time that the first request head has: a client that says
//! nothing, or says it slowly, holds up nobody and is cut like any other.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::{
    Accept as Handshake, TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    },
    server,
};

use super::server::{Accept, Accepted};

/// What the service shows of itself, and by which rules it speaks.
pub type Identity = Arc<ServerConfig>;

/// Why a certificate and a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidIdentity {
    /// No chain of certificates.
    #[error("the certificate is not one or more certificates in PEM, the service's own first")]
    Certificate(#[source] pem::Error),
    /// No private key.
    #[error("the key is not a private key in PEM without a passphrase")]
    Key(#[source] pem::Error),
    /// Most often they do not belong together.
    #[error("the certificate and the key cannot be used together")]
    Pair(#[source] rustls::Error),
}

/// Reads a chain of certificates and the private key of the first, both in PEM. TLS 1.2 and 1.3,
/// and HTTP/1.1 inside.
pub fn identity(certificates: &[u8], key: &[u8]) -> Result<Identity, InvalidIdentity> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<_, _>>()
        .map_err(InvalidIdentity::Certificate)?;
    if chain.is_empty() {
        return Err(InvalidIdentity::Certificate(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(InvalidIdentity::Key)?;
    // Named, not the one that a process may set as its default.
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(InvalidIdentity::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Gives encrypted connections.
#[derive(Debug)]
pub struct TlsListener {
    listener: TcpListener,
    identity: watch::Receiver<Identity>,
}

impl TlsListener {
    /// Over `listener`. A connection is served under the identity of the moment at which it came.
    #[must_use]
    pub fn new(listener: TcpListener, identity: watch::Receiver<Identity>) -> Self {
        Self { listener, identity }
    }
}

impl Accept for TlsListener {
    type Stream = TlsStream<TcpStream>;

    async fn accept(&mut self) -> io::Result<Accepted<Self::Stream>> {
        let (stream, peer) = Accept::accept(&mut self.listener).await?;
        let identity = self.identity.borrow().clone();
        let handshake = TlsAcceptor::from(identity).accept(stream);
        Ok((TlsStream::Handshake(Box::new(handshake)), peer))
    }
}

/// An encrypted connection, from before its handshake on.
pub enum TlsStream<IO> {
    /// Nothing of the application's was said yet.
    Handshake(Box<Handshake<IO>>),
    /// It is open.
    Open(Box<server::TlsStream<IO>>),
    /// The handshake came to nothing.
    Failed,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> TlsStream<IO> {
    /// The open connection; makes the handshake first.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut server::TlsStream<IO>>> {
        if let Self::Handshake(handshake) = self {
            match ready!(Pin::new(handshake).poll(cx)) {
                Ok(stream) => *self = Self::Open(Box::new(stream)),
                Err(error) => {
                    *self = Self::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(match self {
            Self::Open(stream) => Ok(stream),
            Self::Handshake(_) | Self::Failed => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = ready!(self.poll_open(cx))?;
        Pin::new(stream).poll_read(cx, buf)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = ready!(self.poll_open(cx))?;
        Pin::new(stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = ready!(self.poll_open(cx))?;
        Pin::new(stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Before the handshake there is nothing to flush, and nothing to say good-bye to.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Open(stream) => Pin::new(stream).poll_flush(cx),
            Self::Handshake(_) | Self::Failed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Open(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Handshake(_) | Self::Failed => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, net::SocketAddr, time::Duration};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_util::sync::CancellationToken;
    use tower::service_fn;

    use super::*;
    use crate::http::{
        Request, Response, body,
        server::{ServerOptions, serve},
    };

    /// A certificate and its key, in PEM.
    fn pair() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
        (pair.cert.pem(), pair.signing_key.serialize_pem())
    }

    #[test]
    fn what_is_no_pair_is_refused_with_the_reason() {
        let (cert, key) = pair();
        let (_, other) = pair();
        let refusal = |cert: &str, key: &str| identity(cert.as_bytes(), key.as_bytes()).err();
        assert!(refusal(&cert, &key).is_none());
        for (cert, key) in [("", &*key), ("garbage", &key), (&key, &key)] {
            let refusal = refusal(cert, key);
            assert!(matches!(refusal, Some(InvalidIdentity::Certificate(_))), "{refusal:?}");
        }
        assert!(matches!(refusal(&cert, &cert), Some(InvalidIdentity::Key(_))));
        assert!(matches!(refusal(&cert, &other), Some(InvalidIdentity::Pair(_))));
    }

    async fn start() -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (cert, key) = pair();
        let identity = identity(cert.as_bytes(), key.as_bytes()).expect("a pair");
        let listener = TlsListener::new(listener, watch::channel(identity).1);
        let service =
            service_fn(|_: Request| async { Ok::<_, Infallible>(Response::new(body::empty())) });
        let soon = Duration::from_millis(20);
        let options = ServerOptions { head_timeout: soon, ..ServerOptions::default() };
        let stop = CancellationToken::new();
        let deadline = Duration::from_hours(1);
        tokio::spawn(serve(listener, service, options, stop.clone(), deadline));
        (address, stop)
    }

    #[tokio::test]
    async fn a_client_that_does_not_finish_the_handshake_is_cut() {
        let (address, _stop) = start().await;
        // Nothing at all, and the beginning of a hello.
        for said in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
            let mut client = TcpStream::connect(address).await.expect("it listens");
            client.write_all(said).await.expect("open");
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.expect("closed in order");
            assert_eq!(rest, b"");
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_encrypt_is_told_and_cut() {
        let (address, _stop) = start().await;
        let mut client = TcpStream::connect(address).await.expect("it listens");
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("open");
        let mut rest = Vec::new();
        // Cut with its request unread, the connection may also be reset.
        client.read_to_end(&mut rest).await.ok();
        // An alert, and nothing else.
        assert!(rest.is_empty() || rest.starts_with(b"\x15\x03"), "{rest:?}");
    }
}
