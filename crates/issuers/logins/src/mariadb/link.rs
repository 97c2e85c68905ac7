use std::future::Future;
use std::time::Duration;

use crate::directory::Attempt;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Error, OptsBuilder};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a connection may take to say good-bye, milliseconds.
const CLOSE_MS_MAX: u64 = 1_000;
/// How much of a server's message is shown, characters.
const SAID_MAX: usize = 200;
/// The largest packet; given, so that the client does not ask for it.
const PACKET_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long the server keeps an idle connection of ours, seconds.
const IDLE_S_MAX: usize = 60;

/// ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR: no such login, or another password.
const DENIED: [u16; 2] = [1045, 1698];
/// ER_ACCOUNT_HAS_BEEN_LOCKED: the server says so only to a client that gave the right password.
const LOCKED: u16 = 4151;
/// ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED: the login was accepted, and has no room left.
const FULL_AFTER_LOGIN: [u16; 2] = [1203, 1226];
/// ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_SPECIFIC_ACCESS_DENIED_ERROR and their like.
const RIGHTS: [u16; 5] = [1044, 1142, 1143, 1227, 1410];
/// ER_PARSE_ERROR: its message repeats a part of the statement.
const NOT_PARSED: u16 = 1064;
/// ER_CON_COUNT_ERROR, ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK, ER_SERVER_SHUTDOWN: these pass, and a later attempt may
/// succeed.
const PASSING: [u16; 4] = [1040, 1205, 1213, 1053];

/// One connection that is logged in, with one time limit for all that is done on it.
pub(super) struct Link {
    connection: Conn,
    deadline: Instant,
}

/// Why a connection or a statement did not succeed.
pub(super) enum MariaDbError {
    /// The time limit passed.
    Late,
    /// The server refused, or the connection failed.
    Said(Error),
}

impl Link {
    /// Connects and logs in.
    pub(super) async fn open(
        (host, port): (&str, u16),
        user: &str,
        password: &SecretBytes,
        limit_ms: u64,
    ) -> Result<Self, MariaDbError> {
        let deadline = Instant::now() + Duration::from_millis(limit_ms);
        let password = String::from_utf8_lossy(password.expose()).into_owned();
        let options = OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port)
            .user(Some(user))
            .pass(Some(password))
            // Over the server's Unix socket, sessions show no client address, and another server might answer.
            .prefer_socket(false)
            .max_allowed_packet(Some(PACKET_BYTES_MAX))
            .wait_timeout(Some(IDLE_S_MAX));
        let connection = within(deadline, Conn::new(options)).await?;
        Ok(Self { connection, deadline })
    }

    /// The server's number of this session.
    pub(super) fn id(&self) -> u32 {
        self.connection.id()
    }

    /// One statement.
    pub(super) async fn run(&mut self, statement: &str) -> Result<(), MariaDbError> {
        within(self.deadline, self.connection.query_drop(statement)).await
    }

    /// The rows of one statement.
    pub(super) async fn rows<T: FromRow + Send + 'static>(
        &mut self,
        statement: &str,
    ) -> Result<Vec<T>, MariaDbError> {
        within(self.deadline, self.connection.query(statement)).await
    }

    /// Says good-bye.
    pub(super) async fn close(self) {
        let _ = timeout(Duration::from_millis(CLOSE_MS_MAX), self.connection.disconnect()).await;
    }
}

async fn within<T>(
    deadline: Instant,
    doing: impl Future<Output = Result<T, Error>>,
) -> Result<T, MariaDbError> {
    timeout_at(deadline, doing).await.map_err(|_| MariaDbError::Late)?.map_err(MariaDbError::Said)
}

impl MariaDbError {
    /// The error number of the server, if the server refused.
    fn code(&self) -> Option<u16> {
        match self {
            Self::Said(Error::Server(said)) => Some(said.code),
            Self::Said(Error::Driver(_) | Error::Io(_) | Error::Other(_) | Error::Url(_)) | Self::Late => {
                None
            }
        }
    }

    /// The reason, for messages. The server's messages name accounts, never a password. Only a syntax error repeats our
    /// statement, which may hold a hash.
    fn reason(&self) -> String {
        match self {
            Self::Late => "no answer in time".to_owned(),
            Self::Said(Error::Server(said)) if said.code == NOT_PARSED => {
                format!("the server does not understand the statement ({NOT_PARSED})")
            }
            Self::Said(Error::Server(said)) => {
                let words = said.message.chars().filter(|letter| !letter.is_control()).take(SAID_MAX);
                format!("{} ({})", words.collect::<String>(), said.code)
            }
            Self::Said(Error::Io(error)) => error.to_string(),
            Self::Said(Error::Driver(_) | Error::Other(_) | Error::Url(_)) => {
                "the answer is not MariaDB's protocol".to_owned()
            }
        }
    }

    /// Whether the server's message contains this text.
    pub(super) fn says(&self, words: &str) -> bool {
        self.reason().contains(words)
    }

    fn class(&self) -> Class {
        match self.code() {
            Some(code) if !PASSING.contains(&code) => Class::Permanent,
            Some(_) | None => Class::Retryable,
        }
    }

    /// A consumer's login failed.
    pub(super) fn of_login(&self) -> Attempt {
        match self.code() {
            Some(code) if DENIED.contains(&code) || code == LOCKED => Attempt::Refused,
            Some(code) if FULL_AFTER_LOGIN.contains(&code) => Attempt::Accepted,
            Some(_) | None => Attempt::Unknown(self.reason()),
        }
    }

    /// The admin's login failed.
    pub(super) fn of_connecting(&self, attempted: String) -> Failure {
        Failure::new(self.class(), Code::IssuerUnreachable, attempted)
            .because(self.reason())
            .help("keyroll doctor")
    }

    /// A statement that changes nothing failed.
    pub(super) fn without_effect(&self, attempted: String) -> Failure {
        let lacks = self.code().is_some_and(|code| RIGHTS.contains(&code));
        let code = if lacks { Code::AdminRefused } else { Code::RequestFailed };
        Failure::new(self.class(), code, attempted).because(self.reason())
    }

    /// A statement that changes something failed. If no answer came, the change may have happened.
    pub(super) fn of_effect(&self, attempted: String) -> Failure {
        match self.code() {
            Some(_) => self.without_effect(attempted),
            None => Failure::new(Class::Unknown, Code::RequestFailed, attempted).because(self.reason()),
        }
    }
}

#[cfg(test)]
mod tests {
    use mysql_async::ServerError;

    use super::*;

    #[test]
    fn what_the_server_repeats_of_a_statement_is_not_told() {
        let hash = format!("*{:040X}", std::process::id());
        let said = |code: u16| {
            let message = format!("You have an error in your SQL syntax near '{hash}'");
            MariaDbError::Said(Error::Server(ServerError { code, message, state: "42000".to_owned() }))
        };
        let shown = format!("{:?}", said(NOT_PARSED).of_effect("mint".to_owned()));
        assert!(!shown.contains(&hash) && shown.contains("1064"), "{shown}");
        assert!(format!("{:?}", said(1396).of_effect("mint".to_owned())).contains(&hash), "others are told");
    }
}
