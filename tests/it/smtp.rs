//! Mail to a mail server: what it is given, and what it is not.

use flowstitch::mail::{Encryption, Mail, Mailer, NotSent, Smtp, SmtpServer};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinHandle,
};

/// A mail server that takes one connection. It says `greets` at first, `greets_back` to EHLO and
/// `to_recipient` to RCPT, and takes everything else.
struct Script {
    greets: &'static str,
    greets_back: &'static str,
    to_recipient: &'static str,
}

impl Default for Script {
    fn default() -> Self {
        Self { greets: "220 here", greets_back: "250 here", to_recipient: "250 known" }
    }
}

impl Script {
    /// Starts it; gives its port, and what it was told once the connection has ended.
    async fn start(self) -> (u16, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        (port, tokio::spawn(async move { self.serve(&listener).await }))
    }

    async fn serve(self, listener: &TcpListener) -> String {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream = BufReader::new(stream);
        let (mut told, mut line, mut in_data) = (String::new(), Vec::new(), false);
        let mut answer = Some(self.greets);
        loop {
            if let Some(answer) = answer {
                let answer = format!("{answer}\r\n");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return told;
                }
            }
            line.clear();
            if !stream.read_until(b'\n', &mut line).await.is_ok_and(|len| 0 < len) {
                return told;
            }
            let text = String::from_utf8_lossy(&line);
            told.push_str(&text);
            answer = match text.trim_end() {
                "." if in_data => {
                    in_data = false;
                    Some("250 taken")
                }
                _ if in_data => None,
                "DATA" => {
                    in_data = true;
                    Some("354 go on")
                }
                "QUIT" => Some("221 bye"),
                text if text.starts_with("EHLO") => Some(self.greets_back),
                text if text.starts_with("RCPT") => Some(self.to_recipient),
                _ => Some("250 fine"),
            };
        }
    }
}

fn mailer(port: u16, encryption: Encryption) -> Smtp {
    let from = "Uploads <up@example.com>".parse().expect("a sender");
    let credentials = Some(("up".to_owned(), "a password".to_owned()));
    let credentials = credentials.filter(|_| encryption != Encryption::None);
    let host = "127.0.0.1".into();
    Smtp::new(SmtpServer { host, port, encryption, credentials, from }).expect("usable")
}

fn mail(to: &str) -> Mail {
    let text = "Your code:\r\n\r\n    123456\r\n".into();
    Mail { to: to.into(), subject: "Your code to sign in".into(), text }
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let (port, told) = Script::default().start().await;
    let sent = mailer(port, Encryption::None).send(&mail("ann@example.com")).await;
    sent.expect("taken");
    let told = told.await.expect("no panic");
    for line in [
        "MAIL FROM:<up@example.com>",
        "RCPT TO:<ann@example.com>",
        "From: Uploads <up@example.com>",
        "To: ann@example.com",
        "Subject: Your code to sign in",
        "    123456",
    ] {
        assert!(told.lines().any(|it| it == line), "{line} is not in\n{told}");
    }
    let id = told.lines().find(|line| line.starts_with("Message-ID: <")).expect("an id");
    assert!(id.ends_with("@example.com>"), "{id}");
}

#[tokio::test]
async fn what_passes_is_told_from_what_stays() {
    for (to_recipient, is_final) in [("550 nobody", true), ("451 later", false)] {
        let (port, told) = Script { to_recipient, ..Script::default() }.start().await;
        let sent = mailer(port, Encryption::None).send(&mail("ann@example.com")).await;
        let error = sent.expect_err("refused");
        assert_eq!(matches!(error, NotSent::ForGood(_)), is_final, "{error:?}");
        assert!(!told.await.expect("no panic").contains("123456"));
    }
    let (port, told) = Script { greets: "421 busy", ..Script::default() }.start().await;
    let sent = mailer(port, Encryption::None).send(&mail("ann@example.com")).await;
    assert!(matches!(sent, Err(NotSent::ForNow(_))), "{sent:?}");
    drop(told);
    // A port at which nobody listens any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = gone.local_addr().expect("an address").port();
    drop(gone);
    let sent = mailer(port, Encryption::None).send(&mail("ann@example.com")).await;
    assert!(matches!(sent, Err(NotSent::ForNow(_))), "{sent:?}");
}

#[tokio::test]
async fn who_offers_no_encryption_gets_neither_mail_nor_password() {
    let greets_back = "250-here\r\n250 AUTH PLAIN LOGIN";
    for encryption in [Encryption::StartTls, Encryption::Tls] {
        let (port, told) = Script { greets_back, ..Script::default() }.start().await;
        let sent = mailer(port, encryption).send(&mail("ann@example.com")).await;
        sent.expect_err("not in the clear");
        let told = told.await.expect("no panic");
        for secret in ["AUTH", "MAIL", "ann@example.com", "123456"] {
            assert!(!told.contains(secret), "{encryption:?}: {told:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_address_is_not_sent_at_all() {
    for bad in ["", "ann", "ann@example.com\r\nRCPT TO:<bob@example.com>"] {
        let sent = mailer(1, Encryption::None).send(&mail(bad)).await;
        assert!(matches!(sent, Err(NotSent::ForGood(_))), "{bad:?}: {sent:?}");
    }
}
