//! MariaDB, from version 10.5 on: two accounts with the same grants.
//!
//! An account has one password that can be changed at any time; only a second account overlaps with it.

mod accounts;
mod change;
mod check;
mod link;
mod sessions;

use crate::declaration::{Key, KeyForm, LOGIN_FIELDS, LoginServer, TWO_LOGINS};
use crate::directory::{Attempt, Directory, Filling, Login, Switch};
use crate::options::Options;
use crate::own_sessions::Own;
use crate::two_logins::TwoLogins;
use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure, Session};
use keyroll_secret::SecretBytes;
use link::{Fault, Link};

pub(crate) static SERVER: LoginServer = LoginServer {
    word: "mariadb",
    doc: "A MariaDB server, and the two accounts between which rotations alternate.",
    keys: &[
        Key::required(
            "host",
            KeyForm::Host,
            "The server's address, which must be this machine: `127.0.0.1`. keyroll does not encrypt connections to MariaDB \
             yet, and refuses another machine.",
        ),
        Key::optional("port", KeyForm::Port(3306), "The server's port. Default 3306."),
        Key::required(
            "slots",
            TWO_LOGINS,
            "The names of the two accounts. keyroll creates an account when it first needs it, with the grants of the account \
             that consumers log in as now.",
        ),
    ],
    fields: LOGIN_FIELDS,
    issuer: |table, admins| Ok(Box::new(MariaDb::issuer(Options::read(table, admins)?)?)),
};

/// One request of the port makes at most three connections, one after another.
const CONNECTIONS_MAX: u64 = 3;
/// How long a session of our own may take to end, milliseconds. The limit is short because a restarted server counts
/// its session numbers from the start again.
const OWN_MS_MAX: u64 = 5_000;

/// MariaDB as an issuer.
pub struct MariaDb {
    options: Options,
    own: Own<u32>,
}

impl MariaDb {
    /// Checks the options; asks nothing of the server.
    ///
    /// # Errors
    /// K0140, permanent.
    pub fn issuer(options: Options) -> Result<TwoLogins, Failure> {
        options.check()?;
        if options.is_encrypted() {
            let attempted = format!("use the options of the server {}", options.endpoint());
            return Err(Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, attempted)
                .because("connections to MariaDB are not encrypted yet, so it must be on this machine")
                .help("run keyroll on the server's machine, with `host = \"127.0.0.1\"`"));
        }
        Ok(TwoLogins::new(Self { options, own: Own::for_ms(OWN_MS_MAX) }))
    }

    fn limit_ms(&self) -> u64 {
        self.options.request_ms_max / CONNECTIONS_MAX
    }

    /// A connection of the admin's.
    async fn admin(&self) -> Result<Link, Failure> {
        let (options, admin) = (&self.options, &self.options.admin);
        let place = (options.host.as_str(), options.port);
        let link = async {
            let mut link = Link::open(place, &admin.user, &admin.password, self.limit_ms()).await?;
            // Override the settings of the admin's account: they must not change what a statement means or how long it
            // waits.
            link.run("SET SESSION sql_mode = '', lock_wait_timeout = 3, autocommit = 1").await?;
            Ok(link)
        };
        link.await.map_err(|fault: Fault| {
            fault.of_connecting(format!("log in as {:?} at MariaDB {}", admin.user, options.endpoint()))
        })
    }

    fn attempted(&self, what: &str) -> String {
        format!("{what} at MariaDB {}", self.options.endpoint())
    }

    /// A failure of a statement that changes nothing.
    fn failed(&self, fault: &Fault, what: &str) -> Failure {
        fault.without_effect(self.attempted(what))
    }
}

#[async_trait]
impl Directory for MariaDb {
    fn options(&self) -> &Options {
        &self.options
    }

    async fn check(&self, _current: &str, _slot: &str) -> Result<Vec<String>, Failure> {
        check::run(self).await
    }

    async fn read(&self) -> Result<Vec<Login>, Failure> {
        let mut link = self.admin().await?;
        let accounts = accounts::read(&mut link).await;
        let accounts = accounts.map_err(|fault| self.failed(&fault, "read the accounts"))?;
        link.close().await;
        Ok(accounts::logins(&accounts))
    }

    async fn attempt(&self, place: (&str, u16), user: &str, password: &SecretBytes) -> Attempt {
        match Link::open(place, user, password, self.limit_ms()).await {
            Ok(link) => {
                self.own.remember(link.id());
                link.close().await;
                Attempt::Accepted
            }
            Err(fault) => fault.of_login(),
        }
    }

    async fn fill(&self, filling: &Filling<'_>) -> Result<(), Failure> {
        change::fill(self, filling).await
    }

    async fn switch(&self, login: &Login, switch: Switch) -> Result<(), Failure> {
        change::switch(self, login, switch).await
    }

    async fn sessions(&self, user: &str) -> Result<Vec<Session>, Failure> {
        sessions::list(self, user).await
    }

    async fn end(&self, user: &str, handles: &[String], busy: bool) -> Result<usize, Failure> {
        sessions::end(self, user, handles, busy).await
    }
}
