//! MariaDB, from version 10.5 on: two accounts with the same grants.
//!
//! An account has one password that can be changed at any time; only a second account overlaps with it.

mod accounts;
mod change;
mod check;
mod link;
mod server;
mod sessions;

use std::net::SocketAddr;

use crate::declaration::{Key, KeyForm, LOGIN_FIELDS, LoginServer, TWO_LOGINS};
use crate::directory::{Attempt, Directory, Filling, Login, Switch};
use crate::options::Options;
use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_http::via;
use keyroll_port::{Class, Failure, Session};
use keyroll_secret::SecretBytes;
use link::Link;
pub use server::MariaDb;

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
    admin: "an account that may create users: docs/guides/rotate-a-mariadb-account.md",
    issuer: |table, admins| Ok(Box::new(MariaDb::issuer(Options::read(table, admins)?)?)),
};

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
        // The client opens its connections itself.
        if via::current().is_some() {
            return Attempt::Unknown(via::UNENCRYPTED.to_owned());
        }
        match Link::open(place, user, password, self.limit_ms()).await {
            Ok(link) => {
                self.own.remember(link.id());
                link.close().await;
                Attempt::Accepted
            }
            Err(fault) => fault.of_login(),
        }
    }

    async fn seen_as(
        &self,
        place: (&str, u16),
        user: &str,
        password: &SecretBytes,
    ) -> Result<Option<SocketAddr>, Failure> {
        let what = "ask under which address it sees a connection";
        // As for an attempt.
        if via::current().is_some() {
            return Err(Failure::new(Class::Permanent, Code::RequestFailed, self.attempted(what))
                .because(via::UNENCRYPTED));
        }
        let link = Link::open(place, user, password, self.limit_ms()).await;
        let mut link = link.map_err(|fault| self.failed(&fault, what))?;
        self.own.remember(link.id());
        let seen = sessions::seen_as(&mut link).await;
        link.close().await;
        seen.map_err(|fault| self.failed(&fault, what))
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
