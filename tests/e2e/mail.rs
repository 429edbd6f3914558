//! Codes by mail: over TLS that is checked, with the password from its file.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned, crypto::ring, pki_types::PrivateKeyDer,
};

use crate::support::{Answer, PATIENCE, Server, Setup, request, run, write_secret};

/// A mail server that encrypts by STARTTLS, with a certificate that nobody else has signed.
struct MailServer {
    port: u16,
    /// Whatever it was told after the handshake, a connection at a time.
    told: Receiver<String>,
}

impl MailServer {
    /// Its certificate goes into `dir`.
    fn start(dir: &Path) -> Self {
        let pair = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
        fs::write(dir.join("cert.pem"), pair.cert.pem()).expect("written");
        let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("there are some");
        let config = config.with_no_client_auth().with_single_cert(vec![pair.cert.into()], key);
        let config = Arc::new(config.expect("a pair"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (tell, told) = sync_channel(16);
        thread::spawn(move || {
            // It ends with the test, which nobody listens to any more then.
            while let Ok((stream, _)) = listener.accept() {
                if tell.send(serve(stream, &config)).is_err() {
                    return;
                }
            }
        });
        Self { port, told }
    }
}

/// One connection; gives what was said on it after the handshake.
fn serve(mut stream: TcpStream, config: &Arc<ServerConfig>) -> String {
    let _ = stream.write_all(b"220 here\r\n");
    let before = converse(&mut stream, "250-here\r\n250 STARTTLS\r\n");
    assert!(!before.contains("MAIL") && !before.contains("AUTH"), "in the clear: {before}");
    let tls = ServerConnection::new(config.clone()).expect("a connection");
    converse(&mut StreamOwned::new(tls, stream), "250-here\r\n250 AUTH PLAIN\r\n")
}

/// Answers what is said until the end, or until encryption is asked for.
fn converse(stream: &mut (impl Read + Write), greets_back: &str) -> String {
    let (mut told, mut in_data) = (String::new(), false);
    while let Some(line) = line(stream) {
        told.push_str(&line);
        let answer = match line.trim_end() {
            "." => "250 taken\r\n",
            _ if in_data => "",
            "DATA" => "354 go on\r\n",
            "STARTTLS" => "220 go on\r\n",
            text if text.starts_with("EHLO") => greets_back,
            _ => "250 fine\r\n",
        };
        in_data = (in_data || line.starts_with("DATA")) && line.trim_end() != ".";
        if stream.write_all(answer.as_bytes()).is_err() || line.starts_with("STARTTLS") {
            break;
        }
    }
    told
}

/// Not a byte more than the line: what follows may be for somebody else.
fn line(stream: &mut impl Read) -> Option<String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.last() != Some(&b'\n') {
        stream.read_exact(&mut byte).ok()?;
        line.extend(byte);
    }
    String::from_utf8(line).ok()
}

/// A server that sends mail there, and has a user with an address.
fn setup(mail: impl FnOnce(&Path) -> MailServer) -> (Setup, MailServer) {
    let setup = Setup::new();
    let mail = mail(setup.dir());
    let dir = setup.dir().display().to_string();
    let user = ["user", "add", "ann", "--email", "ann@example.com", "--data-dir", &dir];
    assert!(run(setup.dir(), &user).status.success());
    write_secret(setup.dir().join("password"), "a password\n");
    let setup = setup.flag("--smtp-host=localhost").flag(format!("--smtp-port={}", mail.port));
    let setup = setup.flag("--smtp-user=up").flag("--smtp-password-file=password");
    (setup.flag("--smtp-from=up@example.com"), mail)
}

fn post(server: &Server, path: &str, body: &str) -> Answer {
    let request = request("POST", path, &["content-type: application/json"], body.as_bytes());
    server.connect().ask(&request).expect("an answer")
}

#[test]
fn a_code_goes_over_tls_and_signs_in() {
    let (setup, mail) = setup(MailServer::start);
    // The system's certificates, and so the mail server's.
    let server = setup.after("export SSL_CERT_FILE=cert.pem").start();
    let asked = post(&server, "/auth/otp", r#"{"email": "ann@example.com"}"#);
    assert_eq!(asked.status, 202);
    let told = mail.told.recv_timeout(PATIENCE).expect("a mail");
    // "\0up\0a password"
    assert!(told.contains("AUTH PLAIN AHVwAGEgcGFzc3dvcmQ="), "{told}");
    let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|it| it.is_ascii_digit());
    let code = told.lines().map(str::trim).find(is_code).expect("a code");
    let body = format!(r#"{{"email": "ann@example.com", "code": "{code}"}}"#);
    assert_eq!(post(&server, "/auth/session", &body).status, 201);
    let (_, log) = server.terminated();
    assert!(!log.whole().concat().contains(code), "nothing logs a code");
}

#[test]
fn a_mail_server_with_a_certificate_that_nobody_trusts_gets_nothing() {
    let (setup, mail) = setup(MailServer::start);
    let server = setup.start();
    post(&server, "/auth/otp", r#"{"email": "ann@example.com"}"#);
    let line = server.log().wait_for("A code was not sent");
    assert!(line.contains("certificate"), "the log says why: {line}");
    assert_eq!(mail.told.recv_timeout(PATIENCE).expect("an attempt"), "");
}
