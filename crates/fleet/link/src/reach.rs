//! One connection that leaves from a host: the frames before its bytes, on both sides.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::digits::bytes_of;
use crate::driver::{Link, LinkError};
use crate::frame::{Frame, Hello, HostHello};
use crate::wire::{VERSION, decoded, encoded, read, read_frame};

/// The longest name of a server, bytes. Source: RFC 1035, 2.3.4, without the length of the root.
const NAME_BYTES_MAX: usize = 253;

/// How long a host's answer is awaited. The host itself stops earlier.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// How long a host's reason may be that is shown, characters.
const WHY_CHARS_MAX: usize = 200;

/// A frame of `keyroll-host reach`, which follows the greetings. The bytes of the connection follow `Reached`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReachFrame {
    /// The driver wants a connection to a server.
    Reach {
        /// A name or an address. The name is resolved on the host.
        host: String,
        /// Its port.
        port: u16,
    },
    /// There is a connection.
    Reached {
        /// Its end on the host.
        local: SocketAddr,
    },
    /// There is none.
    NotReached {
        /// The kind of the failure.
        why: String,
    },
}

impl ReachFrame {
    /// Reads one frame and waits for it; `None` if the input ends before it.
    ///
    /// # Errors
    /// The input ends within it, or cannot be read; it is too large, or no frame of `reach`.
    pub fn read(input: &mut impl Read) -> io::Result<Option<Self>> {
        read(input)
    }

    /// Writes the frame.
    ///
    /// # Errors
    /// It is too large, or cannot be written.
    pub fn write(&self, output: &mut impl Write) -> io::Result<()> {
        write(output, self)
    }
}

fn write(output: &mut impl Write, frame: &impl Serialize) -> io::Result<()> {
    output.write_all(&encoded(frame).map_err(io::Error::other)?)?;
    output.flush()
}

/// Whether a text can be the name or address of a server.
pub fn is_server_name(host: &str) -> bool {
    !host.is_empty() && host.len() <= NAME_BYTES_MAX && !host.chars().any(char::is_control)
}

/// The host's side up to the connection: greets the driver, and reads the name and the port of the server that it wants.
/// `None` if the driver went before.
///
/// # Errors
/// What the driver sent cannot be understood, or the greeting cannot be written.
pub fn wanted_server(
    input: &mut impl Read,
    output: &mut impl Write,
    hello: impl FnOnce(&[u8; 32]) -> HostHello,
) -> io::Result<Option<(String, u16)>> {
    let Some(first) = read_frame(input)? else { return Ok(None) };
    let Frame::Hello(Hello::Driver { versions, key }) = first else { return Err(out_of_turn()) };
    let key = bytes_of(&key).ok_or_else(|| io::Error::other("the first frame has no key"))?;
    write(output, &Frame::Hello(Hello::Host(hello(&key))))?;
    if !versions.contains(&VERSION) {
        return Err(io::Error::other("the driver speaks another version of the protocol"));
    }
    match ReachFrame::read(input)? {
        None => Ok(None),
        Some(ReachFrame::Reach { host, port }) => Ok(Some((host, port))),
        Some(ReachFrame::Reached { .. } | ReachFrame::NotReached { .. }) => Err(out_of_turn()),
    }
}

fn out_of_turn() -> io::Error {
    io::Error::other("a frame came out of turn")
}

/// A connection that leaves from a host, at the driver's side. Dropping the half that is written ends the host's program.
pub struct Tunnel {
    /// Its end on the host.
    pub local: SocketAddr,
    /// What the server sends.
    pub read: Box<dyn AsyncRead + Unpin + Send>,
    /// What is sent to the server.
    pub write: Box<dyn AsyncWrite + Unpin + Send>,
}

