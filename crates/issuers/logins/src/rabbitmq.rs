//! RabbitMQ, from version 3.10.8 on: two users with the same tags, permissions and limits.
//!
//! A user has one password; only a second user overlaps with it. The management API changes users, and lists and ends
//! connections. A probe logs in as consumers do, by AMQP.

mod amqp;
mod change;
mod check;
mod connections;
mod limits;
mod link;
mod nodes;
mod rights;
mod server;
mod silence;
mod users;

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use keyroll_http::via;
use keyroll_port::{Failure, Session};
use keyroll_secret::SecretBytes;
use tokio::time::timeout;

use crate::declaration::{Key, KeyForm, LOGIN_FIELDS, LoginServer, TWO_LOGINS};
use crate::directory::{Attempt, Directory, Filling, Login, Switch};
use crate::options::Options;
pub use server::{Broker, RabbitMq};

pub(crate) static SERVER: LoginServer = LoginServer {
    word: "rabbitmq",
    doc: "A RabbitMQ server, and the two users between which rotations alternate.",
    keys: &[
        Key::required(
            "host",
            KeyForm::Host,
            "The server's name or address. keyroll encrypts connections to both ports of another machine, and the server's \
                  certificate must contain this name.",
        ),
        Key::optional(
            "port",
            KeyForm::Port(5672),
            "The AMQP port that consumers connect to. Default 5672; the usual port with TLS is 5671.",
        ),
        Key::optional(
            "management_port",
            KeyForm::Port(15672),
            "The port of the management API. Default 15672; the usual port with TLS is 15671.",
        ),
        Key::optional(
            "vhost",
            KeyForm::Name(255),
            "The virtual host that consumers open. keyroll opens it too when it tests a login. Default `/`.",
        ),
        Key::required(
            "slots",
            TWO_LOGINS,
            "The names of the two users. keyroll creates a user when it first needs it, with the tags, permissions and limits \
                  of the user that consumers log in as now.",
        ),
    ],
    fields: LOGIN_FIELDS,
    admin: "a user with the tag administrator: docs/guides/rotate-a-rabbitmq-user.md",
    issuer: |table, admins| {
        let broker = Broker {
            management_port: table.port("management_port").unwrap_or_default(),
            vhost: table.text("vhost").unwrap_or("/").to_owned(),
        };
        Ok(Box::new(RabbitMq::within(Options::read(table, admins)?, broker, admins.addresses)?))
    },
};

#[async_trait]
impl Directory for RabbitMq {
    fn options(&self) -> &Options {
        &self.options
    }

    async fn check(&self, current: &str, slot: &str) -> Result<Vec<String>, Failure> {
        check::run(self, current, slot).await
    }

    async fn whole(&self, what: &str) -> Result<(), Failure> {
        nodes::whole(self, &self.admin(), what).await
    }

    async fn read(&self) -> Result<Vec<Login>, Failure> {
        let users =
            users::read(&self.admin()).await.map_err(|fault| self.failed(&fault, "read the users"))?;
        Ok(users.into_iter().map(|user| user.login).collect())
    }

    async fn attempt(&self, (host, port): (&str, u16), user: &str, password: &SecretBytes) -> Attempt {
        let trying = async {
            let (mut stream, ours) = self.tls.connect(host, port).await?;
            if let Some(ours) = own_end(&ours) {
                self.own.remember(ours);
            }
            amqp::log_in(&mut stream, &self.broker.vhost, user, password).await
        };
        match timeout(Duration::from_millis(self.limit_ms()), trying).await {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(error)) => Attempt::Unknown(error.to_string()),
            Err(_) => Attempt::Unknown("no answer in time".to_owned()),
        }
    }

    async fn fill(&self, filling: &Filling<'_>) -> Result<(), Failure> {
        change::fill(self, filling).await
    }

    async fn switch(&self, login: &Login, switch: Switch) -> Result<(), Failure> {
        change::switch(self, login, switch).await
    }

    async fn sessions(&self, user: &str) -> Result<Vec<Session>, Failure> {
        connections::list(self, user).await
    }

    fn idle_ms(&self) -> u64 {
        silence::known_ms()
    }

    async fn end(&self, user: &str, handles: &[String], busy: bool) -> Result<usize, Failure> {
        connections::end(self, user, handles, busy).await
    }
}

/// Our end of a connection, by which the session of a probe is recognised; `None` for one that leaves from a host. That host
/// says what its end is, and could name the session of somebody else.
fn own_end(ours: &str) -> Option<SocketAddr> {
    if via::current().is_some() { None } else { ours.parse().ok() }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use keyroll_http::via::{Dial, Dialed, through};

    use super::*;

    struct Nowhere;

    #[async_trait]
    impl Dial for Nowhere {
        async fn dial(&self, _: &str, _: u16) -> io::Result<Dialed> {
            Err(io::Error::other("nowhere"))
        }
    }

    #[tokio::test]
    async fn the_end_that_a_host_names_is_none_of_ours() {
        let end = "192.0.2.7:40000";
        assert_eq!(own_end(end), Some(end.parse().unwrap()));
        assert_eq!(through(Arc::new(Nowhere), async { own_end(end) }).await, None);
    }
}
