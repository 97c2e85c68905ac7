//! Redis, from version 7 on: two users with the same rules.
//!
//! One user with two passwords would overlap too, but Redis does not show which of them a connection was opened with,
//! so nobody could tell which consumer still uses the old one.

mod change;
mod check;
mod clients;
mod link;
mod reply;
mod server;
mod users;

use std::net::SocketAddr;

use async_trait::async_trait;
use keyroll_http::via;
use keyroll_port::{Failure, Session};
use keyroll_secret::SecretBytes;

use crate::declaration::{HOST, Key, KeyForm, LOGIN_FIELDS, LoginServer, TWO_LOGINS};
use crate::directory::{Attempt, Directory, Filling, Login, Switch};
use crate::options::Options;
use link::Link;
pub use server::Redis;

pub(crate) static SERVER: LoginServer = LoginServer {
    word: "redis",
    doc: "A Redis server, and the two users between which rotations alternate.",
    keys: &[
        HOST,
        Key::optional("port", KeyForm::Port(6379), "The server's port. Default 6379."),
        Key::required(
            "slots",
            TWO_LOGINS,
            "The names of the two users. keyroll creates a user when it first needs it, with the ACL rules of the user that \
             consumers log in as now.",
        ),
    ],
    fields: LOGIN_FIELDS,
    admin: "a user that you make in redis-cli: ACL SETUSER keyroll_admin on >PASSWORD resetkeys +acl +client +info \
            +config|get +config|rewrite, then ACL SAVE (or CONFIG REWRITE)",
    issuer: |table, admins| Ok(Box::new(Redis::within(Options::read(table, admins)?, admins.addresses)?)),
};

#[async_trait]
impl Directory for Redis {
    fn options(&self) -> &Options {
        &self.options
    }

    async fn check(&self, _current: &str, _slot: &str) -> Result<Vec<String>, Failure> {
        check::run(self).await
    }

    async fn read(&self) -> Result<Vec<Login>, Failure> {
        let mut link = self.admin().await?;
        let users = users::read(&mut link).await.map_err(|fault| self.failed(&fault, "read the users"))?;
        Ok(users.into_iter().map(|user| user.login).collect())
    }

    async fn attempt(&self, place: (&str, u16), user: &str, password: &SecretBytes) -> Attempt {
        match Link::open(&self.tls, place, user, password, self.limit_ms()).await {
            Ok(link) => {
                self.own.remember((link.hello.id, link.address.clone()));
                Attempt::Accepted
            }
            Err(fault) if fault.is_wrong_password() => Attempt::Refused,
            Err(fault) => Attempt::Unknown(fault.reason()),
        }
    }

    /// The admin reads it from the list of sessions, because a consumer's user may lack the right to `CLIENT INFO`.
    async fn seen_as(
        &self,
        place: (&str, u16),
        user: &str,
        password: &SecretBytes,
    ) -> Result<Option<SocketAddr>, Failure> {
        let what = "ask under which address it sees a connection";
        let link = Link::open(&self.tls, place, user, password, self.limit_ms()).await;
        let link = link.map_err(|fault| self.failed(&fault, what))?;
        let mut admin = via::from_here(self.admin()).await?;
        let clients = clients::read(&mut admin).await.map_err(|fault| self.failed(&fault, what))?;
        // The connection stays open until here: the server lists what is connected now.
        let own = clients.into_iter().find(|it| it.id == link.hello.id && it.user == user);
        let addresses = [Some(link.address), own.as_ref().map(|own| own.address.clone())];
        addresses.into_iter().flatten().for_each(|address| self.own.remember((link.hello.id, address)));
        Ok(own.and_then(|own| own.session().client))
    }

    async fn fill(&self, filling: &Filling<'_>) -> Result<(), Failure> {
        change::fill(self, filling).await
    }

    async fn switch(&self, login: &Login, switch: Switch) -> Result<(), Failure> {
        change::switch(self, login, switch).await
    }

    async fn sessions(&self, user: &str) -> Result<Vec<Session>, Failure> {
        let mut link = self.admin().await?;
        let clients = clients::read(&mut link).await;
        let clients = clients.map_err(|fault| self.failed(&fault, "read the connected clients"))?;
        let own = |it: &clients::Client| self.own.has(&(it.id, it.address.clone()));
        let theirs = clients.iter().filter(|it| it.user == user && !own(it));
        Ok(theirs.map(clients::Client::session).collect())
    }

    async fn end(&self, user: &str, handles: &[String], busy: bool) -> Result<usize, Failure> {
        clients::end(self, user, handles, busy).await
    }
}
