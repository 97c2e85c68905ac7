use std::future::Future;
use std::io;
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_http::Stream;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::reply::Reply;
use crate::stream::Tls;

/// The name of our connections in `CLIENT LIST`.
const APPLICATION: &str = "keyroll";
/// How much of a server's message is shown, characters.
const SAID_MAX: usize = 200;

/// What the server says of itself and of this connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) id: i64,
    pub(super) version: String,
    pub(super) mode: String,
    pub(super) role: String,
}

/// One connection that is logged in, with one time limit for everything done on it.
pub(super) struct Link {
    stream: BufReader<Box<dyn Stream>>,
    deadline: Instant,
    pub(super) hello: Hello,
    /// The local address of the connection, as the server shows it.
    pub(super) address: String,
}

/// Why a connection or a command did not succeed.
pub(super) enum RedisError {
    /// The time limit passed.
    Late,
    /// The connection failed, or the answer was not one.
    Broken(io::Error),
    /// The server refused, by its own words.
    Refused(String),
}

impl Link {
    /// Connects and logs in with `HELLO`: one command that every user may send, and that returns the connection's id.
    pub(super) async fn open(
        tls: &Tls,
        (host, port): (&str, u16),
        user: &str,
        password: &SecretBytes,
        limit_ms: u64,
    ) -> Result<Self, RedisError> {
        let deadline = Instant::now() + Duration::from_millis(limit_ms);
        let (stream, address) = within(deadline, tls.connect(host, port)).await?;
        let mut stream = BufReader::new(stream);
        let words: [&[u8]; 7] =
            [b"HELLO", b"2", b"AUTH", user.as_bytes(), password.expose(), b"SETNAME", APPLICATION.as_bytes()];
        let said = within(deadline, exchange(&mut stream, &words)).await?;
        let hello = Hello::read(&refused(said)?).ok_or_else(RedisError::odd)?;
        Ok(Self { stream, deadline, hello, address })
    }

    /// One command and its answer; a refusal is a fault.
    pub(super) async fn ask(&mut self, words: &[&str]) -> Result<Reply, RedisError> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        refused(within(self.deadline, exchange(&mut self.stream, &words)).await?)
    }

    /// The same for a command whose answer is a text.
    pub(super) async fn ask_text(&mut self, words: &[&str]) -> Result<String, RedisError> {
        self.ask(words).await?.text().map(str::to_owned).ok_or_else(RedisError::odd)
    }
}

impl Hello {
    fn read(reply: &Reply) -> Option<Self> {
        let text = |key: &str| reply.value(key).and_then(Reply::text).map(str::to_owned);
        Some(Self {
            id: reply.value("id")?.number()?,
            version: text("version")?,
            mode: text("mode")?,
            role: text("role")?,
        })
    }
}

fn refused(reply: Reply) -> Result<Reply, RedisError> {
    match reply {
        Reply::Refused(why) => Err(RedisError::Refused(why)),
        Reply::Text(_) | Reply::Number(_) | Reply::List(_) | Reply::Nothing => Ok(reply),
    }
}

async fn exchange(stream: &mut BufReader<Box<dyn Stream>>, words: &[&[u8]]) -> io::Result<Reply> {
    let length: usize = words.iter().map(|word| word.len() + 32).sum();
    // The buffer has its full size from the start: one that grows leaves a copy of the password in memory.
    let mut command = Zeroizing::new(Vec::with_capacity(length + 32));
    command.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        command.extend_from_slice(word);
        command.extend_from_slice(b"\r\n");
    }
    stream.get_mut().write_all(&command).await?;
    stream.get_mut().flush().await?;
    Reply::read(stream).await
}

async fn within<T>(deadline: Instant, doing: impl Future<Output = io::Result<T>>) -> Result<T, RedisError> {
    timeout_at(deadline, doing).await.map_err(|_| RedisError::Late)?.map_err(RedisError::Broken)
}

impl RedisError {
    /// The fault for an answer that this command should not get.
    pub(super) fn odd() -> Self {
        Self::Broken(io::Error::new(
            io::ErrorKind::InvalidData,
            "the answer is not what this command answers",
        ))
    }

    /// Whether the server refused the user or the password.
    pub(super) fn is_wrong_password(&self) -> bool {
        matches!(self, Self::Refused(why) if why.starts_with("WRONGPASS "))
    }

    /// The reason, for messages, without any secret.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Late => "no answer in time".to_owned(),
            Self::Broken(error) => error.to_string(),
            Self::Refused(why) => {
                why.chars().filter(|letter| !letter.is_control()).take(SAID_MAX).collect::<String>()
            }
        }
    }

    /// Whether the refusal is permanent, and not because the server is loading, full or busy.
    fn is_final(&self) -> bool {
        let Self::Refused(why) = self else { return false };
        let lasting = ["ERR ", "NOPERM ", "NOAUTH ", "NOPROTO ", "WRONGPASS "];
        lasting.iter().any(|word| why.starts_with(word)) && !why.contains("max number of clients")
    }

    fn class(&self) -> Class {
        if self.is_final() { Class::Permanent } else { Class::Retryable }
    }

    /// The admin's login failed.
    pub(super) fn of_connecting(&self, attempted: String) -> Failure {
        Failure::new(self.class(), Code::IssuerUnreachable, attempted)
            .because(self.reason())
            .help("keyroll doctor")
    }

    /// A command that changes nothing failed.
    pub(super) fn without_effect(&self, attempted: String) -> Failure {
        let code = match self {
            Self::Refused(why) if why.starts_with("NOPERM ") => Code::AdminRefused,
            Self::Refused(_) | Self::Late | Self::Broken(_) => Code::RequestFailed,
        };
        Failure::new(self.class(), code, attempted).because(self.reason())
    }

    /// A command that changes something failed. If no answer came, the change may have happened.
    pub(super) fn of_effect(&self, attempted: String) -> Failure {
        match self {
            Self::Refused(_) => self.without_effect(attempted),
            Self::Late | Self::Broken(_) => {
                Failure::new(Class::Unknown, Code::RequestFailed, attempted).because(self.reason())
            }
        }
    }
}
