use std::net::SocketAddr;

use keyroll_http::Addresses;
use keyroll_port::Failure;
use keyroll_secret::SecretBytes;

use crate::postgres::link::{Login, PostgresError};
use crate::postgres::log_tail::Tail;
use crate::postgres::options::{ChangedBy, Options};
use crate::postgres::probe::{self, Attempt, OwnSessions};
use crate::postgres::tls::Tls;

/// One server: its name, how to connect to it, and which of its sessions are our own.
pub(crate) struct Server {
    /// The options, checked.
    pub(crate) options: Options,
    /// Encryption, where connections leave this machine.
    pub(crate) tls: Option<Tls>,
    /// The sessions of our own probes.
    pub(crate) own: OwnSessions,
    /// The part of its log that was read.
    pub(crate) tail: Tail,
}

impl Server {
    /// Checks the options and reads the roots that TLS trusts, without connecting to the server. `addresses`: where its name
    /// may lead. Without encryption the host is this machine itself.
    pub(crate) fn new(options: Options, by: ChangedBy, addresses: Addresses) -> Result<Self, Failure> {
        options.check(by)?;
        let encrypted = options.is_encrypted();
        let tls = encrypted.then(|| Tls::new(options.root_certificates.as_deref(), addresses)).transpose()?;
        Ok(Self { options, tls, own: OwnSessions::default(), tail: Tail::default() })
    }

    /// The server's log file that the options name.
    pub(crate) fn log(&self) -> Option<&str> {
        self.options.log.as_deref()
    }

    /// The address and database that the options name.
    pub(crate) fn place(&self) -> (&str, u16) {
        (&self.options.host, self.options.port)
    }

    /// One login, as a consumer would make it.
    pub(crate) async fn attempt(
        &self,
        place: (&str, u16),
        dbname: &str,
        user: &str,
        password: &SecretBytes,
    ) -> Attempt {
        let login = self.login(place, dbname, user, password);
        probe::attempt(&login, self.options.request_ms_max, &self.own).await
    }

    /// The client's end of such a connection, as the server sees it.
    pub(crate) async fn seen_as(
        &self,
        place: (&str, u16),
        dbname: &str,
        user: &str,
        password: &SecretBytes,
    ) -> Result<Option<SocketAddr>, PostgresError> {
        let login = self.login(place, dbname, user, password);
        probe::seen_as(&login, self.options.request_ms_max, &self.own).await
    }

    fn login<'a>(
        &'a self,
        (host, port): (&'a str, u16),
        dbname: &'a str,
        user: &'a str,
        password: &'a SecretBytes,
    ) -> Login<'a> {
        let tls = self.tls.as_ref();
        Login { host, port, dbname, user, password: Some(password), tls, pinned: false }
    }
}