/// Why there is no connection from a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReached {
    /// There is none to this server from there.
    #[error("{0}")]
    There(String),
    /// The answer of the host cannot be used.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl Link {
    /// Asks `keyroll-host reach`, which has greeted, for a connection to a server.
    ///
    /// # Errors
    /// See [`NotReached`].
    pub async fn reach(mut self, host: &str, port: u16) -> Result<Tunnel, NotReached> {
        if !is_server_name(host) {
            return Err(NotReached::There("its name cannot be used".to_owned()));
        }
        let asked = ReachFrame::Reach { host: host.to_owned(), port };
        let asked = encoded(&asked).map_err(LinkError::from)?;
        let answer = self.ask_once(&asked, ANSWER_MAX).await?;
        match decoded::<ReachFrame>(&answer).map_err(LinkError::from)? {
            ReachFrame::Reached { local } => {
                let (read, write) = self.into_halves();
                Ok(Tunnel { local, read, write })
            }
            ReachFrame::NotReached { why } => {
                Err(NotReached::There(why.chars().take(WHY_CHARS_MAX).collect()))
            }
            ReachFrame::Reach { .. } => {
                Err(LinkError::Garbage("a frame that is no answer".to_owned()).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;
    use crate::digits::digits_of;
    use crate::wire::encode;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn host_hello(key: &[u8; 32]) -> HostHello {
        HostHello {
            version: VERSION,
            keyroll: "0.1.0".to_owned(),
            machine: Some(digits_of(key)),
            hardware: None,
            boot: String::new(),
            now_unix_ms: 0,
            root: false,
            user: "deploy".to_owned(),
            seal: String::new(),
        }
    }

    fn driver_hello(versions: &[u32]) -> Vec<u8> {
        let hello = Hello::Driver { versions: versions.to_vec(), key: digits_of(&[7; 32]) };
        encode(&Frame::Hello(hello)).unwrap()
    }

    fn reach(host: &str) -> ReachFrame {
        ReachFrame::Reach { host: host.to_owned(), port: 443 }
    }

    fn bytes(frame: &ReachFrame) -> Vec<u8> {
        encoded(frame).unwrap()
    }

    /// A link to a host that has greeted, and the host's end of it.
    async fn linked() -> (Link, DuplexStream) {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let greeting = encode(&Frame::Hello(Hello::Host(host_hello(&[7; 32])))).unwrap();
        theirs.write_all(&greeting).await.unwrap();
        let (read, write) = tokio::io::split(ours);
        let (link, _) = Link::open(read, write, &[7; 32], PATIENCE).await.unwrap();
        let mut heard = vec![0; driver_hello(&[VERSION]).len()];
        theirs.read_exact(&mut heard).await.unwrap();
        (link, theirs)
    }

    /// What the driver makes of the bytes that a host answers.
    async fn answered(answer: &[u8]) -> Result<Tunnel, NotReached> {
        let (link, mut theirs) = linked().await;
        theirs.write_all(answer).await.unwrap();
        theirs.shutdown().await.unwrap();
        link.reach("api.example.org", 443).await
    }

    #[tokio::test]
    async fn after_the_answer_both_halves_carry_the_bytes_of_the_connection() {
        let (link, mut theirs) = linked().await;
        let local: SocketAddr = "192.0.2.7:4000".parse().unwrap();
        // The server speaks first, and its bytes come with the answer.
        theirs.write_all(&[bytes(&ReachFrame::Reached { local }), b"hello".to_vec()].concat()).await.unwrap();
        let mut tunnel = link.reach("api.example.org", 443).await.unwrap();
        assert_eq!(tunnel.local, local);
        let mut heard = [0; 5];
        tunnel.read.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        tunnel.write.write_all(b"ping").await.unwrap();
        let asked = bytes(&reach("api.example.org"));
        let mut sent = vec![0; asked.len() + 4];
        theirs.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent, [asked, b"ping".to_vec()].concat());
    }

    #[tokio::test]
    async fn the_reason_of_a_host_is_shortened_and_moves_no_cursor() {
        let why = format!("connection\u{1b} refused{}", "x".repeat(1_000));
        let refused = answered(&bytes(&ReachFrame::NotReached { why })).await.err().unwrap();
        let NotReached::There(why) = &refused else { panic!("{refused:?}") };
        assert!(why.starts_with("connection\u{fffd} refused"), "{why}");
        assert_eq!(why.chars().count(), WHY_CHARS_MAX);
    }

    #[tokio::test]
    async fn what_is_no_answer_and_an_answer_that_is_cut_are_no_connection() {
        let whole = bytes(&ReachFrame::Reached { local: "192.0.2.7:4000".parse().unwrap() });
        for end in 0..whole.len() {
            let cut = answered(&whole[..end]).await.err();
            assert!(matches!(cut, Some(NotReached::Link(LinkError::Cut(_)))), "{end} bytes: {cut:?}");
        }
        let address = br#"{"reached":{"local":"web-1"}}"#;
        let address = [&u32::try_from(address.len()).unwrap().to_be_bytes(), &address[..]].concat();
        let of_serve = encode(&Frame::Cancel { id: 1 }).unwrap();
        for garbage in [bytes(&reach("api.example.org")), of_serve, address] {
            let refused = answered(&garbage).await.err();
            assert!(matches!(refused, Some(NotReached::Link(LinkError::Garbage(_)))), "{refused:?}");
        }
        let too_large = answered(&u32::MAX.to_be_bytes()).await.err();
        assert!(matches!(too_large, Some(NotReached::Link(LinkError::TooLarge { .. }))), "{too_large:?}");
    }

    #[tokio::test]
    async fn a_name_that_no_server_has_is_not_sent() {
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for name in ["", "api\n.example.org", "api\u{9b}", long.as_str()] {
            let (link, mut theirs) = linked().await;
            let refused = link.reach(name, 443).await.err();
            assert!(matches!(refused, Some(NotReached::There(_))), "{refused:?}");
            let mut sent = Vec::new();
            theirs.read_to_end(&mut sent).await.unwrap();
            assert_eq!(sent, b"");
        }
        assert!(is_server_name("::1") && is_server_name(&"a".repeat(NAME_BYTES_MAX)));
    }

    #[test]
    fn the_host_greets_and_hears_which_server_is_wanted_and_reads_nothing_behind_it() {
        let all =
            [driver_hello(&[VERSION]), bytes(&reach("api.example.org")), b"\x16\x03\x01".to_vec()].concat();
        let (mut input, mut output) = (all.as_slice(), Vec::<u8>::new());
        let wanted = wanted_server(&mut input, &mut output, host_hello).unwrap();
        assert_eq!(wanted, Some(("api.example.org".to_owned(), 443)));
        assert_eq!(input, b"\x16\x03\x01");
        let greeting = read_frame(&mut output.as_slice()).unwrap();
        assert_eq!(greeting, Some(Frame::Hello(Hello::Host(host_hello(&[7; 32])))));
    }

    #[test]
    fn a_driver_that_goes_is_no_error_and_what_it_must_not_send_is_one() {
        let asked = |sent: &[u8]| wanted_server(&mut &*sent, &mut Vec::<u8>::new(), host_hello);
        for gone in [Vec::new(), driver_hello(&[VERSION])] {
            assert_eq!(asked(&gone).unwrap(), None);
        }
        let hello = || driver_hello(&[VERSION]);
        let answer = bytes(&ReachFrame::NotReached { why: String::new() });
        let garbage = [
            b"\0\0\0\x02{}".to_vec(),
            u32::MAX.to_be_bytes().to_vec(),
            bytes(&reach("api.example.org")),
            [hello(), hello()].concat(),
            [hello(), answer].concat(),
            [hello(), b"\0\0\0\x09{".to_vec()].concat(),
            [driver_hello(&[VERSION + 1]), bytes(&reach("api.example.org"))].concat(),
        ];
        for sent in garbage {
            assert!(asked(&sent).is_err(), "{sent:?}");
        }
    }
}
