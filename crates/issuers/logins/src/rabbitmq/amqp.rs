//! The handshake of AMQP 0-9-1, up to the point where it is known whether a login is accepted. Methods and their
//! numbers are from the protocol's own document.

use std::io;

use keyroll_secret::SecretBytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::directory::Attempt;

/// What a client says first.
const HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// The types of a frame: with a method, and a heartbeat.
const METHOD: u8 = 1;
const HEARTBEAT: u8 = 8;
/// What every frame ends with.
const FRAME_END: u8 = 0xce;
/// The largest frame that is read; a server's greeting has less than 2 KiB.
const FRAME_BYTES_MAX: u32 = 128 * 1024;
/// How much of a server's message is shown, characters.
const SAID_MAX: usize = 200;

/// The methods of the class `connection`.
const CONNECTION: u16 = 10;
const START: u16 = 10;
const START_OK: u16 = 11;
const TUNE: u16 = 30;
const TUNE_OK: u16 = 31;
const OPEN: u16 = 40;
const OPEN_OK: u16 = 41;
const CLOSE: u16 = 50;
const CLOSE_OK: u16 = 51;

/// `access-refused`: the login itself is refused.
const ACCESS_REFUSED: u16 = 403;
/// `not-allowed`: the password was right, but the virtual host is not permitted or a limit on connections is reached.
const NOT_ALLOWED: u16 = 530;
/// The client's normal close: `reply-success`, no text, no method that failed.
const GOOD_BYE: &[u8] = &[0, 200, 0, 0, 0, 0, 0];

/// One method of the server's, on the connection itself.
#[derive(Debug, PartialEq, Eq)]
struct Method {
    number: u16,
    arguments: Vec<u8>,
}

fn odd() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer is not AMQP 0-9-1")
}

/// Logs in once and opens the virtual host, as a consumer does; then closes normally.
///
/// # Errors
/// The connection ended, or what came is no AMQP.
pub(super) async fn log_in<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: &mut S,
    vhost: &str,
    user: &str,
    password: &SecretBytes,
) -> io::Result<Attempt> {
    stream.write_all(HEADER).await?;
    if read(stream).await?.number != START {
        return Err(odd());
    }
    send(stream, START_OK, &start_ok(user, password)).await?;
    let tune = match read(stream).await? {
        Method { number: TUNE, arguments } => arguments,
        closed => return refused(stream, &closed, true).await,
    };
    // The password is right. Accept what the server proposes, except heartbeats: this connection is too short for one.
    let limits = tune.get(..6).ok_or_else(odd)?;
    send(stream, TUNE_OK, &[limits, &[0, 0]].concat()).await?;
    send(stream, OPEN, &[short(vhost).as_slice(), &[0, 0]].concat()).await?;
    match read(stream).await? {
        Method { number: OPEN_OK, .. } => {
            // The server answers with its own close. Whether that answer arrives does not matter.
            send(stream, CLOSE, GOOD_BYE).await?;
            drop(read(stream).await);
            Ok(Attempt::Accepted)
        }
        closed => refused(stream, &closed, false).await,
    }
}

/// Reads why the server closed the connection. `asked`: it closed before it said whether the password is right.
async fn refused<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: &mut S,
    closed: &Method,
    asked: bool,
) -> io::Result<Attempt> {
    let Method { number: CLOSE, arguments } = closed else { return Err(odd()) };
    let (code, rest) = arguments.split_first_chunk::<2>().ok_or_else(odd)?;
    let (length, rest) = rest.split_first().ok_or_else(odd)?;
    let words = String::from_utf8_lossy(rest.get(..usize::from(*length)).ok_or_else(odd)?).into_owned();
    let code = u16::from_be_bytes(*code);
    // The server waits for this answer, and sends nothing more.
    drop(send(stream, CLOSE_OK, &[]).await);
    // The server checks the limit on connections after the password, so this login is accepted once a connection is
    // free.
    let full = code == NOT_ALLOWED && words.contains("limit") && words.contains("is reached");
    Ok(match (asked && code == ACCESS_REFUSED, full) {
        (true, _) => Attempt::Refused,
        (false, true) => Attempt::Accepted,
        (false, false) => {
            let words: String = words.chars().filter(|letter| !letter.is_control()).take(SAID_MAX).collect();
            Attempt::Unknown(words)
        }
    })
}

/// The client's answer to the greeting. It declares a capability without which the server would drop the connection on
/// a wrong password, without an answer.
fn start_ok(user: &str, password: &SecretBytes) -> Zeroizing<Vec<u8>> {
    let capability = [short("authentication_failure_close").as_slice(), b"t\x01"].concat();
    let capabilities = [short("capabilities").as_slice(), b"F", &long(&capability)].concat();
    let product = [short("product").as_slice(), b"S", &long(b"keyroll")].concat();
    let properties = long(&[product, capabilities].concat());
    let (user, password) = (user.as_bytes(), password.expose());
    let login = user.len() + password.len() + 2;
    // The buffer has its full size from the start: one that grows leaves a copy of the password in memory.
    let mut arguments = Zeroizing::new(Vec::with_capacity(properties.len() + login + 32));
    arguments.extend_from_slice(&properties);
    arguments.extend_from_slice(&short("PLAIN"));
    arguments.extend_from_slice(&u32::try_from(login).unwrap_or(u32::MAX).to_be_bytes());
    for part in [b"\0", user, b"\0", password] {
        arguments.extend_from_slice(part);
    }
    arguments.extend_from_slice(&short("en_US"));
    arguments
}

