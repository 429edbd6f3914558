//! HTTPS by the server itself: what it speaks, and how it changes its certificate.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    path::PathBuf,
    sync::Arc,
};

use rustix::process::Signal;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};

use crate::support::{FlowFile, PATIENCE, Server, Setup, bytes, request, run, until, write_secret};

const RELOADED: &str = "Reloaded the certificate";
const KEPT: &str = "Kept the old certificate";

/// A certificate for localhost that nobody else has signed, and its key.
struct Pair {
    der: CertificateDer<'static>,
    cert: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let pair = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
        let (cert, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        Self { der: pair.cert.into(), cert, key }
    }

    fn write(&self, setup: &Setup) {
        fs::write(cert(setup), &self.cert).expect("written");
        write_secret(key(setup), &self.key);
    }

    fn start(&self) -> Server {
        let setup = Setup::new().flag("--tls-cert=cert.pem").flag("--tls-key=key.pem");
        self.write(&setup);
        setup.start()
    }

    /// The answers to what is said on a connection of its own, if the server shows this one.
    fn ask(&self, server: &Server, said: &[u8]) -> io::Result<String> {
        let mut client = self.connect(server, &[])?;
        client.write_all(said)?;
        client.write_all(&request("GET", "/healthz", &["Connection: close"], b""))?;
        let mut answers = String::new();
        // Fails unless the end is announced: what was cut must not be taken for whole.
        client.read_to_string(&mut answers)?;
        Ok(answers)
    }

    fn connect(
        &self,
        server: &Server,
        protocols: &[&[u8]],
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let mut trusted = RootCertStore::empty();
        trusted.add(self.der.clone()).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("there are some");
        let mut config = config.with_root_certificates(trusted).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut stream = TcpStream::connect(server.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        while client.is_handshaking() {
            client.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(client, stream))
    }

    fn is_shown(&self, server: &Server) -> bool {
        self.connect(server, &[]).is_ok()
    }
}

fn cert(setup: &Setup) -> PathBuf {
    setup.dir().join("cert.pem")
}

fn key(setup: &Setup) -> PathBuf {
    setup.dir().join("key.pem")
}

#[test]
fn an_upload_goes_over_tls() {
    let pair = Pair::new();
    let server = pair.start();
    assert!(server.log().wait_for("listening on ").contains("https://"));
    let file = FlowFile::new("a.bin", bytes(5, 300_000), 100_000);
    let chunks: Vec<u8> = (1..=3).flat_map(|number| file.request(number)).collect();
    let answers = pair.ask(&server, &chunks).expect("four answers");
    let statuses: Vec<&str> =
        answers.lines().filter_map(|line| line.split_once("HTTP/1.1 ").map(|it| it.1)).collect();
    assert_eq!(statuses, ["200 OK", "200 OK", "201 Created", "200 OK"], "{answers}");
    let published = server.setup().files("completed");
    let path = server.setup().dir().join("completed").join(&published[0]);
    assert!(fs::read(path).expect("it can be read") == file.content);
}

#[test]
fn the_protocol_is_http_1_1_in_tls_1_2_or_newer() {
    let pair = Pair::new();
    let server = pair.start();
    let both = pair.connect(&server, &[b"h2", b"http/1.1"]).expect("it is offered");
    assert_eq!(both.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    pair.connect(&server, &[b"h2"]).expect_err("it is not spoken");

    // Two hellos that differ in nothing but the version: 1.2 and 1.1.
    let (spoken, refused) = (hello(&server, 3), hello(&server, 2));
    assert_eq!(spoken[0], 0x16, "a hello of the server's: {spoken:?}");
    // A fatal alert: the version of the protocol.
    assert!(refused[0] == 0x15 && refused.ends_with(&[2, 70]), "{refused:?}");
}

/// What is answered to a hello of TLS 1.`minor - 1`, without extensions of later times.
fn hello(server: &Server, minor: u8) -> Vec<u8> {
    let mut hello = vec![0x16, 3, 1, 0, 63, 1, 0, 0, 59, 3, minor];
    hello.extend([7; 32]);
    // No session, one cipher, no compression, one kind of signature, one group.
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 16]);
    hello.extend([0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 29]);
    let mut client = TcpStream::connect(server.address()).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("set");
    client.write_all(&hello).expect("open");
    client.shutdown(Shutdown::Write).expect("open");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("closed");
    answer
}

#[test]
fn a_new_certificate_is_shown_when_the_files_change() {
    let (old, new) = (Pair::new(), Pair::new());
    let server = old.start();
    let mut before = old.connect(&server, &[]).expect("a connection");
    new.write(server.setup());
    until(|| new.is_shown(&server));
    assert!(!old.is_shown(&server));
    server.log().wait_for(RELOADED);
    // What was open goes on.
    before.write_all(&request("GET", "/healthz", &[], b"")).expect("open");
    let mut answer = [0; 15];
    before.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[test]
fn sighup_reads_the_files_again_whether_or_not_they_have_changed() {
    let pair = Pair::new();
    let server = pair.start();
    server.signal(Signal::HUP);
    server.log().wait_for(RELOADED);
    assert!(pair.is_shown(&server));
    let (status, _) = server.terminated();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn what_cannot_be_used_does_not_replace_what_can() {
    let (old, new) = (Pair::new(), Pair::new());
    let server = old.start();
    // The new certificate with the old key, as in the middle of a renewal.
    fs::write(cert(server.setup()), &new.cert).expect("written");
    server.signal(Signal::HUP);
    let line = server.log().wait_for(KEPT);
    assert!(line.contains("ERROR") && line.contains("cannot be used together"), "{line}");
    assert!(old.is_shown(&server) && !new.is_shown(&server));
    // And then its key.
    write_secret(key(server.setup()), &new.key);
    until(|| new.is_shown(&server));
    // Gone altogether.
    fs::remove_file(cert(server.setup())).expect("there");
    server.log().wait_for("cannot read tls_cert");
    assert!(new.is_shown(&server));
}

#[test]
fn a_server_whose_certificate_cannot_be_used_does_not_start_and_touches_nothing() {
    let pair = Pair::new();
    for (name, wrong) in [("cert.pem", "garbage"), ("key.pem", "garbage"), ("key.pem", &pair.cert)]
    {
        let setup = Setup::new();
        pair.write(&setup);
        fs::write(setup.dir().join(name), wrong).expect("written");
        let flags = ["--listen=127.0.0.1:0", "--tls-cert=cert.pem", "--tls-key=key.pem"];
        let output = run(setup.dir(), &flags);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains("cannot use tls_cert"), "{error}");
        assert!(
            !setup.dir().join("incomplete").exists() && !setup.dir().join("flowstitch.db").exists()
        );
    }
}

#[test]
fn sighup_does_not_end_a_server_that_has_nothing_to_read_again() {
    let server = Server::start();
    server.signal(Signal::HUP);
    // Signals that wait are handed out lowest number first: this one is the second.
    let (status, _) = server.terminated();
    assert_eq!(status.code(), Some(0), "{status}");
}
