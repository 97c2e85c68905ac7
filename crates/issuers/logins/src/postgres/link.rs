use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::postgres::tls::Tls;
use keyroll_codes::Code;
use keyroll_http::via::Dial;
use keyroll_http::{Stream, via};
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, NoTls, Row, SimpleQueryMessage};

/// How long a connection may take to say good-bye before it is cut, milliseconds.
const CLOSE_MS_MAX: u64 = 1_000;
/// The longest wait for a lock on a role, milliseconds: a rotation does not queue behind other changes.
pub(crate) const LOCK_MS_MAX: u64 = 3_000;
/// The name of our sessions in `pg_stat_activity`.
const APPLICATION: &str = "keyroll";

/// Where and as whom to connect.
pub(crate) struct Login<'a> {
    /// Address, name or socket folder.
    pub(crate) host: &'a str,
    /// The port.
    pub(crate) port: u16,
    /// The database.
    pub(crate) dbname: &'a str,
    /// The role.
    pub(crate) user: &'a str,
    /// Its password.
    pub(crate) password: Option<&'a SecretBytes>,
    /// Encryption; `None` never leaves this machine.
    pub(crate) tls: Option<&'a Tls>,
    /// Whether the session overrides the role's own settings; `true` for the admin's connection.
    pub(crate) pinned: bool,
}

/// One connection, with one time limit for everything done on it.
pub(crate) struct Link {
    client: Option<Client>,
    task: JoinHandle<Result<(), Error>>,
    deadline: Instant,
}

/// Why a connection or a statement did not succeed.
pub(crate) enum PostgresError {
    /// The time limit passed.
    Late,
    /// The name leads to no address that may be connected to, or the host from which the connection should leave opened none.
    Unreached(String),
    /// The server refused, or the connection failed.
    Postgres(Error),
}

impl Link {
    /// Connects. Everything on this connection must end within `limit_ms` from now.
    pub(crate) async fn open(login: &Login<'_>, limit_ms: u64) -> Result<Self, PostgresError> {
        let deadline = Instant::now() + Duration::from_millis(limit_ms);
        let mut config = Config::new();
        config.host(login.host).port(login.port).dbname(login.dbname).user(login.user);
        config.application_name(APPLICATION);
        if let Some(password) = login.password {
            config.password(password.expose());
        }
        if login.pinned {
            // Override the settings of the admin's role: they must not change what a statement means or how long it
            // waits.
            config.options(format!(
                "-c search_path=pg_catalog -c standard_conforming_strings=on -c statement_timeout={limit_ms} \
                 -c lock_timeout={LOCK_MS_MAX} -c idle_in_transaction_session_timeout={limit_ms} \
                 -c default_transaction_read_only=off -c client_min_messages=warning -c datestyle=ISO"
            ));
        }
        let (client, task) = match (login.tls, via::current()) {
            (Some(tls), Some(dialer)) => {
                config.ssl_mode(SslMode::Require);
                let place = (login.host.to_owned(), login.port);
                let opening = open_via(dialer, config, place, tls.clone());
                timeout_at(deadline, opening).await.unwrap_or(Err(PostgresError::Late))?
            }
            (None, Some(_)) => return Err(PostgresError::Unreached(via::UNENCRYPTED.to_owned())),
            (Some(tls), None) => {
                config.ssl_mode(SslMode::Require);
                let resolving = name_addresses(&mut config, login, tls);
                timeout_at(deadline, resolving).await.unwrap_or(Err(PostgresError::Late))?;
                let (client, connection) = within(deadline, config.connect(tls.clone())).await?;
                (client, tokio::spawn(connection))
            }
            (None, None) => {
                config.ssl_mode(SslMode::Disable);
                let (client, connection) = within(deadline, config.connect(NoTls)).await?;
                (client, tokio::spawn(connection))
            }
        };
        Ok(Self { client: Some(client), task, deadline })
    }