/// A short string: at most 255 bytes. None of ours is longer.
fn short(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap_or(u8::MAX)];
    bytes.extend(text.bytes().take(usize::from(u8::MAX)));
    bytes
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes().as_slice(), bytes].concat()
}

async fn send<S: AsyncWrite + Unpin + Send>(stream: &mut S, number: u16, arguments: &[u8]) -> io::Result<()> {
    let size = u32::try_from(arguments.len() + 4).map_err(|_| odd())?;
    let mut frame = Zeroizing::new(Vec::with_capacity(arguments.len() + 12));
    frame.extend_from_slice(&[METHOD, 0, 0]);
    frame.extend_from_slice(&size.to_be_bytes());
    frame.extend_from_slice(&CONNECTION.to_be_bytes());
    frame.extend_from_slice(&number.to_be_bytes());
    frame.extend_from_slice(arguments);
    frame.push(FRAME_END);
    stream.write_all(&frame).await?;
    stream.flush().await
}

async fn read<S: AsyncRead + Unpin + Send>(stream: &mut S) -> io::Result<Method> {
    loop {
        let mut head = [0; 7];
        stream.read_exact(&mut head).await?;
        let [kind, high, low, size @ ..] = head;
        let size = u32::from_be_bytes(size);
        if ![METHOD, HEARTBEAT].contains(&kind) || (high, low) != (0, 0) || size > FRAME_BYTES_MAX {
            return Err(odd());
        }
        let mut payload = vec![0; usize::try_from(size).map_err(|_| odd())? + 1];
        stream.read_exact(&mut payload).await?;
        if payload.pop() != Some(FRAME_END) {
            return Err(odd());
        }
        if kind == METHOD {
            let ([class_high, class_low, high, low], rest) =
                payload.split_first_chunk::<4>().ok_or_else(odd)?;
            if u16::from_be_bytes([*class_high, *class_low]) != CONNECTION {
                return Err(odd());
            }
            return Ok(Method { number: u16::from_be_bytes([*high, *low]), arguments: rest.to_vec() });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// A server that says these frames whatever it hears.
    async fn against(frames: &[(u16, Vec<u8>)], raw: &[u8]) -> io::Result<Attempt> {
        let (mut ours, mut theirs) = duplex(1024 * 1024);
        for (number, arguments) in frames {
            send(&mut theirs, *number, arguments).await.unwrap();
        }
        theirs.write_all(raw).await.unwrap();
        theirs.shutdown().await.unwrap();
        log_in(&mut ours, "/", "orders", &SecretBytes::from("canary".to_owned())).await
    }

    fn close(code: u16, words: &str) -> (u16, Vec<u8>) {
        (CLOSE, [code.to_be_bytes().as_slice(), &short(words), &[0, 0, 0, 0]].concat())
    }

    fn tune() -> (u16, Vec<u8>) {
        (TUNE, vec![8, 0, 0, 2, 0, 0, 0, 60])
    }

    #[tokio::test]
    async fn only_the_refused_login_itself_is_dead() {
        let start = || (START, vec![0, 9]);
        let said = |code, words| async move { against(&[start(), close(code, words)], b"").await.unwrap() };
        assert_eq!(said(403, "ACCESS_REFUSED - Login was refused").await, Attempt::Refused);
        assert_eq!(said(541, "INTERNAL_ERROR").await, Attempt::Unknown("INTERNAL_ERROR".to_owned()));
        let later =
            |code, words| async move { against(&[start(), tune(), close(code, words)], b"").await.unwrap() };
        assert_eq!(later(530, "NOT_ALLOWED - user connection limit (5) is reached").await, Attempt::Accepted);
        for (code, words) in [(530, "NOT_ALLOWED - access to vhost '/' refused"), (403, "ACCESS_REFUSED")] {
            assert_eq!(later(code, words).await, Attempt::Unknown(words.to_owned()));
        }
        let whole = [start(), tune(), (OPEN_OK, vec![0]), (CLOSE_OK, Vec::new())];
        assert_eq!(against(&whole, b"").await.unwrap(), Attempt::Accepted);
    }

    #[tokio::test]
    async fn what_is_no_amqp_is_refused_within_bounds() {
        let cases: [&[u8]; 7] = [
            b"",
            b"AMQP\x00\x00\x09\x01",
            b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
            b"\x01\x00\x00\xff\xff\xff\xff",
            b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\x00",
            b"\x01\x00\x01\x00\x00\x00\x04\x00\x0a\x00\x0a\xce",
            b"\x01\x00\x00\x00\x00\x00\x04\x00\x14\x00\x0a\xce",
        ];
        for raw in cases {
            assert!(against(&[], raw).await.is_err(), "{raw:?}");
        }
        let short = [(START, vec![0, 9]), (CLOSE, vec![1])];
        assert!(against(&short, b"").await.is_err());
    }
}
