//! Notices by mail. The connection is encrypted by the same TLS as every other one, before anything of a notice or of a login
//! is sent; only to this machine it is not.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use keyroll_app::redact;
use keyroll_config::{MailSecurity, MailServer};
use keyroll_http::tls::{handshake, system_config};
use keyroll_http::{Endpoint, HttpError, dial};
use keyroll_secret::SecretBytes;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::notice::{Notice, TIME_MAX, Undelivered, private_line};

/// How long the server may take to answer QUIT. Its answer tells nothing.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// The largest answer before the session is encrypted, bytes.
const ANSWER_BYTES_MAX: usize = 8 << 10;

/// One mail.
struct Letter {
    from: Address,
    to: Vec<Address>,
    text: Vec<u8>,
}

/// Sends the notice as one mail.
pub(super) async fn mail(
    server: &MailServer,
    from: &str,
    to: &[String],
    login: Option<&Path>,
    id: &str,
    notice: &Notice,
) -> Result<(), Undelivered> {
    let login = login.map(credentials).transpose()?;
    let letter = letter(from, to, id, notice)?;
    let talk = converse(server, login.as_ref(), &letter, &notice.host);
    let late = || Undelivered::Later(format!("{}: no answer within {} s", at(server), TIME_MAX.as_secs()));
    let (mut connection, refused) = timeout(TIME_MAX, talk).await.unwrap_or_else(|_| Err(late()))?;
    // The mail is taken; a server that is slow to say goodbye does not make it a lost one.
    let _ = timeout(GOODBYE_MAX, connection.quit()).await;
    refused.map_or(Ok(()), Err)
}

fn at(server: &MailServer) -> String {
    match server.host.contains(':') {
        true => format!("[{}]:{}", server.host, server.port),
        false => format!("{}:{}", server.host, server.port),
    }
}

fn credentials(path: &Path) -> Result<Credentials, Undelivered> {
    let line = private_line(path)?;
    let Some((user, password)) = line.split_once(':') else {
        let why = format!("the login in {} is not a line user:password", path.display());
        return Err(Undelivered::Later(why));
    };
    redact::remember(&SecretBytes::from(password.to_owned()));
    Ok(Credentials::new(user.to_owned(), password.to_owned()))
}

fn letter(from: &str, to: &[String], id: &str, notice: &Notice) -> Result<Letter, Undelivered> {
    let address = |text: &str| {
        let read = text.parse::<Address>();
        read.map_err(|_| Undelivered::Never(format!("{text} is not a mail address")))
    };
    let from = address(from)?;
    let to = to.iter().map(|text| address(text)).collect::<Result<Vec<_>, _>>()?;
    let mut message = Message::builder()
        .from(Mailbox::new(None, from.clone()))
        .subject(format!("[keyroll] {}", notice.title()))
        .message_id(Some(format!("<{id}@{}>", domain(&notice.host))))
        // No answer of an absent person comes back (RFC 3834).
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    for one in &to {
        message = message.to(Mailbox::new(None, one.clone()));
    }
    let message = message.singlepart(SinglePart::plain(body(notice)));
    let message = message.map_err(|_| Undelivered::Never("no mail can be made of the notice".to_owned()))?;
    Ok(Letter { from, to, text: message.formatted() })
}

fn body(notice: &Notice) -> String {
    let some = |name, text: &Option<String>| text.clone().map(|text| (name, text));
    let rows = [
        some("secret", &notice.secret),
        some("owner", &notice.owner),
        some("rotation", &notice.rotation),
        some("incident", &notice.incident),
        some("since", &notice.since),
        Some(("host", notice.host.clone())),
        Some(("state", notice.state.clone())),
    ];
    let rows = rows.into_iter().flatten().map(|(name, text)| format!("{name:<9} {text}\n"));
    let next = notice.next.as_ref().map(|next| format!("\nnext:\n  {next}\n")).unwrap_or_default();
    format!("{}\n\n{}{next}", notice.text, rows.collect::<String>())
}