    /// Rows of one statement.
    pub(crate) async fn rows(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, PostgresError> {
        match &self.client {
            Some(client) => within(self.deadline, client.query(sql, params)).await,
            None => Err(PostgresError::Late),
        }
    }

    /// One statement without parameters or rows.
    pub(crate) async fn run(&self, sql: &str) -> Result<(), PostgresError> {
        match &self.client {
            Some(client) => within(self.deadline, client.batch_execute(sql)).await,
            None => Err(PostgresError::Late),
        }
    }

    /// The answer to one statement by the simple query protocol: a pooler's console has no other.
    pub(crate) async fn told(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, PostgresError> {
        match &self.client {
            Some(client) => within(self.deadline, client.simple_query(sql)).await,
            None => Err(PostgresError::Late),
        }
    }

    /// Says good-bye, so that the server ends the session at once.
    pub(crate) async fn close(mut self) {
        drop(self.client.take());
        // It does not matter whether the good-bye arrived: the connection is cut on drop.
        let _ = timeout(Duration::from_millis(CLOSE_MS_MAX), &mut self.task).await;
    }
}

/// Names the addresses that the client connects to; it does not resolve the name again, which could then lead elsewhere. It
/// takes a host beside each, whose name the certificate must bear.
async fn name_addresses(config: &mut Config, login: &Login<'_>, tls: &Tls) -> Result<(), PostgresError> {
    let found = tls.addresses.resolve(login.host, login.port).await;
    let found = found.map_err(|error| PostgresError::Unreached(error.to_string()))?;
    for (at, address) in found.iter().enumerate() {
        // The first one is named already.
        if at > 0 {
            config.host(login.host);
        }
        config.hostaddr(address.ip());
    }
    Ok(())
}

/// A connection that another machine opened, as a type of its own: the client is not written for one behind a trait.
struct Carried(Box<dyn Stream>);

impl AsyncRead for Carried {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(task, into)
    }
}

impl AsyncWrite for Carried {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(task)
    }
}

/// A client, and the task that serves its connection.
type Opened = (Client, JoinHandle<Result<(), Error>>);

/// A client on a connection that another machine opened, and the task that serves it. Only what is written on the
/// connection needs that task: it opens none.
fn open_via(
    dialer: Arc<dyn Dial>,
    config: Config,
    (host, port): (String, u16),
    mut tls: Tls,
) -> Pin<Box<dyn Future<Output = Result<Opened, PostgresError>> + Send>> {
    Box::pin(async move {
        let dialed = dialer.dial(&host, port).await;
        let stream = dialed.map_err(|error| PostgresError::Unreached(error.to_string()))?.stream;
        let handshake = MakeTlsConnect::<Carried>::make_tls_connect(&mut tls, &host);
        let handshake = handshake.map_err(|error| PostgresError::Unreached(error.to_string()))?;
        let opened = config.connect_raw(Carried(stream), handshake).await;
        let (client, connection) = opened.map_err(PostgresError::Postgres)?;
        Ok((client, tokio::spawn(connection)))
    })
}

/// The task must not keep a connection open whose server went silent.
impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn within<T>(
    deadline: Instant,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, PostgresError> {
    match timeout_at(deadline, call).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(PostgresError::Postgres(error)),
        Err(_) => Err(PostgresError::Late),
    }
}

impl PostgresError {
    /// The SQLSTATE, if the server sent one.
    pub(crate) fn state(&self) -> Option<&str> {
        match self {
            Self::Late | Self::Unreached(_) => None,
            Self::Postgres(error) => error.code().map(|code| code.code()),
        }
    }

    /// What happened, without any value: the server's primary message alone, never detail, statement or context.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Late => "no answer in time".to_owned(),
            Self::Unreached(why) => why.clone(),
            Self::Postgres(error) => match error.as_db_error() {
                Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
                None => match std::error::Error::source(error) {
                    Some(cause) => format!("{error}: {cause}"),
                    None => error.to_string(),
                },
            },
        }
    }

    /// As the failure of a step that certainly had no effect: a read, or a statement before the commit.
    pub(crate) fn without_effect(&self, code: Code, attempted: impl Into<String>) -> Failure {
        self.told_as(self.reason(), code, attempted)
    }

    /// The same for a statement that contains a value. The server may repeat the value in its message, so only its
    /// SQLSTATE is shown.
    pub(crate) fn without_words(&self, code: Code, attempted: impl Into<String>) -> Failure {
        let state = self.state().map(|state| format!("the server refused it (SQLSTATE {state})"));
        self.told_as(state.unwrap_or_else(|| "no answer".to_owned()), code, attempted)
    }

    fn told_as(&self, reason: String, code: Code, attempted: impl Into<String>) -> Failure {
        let class = match self.state() {
            // Connection, resources, operator's intervention, lock not available, serialisation, a concurrent update of
            // the catalogue (XX000, "tuple concurrently updated"): these faults pass.
            Some(state) => match state.get(..2) {
                Some("08" | "53" | "57" | "55" | "40" | "25" | "58" | "XX") => Class::Retryable,
                _ => Class::Permanent,
            },
            None => Class::Retryable,
        };
        Failure::new(class, code, attempted).because(reason)
    }

    /// As the failure of a commit. Unless the server itself refused, the outcome is unknown.
    pub(crate) fn of_commit(&self, attempted: impl Into<String>) -> Failure {
        match self.state() {
            // Terminated, crashed, or shut down in the middle of the commit.
            Some(state) if !state.starts_with("57") && !state.starts_with("08") => {
                self.without_effect(Code::RequestFailed, attempted)
            }
            _ => Failure::new(Class::Unknown, Code::RequestFailed, attempted).because(self.reason()),
        }
    }
}