/// The name of this machine as a part of a mail may have it.
fn domain(host: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let name: String = host.chars().filter(plain).collect();
    match name.trim_matches(['.', '-']) {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// Up to the answer that the server took the mail. Beside the connection: what is wrong although it did.
async fn converse(
    server: &MailServer,
    login: Option<&Credentials>,
    letter: &Letter,
    host: &str,
) -> Result<(AsyncSmtpConnection, Option<Undelivered>), Undelivered> {
    let (at, name) = (at(server), domain(host));
    let fails = |step: &str, error: &SmtpError| failed(&at, step, error);
    let stream = stream(server, &name).await?;
    let mut connection = AsyncSmtpConnection::connect_with_transport(stream, &ClientId::Domain(name))
        .await
        .map_err(|error| fails("the greeting", &error))?;
    if let Some(login) = login {
        let answer = connection.auth(&[Mechanism::Plain, Mechanism::Login], login).await;
        answer.map_err(|error| fails("the login", &error))?;
    }
    let answer = connection.command(Mail::new(Some(letter.from.clone()), Vec::new())).await;
    answer.map_err(|error| fails("MAIL", &error))?;
    let mut codes = Vec::new();
    for address in &letter.to {
        // One mistyped address does not keep the notice from the others.
        match connection.command(Rcpt::new(address.clone(), Vec::new())).await {
            Ok(_) => {}
            Err(error) => match error.status() {
                Some(code) => codes.push(u16::from(code)),
                None => return Err(fails("RCPT", &error)),
            },
        }
    }
    if let Some(code) = codes.first().filter(|_| codes.len() == letter.to.len()) {
        return Err(refused(&at, "RCPT", *code));
    }
    connection.command(Data).await.map_err(|error| fails("DATA", &error))?;
    connection.message(&letter.text).await.map_err(|error| fails("the mail", &error))?;
    let partly = codes.first().map(|code| {
        let (count, all) = (codes.len(), letter.to.len());
        let why = format!("{at} refused {count} of {all} addresses with the code {code}; the others got it");
        // Even if the code says that it may succeed later: those that got it would get it each time.
        Undelivered::Never(why)
    });
    Ok((connection, partly))
}

fn failed(at: &str, step: &str, error: &SmtpError) -> Undelivered {
    match error.status() {
        Some(code) => refused(at, step, u16::from(code)),
        None if error.is_client() => {
            Undelivered::Later(format!("{at} does not offer what keyroll needs for {step}"))
        }
        None if error.is_response() => Undelivered::Later(format!("{at}: no whole answer to {step}")),
        None => Undelivered::Later(format!("{at}: the connection was lost at {step}")),
    }
}

fn refused(at: &str, step: &str, code: u16) -> Undelivered {
    let why = format!("{at} answered {step} with the code {code}");
    match code {
        500..=599 => Undelivered::Never(why),
        _ => Undelivered::Later(why),
    }
}

/// A connection on which the server's greeting comes next.
async fn stream(server: &MailServer, name: &str) -> Result<Box<dyn AsyncTokioStream>, Undelivered> {
    let at = at(server);
    let lost = |error: HttpError| Undelivered::Later(format!("{at}: {error}"));
    let tls = server.security != MailSecurity::Plain;
    let mut stream = dial(Endpoint { host: &server.host, port: server.port, tls }).await.map_err(lost)?;
    let greeting: &'static [u8] = match server.security {
        MailSecurity::Plain => return Ok(Box::new(stream)),
        MailSecurity::StartTls => {
            begin_tls(&mut stream, name, &at).await?;
            // The server greeted before.
            b"220 encrypted\r\n"
        }
        MailSecurity::Tls => b"",
    };
    let peer = stream.peer_addr();
    let peer = peer.map_err(|error| Undelivered::Later(format!("{at}: {}", error.kind())))?;
    let config = system_config().await.map_err(lost)?;
    let stream = handshake(stream, &server.host, &config).await.map_err(lost)?;
    Ok(Box::new(Encrypted { stream, peer, greeting }))
}

/// Asks for TLS. Nothing that is worth protecting is sent before; and no answer is read ahead, so that one that somebody
/// inserted behind the last one breaks the handshake, and is not taken for an answer of the encrypted session.
async fn begin_tls(stream: &mut TcpStream, name: &str, at: &str) -> Result<(), Undelivered> {
    answer(stream, at, "the connection", 220).await?;
    say(stream, at, &format!("EHLO {name}\r\n")).await?;
    let offers = answer(stream, at, "EHLO", 250).await?;
    if !offers.iter().any(|line| line.trim().eq_ignore_ascii_case("STARTTLS")) {
        return Err(Undelivered::Later(format!("{at} does not offer STARTTLS, and nothing was sent")));
    }
    say(stream, at, "STARTTLS\r\n").await?;
    answer(stream, at, "STARTTLS", 220).await.map(drop)
}

async fn say(stream: &mut TcpStream, at: &str, text: &str) -> Result<(), Undelivered> {
    let sent = stream.write_all(text.as_bytes()).await;
    sent.map_err(|_| Undelivered::Later(format!("{at}: the connection was lost")))
}

/// The lines of one answer, which must have this code.
async fn answer(stream: &mut TcpStream, at: &str, to: &str, wanted: u16) -> Result<Vec<String>, Undelivered> {
    let broken = || Undelivered::Later(format!("{at}: no whole answer to {to}"));
    let (mut lines, mut line, mut left) = (Vec::new(), Vec::new(), ANSWER_BYTES_MAX);
    loop {
        let byte = stream.read_u8().await.map_err(|_| broken())?;
        left = left.checked_sub(1).ok_or_else(broken)?;
        if byte != b'\n' {
            line.push(byte);
            continue;
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        let code = text.get(..3).and_then(|code| code.parse::<u16>().ok()).ok_or_else(broken)?;
        if code != wanted {
            return Err(refused(at, to, code));
        }
        lines.push(text.get(4..).unwrap_or_default().to_owned());
        if text.as_bytes().get(3) != Some(&b'-') {
            return Ok(lines);
        }
    }
}

/// An encrypted connection. The greeting is read first, where the server sent its own before the encryption.
struct Encrypted<S> {
    stream: S,
    peer: SocketAddr,
    greeting: &'static [u8],
}

impl<S> fmt::Debug for Encrypted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encrypted({})", self.peer)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> AsyncTokioStream for Encrypted<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let greeting = self.greeting;
        if greeting.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = greeting.len().min(buffer.remaining());
        let (now, later) = greeting.split_at_checked(count).unwrap_or_default();
        buffer.put_slice(now);
        self.greeting = later;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(notice: &Notice) -> String {
        let to = ["ops@example.org".to_owned(), "ada@example.org".to_owned()];
        let letter = letter("keyroll@example.org", &to, "msg_0123", notice).ok().unwrap();
        assert_eq!((letter.from.to_string().as_str(), letter.to.len()), ("keyroll@example.org", 2));
        String::from_utf8(letter.text).unwrap()
    }

    fn header<'m>(mail: &'m str, name: &str) -> Vec<&'m str> {
        let head = mail.split("\r\n\r\n").next().unwrap();
        head.split("\r\n").filter(|line| line.starts_with(name)).collect()
    }

    #[test]
    fn a_mail_says_what_it_is_and_what_is_next() {
        let notice = Notice {
            kind: "waiting".to_owned(),
            state: "new".to_owned(),
            secret: Some("openai".to_owned()),
            text: "the rotation waits for you".to_owned(),
            next: Some("keyroll resume 4f --confirm=openai".to_owned()),
            host: "web-1".to_owned(),
            ..Notice::test(0)
        };
        let mail = written(&notice);
        assert_eq!(header(&mail, "Subject: "), ["Subject: [keyroll] waiting: openai on web-1"]);
        assert_eq!(header(&mail, "Message-ID: "), ["Message-ID: <msg_0123@web-1>"]);
        assert_eq!(header(&mail, "To: "), ["To: ops@example.org, ada@example.org"]);
        assert_eq!(header(&mail, "Auto-Submitted: ").len(), 1);
        assert!(mail.contains("\r\n\r\nthe rotation waits for you\r\n\r\nsecret    openai\r\n"), "{mail}");
        assert!(mail.contains("next:\r\n  keyroll resume 4f --confirm=openai\r\n"), "{mail}");
    }

    /// The texts of a notice are on one line before; a mail is safe without that too.
    #[test]
    fn no_text_becomes_a_header_or_ends_the_mail() {
        let notice = Notice {
            state: "new".to_owned(),
            secret: Some("a\r\nBcc: eve@example.org\r\n\r\nx".to_owned()),
            text: "a\r\n.\r\nMAIL FROM:<eve@example.org>".to_owned(),
            host: "web\r\nX-Eve: 1".to_owned(),
            ..Notice::test(0)
        };
        let mail = written(&notice);
        for name in ["Bcc", "X-Eve"] {
            assert!(header(&mail, name).is_empty(), "{mail}");
        }
        assert_eq!(header(&mail, "Message-ID: "), ["Message-ID: <msg_0123@webX-Eve1>"]);
        assert_eq!(header(&mail, "Subject: ").len(), 1, "{mail}");
    }

    #[test]
    fn a_machine_without_a_usable_name_is_localhost() {
        for (host, name) in [("web-1", "web-1"), ("wéb_1.example", "wb1.example"), ("_", "localhost")] {
            assert_eq!(domain(host), name);
        }
    }
}
