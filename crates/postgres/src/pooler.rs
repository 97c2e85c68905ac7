//! PgBouncer before the server, asked at its own console: who logs in with a role there, and which sessions of the
//! server are its pooled connections. Facts: PgBouncer's manual, "Admin console", and measured on 1.18.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use keyroll_port::{Failure, Session};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::codes;
use crate::link::{Link, Login};
use crate::options::Admin;
use crate::server::Server;

/// The database that is the console.
const CONSOLE: &str = "pgbouncer";
/// The port without which a session over a Unix socket is shown.
const UNIX: &str = "unix";
/// States of a connection to the server in which its login was accepted and no client has it.
const FREE: [&str; 3] = ["idle", "used", "tested"];
/// The state in which a client has it.
const TAKEN: &str = "active";

/// One PgBouncer on this machine.
pub struct Pooler {
    /// Its address, or the folder of its Unix socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who may look at its console: one of its `stats_users` or `admin_users`.
    pub admin: Admin,
}

/// What the poolers show of one role.
#[derive(Default)]
pub(crate) struct Pooled {
    /// Their ends of connections to the server that were opened for a client's own login, with their databases.
    servers: Vec<Connection>,
    /// The clients that are logged in with the role.
    clients: Vec<Client>,
}

struct Connection {
    pool: (usize, String),
    own_end: SocketAddr,
    free: bool,
}

struct Client {
    pool: (usize, String),
    at: Option<SocketAddr>,
    pid: Option<u32>,
    busy: bool,
    handle: String,
}

impl Pooled {
    /// Whether a session of the server, by its client's end, is a connection of a pool.
    pub(crate) fn has(&self, client: SocketAddr) -> bool {
        self.servers.iter().any(|one| one.own_end == client)
    }

    /// The same, of those that no client uses now.
    pub(crate) fn has_free(&self, client: SocketAddr) -> bool {
        self.servers.iter().any(|one| one.free && one.own_end == client)
    }

    /// The clients as sessions. That the server accepted the login is shown by a connection of the same pool that it
    /// shows itself: `shown` are the clients' ends that it shows.
    pub(crate) fn sessions(&self, shown: &BTreeSet<SocketAddr>) -> impl Iterator<Item = Session> {
        let accepted = |client: &&Client| {
            self.servers.iter().any(|one| one.pool == client.pool && shown.contains(&one.own_end))
        };
        self.clients.iter().map(move |client| Session {
            client: client.at,
            pid: client.pid,
            busy: client.busy,
            handle: client.handle.clone(),
            calls: Some(u64::from(accepted(&client))),
        })
    }
}

/// Asks every pooler about a role.
pub(crate) async fn look(server: &Server, role: &str) -> Result<Pooled, Failure> {
    let mut all = Pooled::default();
    for (at, pooler) in server.options.poolers.iter().enumerate() {
        pooler.look(server.options.request_ms_max, role, at, &mut all).await?;
    }
    Ok(all)
}

impl Pooler {
    async fn look(&self, limit_ms: u64, role: &str, number: usize, all: &mut Pooled) -> Result<(), Failure> {
        let attempted = || format!("ask PgBouncer at {}:{} who is logged in", self.host, self.port);
        let failed = |fault: crate::link::Fault| {
            fault.without_effect(codes::POOLER, attempted()).help(
                "its user must be one of stats_users, and the console is reached as the database pgbouncer",
            )
        };
        let login = Login {
            host: &self.host,
            port: self.port,
            dbname: CONSOLE,
            user: &self.admin.user,
            password: self.admin.password.as_ref(),
            tls: None,
            pinned: false,
        };
        let link = Link::open(&login, limit_ms).await.map_err(failed)?;
        let databases = link.told("SHOW DATABASES").await.map_err(failed)?;
        // The clients first: one that comes between the two is seen next time, one that went has no session.
        let clients = link.told("SHOW CLIENTS").await.map_err(failed)?;
        let servers = link.told("SHOW SERVERS").await.map_err(failed)?;
        link.close().await;
        let databases = rows(&databases);
        // Where the pooler logs in by itself, whoever comes to it has another login, and the session is its own.
        let forced: BTreeSet<&str> = databases
            .iter()
            .filter(|row| !text(row, "force_user").is_empty())
            .map(|row| text(row, "name"))
            .collect();
        let of_role = |row: &&&SimpleQueryRow| {
            let database = text(row, "database");
            text(row, "user") == role && database != CONSOLE && !forced.contains(database)
        };
        for row in rows(&servers).iter().filter(of_role) {
            let state = text(row, "state");
            let free = FREE.contains(&state);
            let own_end = address(row, "local_addr", "local_port").filter(|_| free || state == TAKEN);
            let pool = (number, text(row, "database").to_owned());
            all.servers.extend(own_end.map(|own_end| Connection { pool, own_end, free }));
        }
        for row in rows(&clients).iter().filter(of_role) {
            let unix = text(row, "addr") == UNIX;
            all.clients.push(Client {
                pool: (number, text(row, "database").to_owned()),
                at: address(row, "addr", "port"),
                pid: if unix { text(row, "remote_pid").parse().ok().filter(|pid| *pid > 0) } else { None },
                busy: !text(row, "link").is_empty() || text(row, "state") == "waiting",
                handle: format!("pooler {number} {} {}", text(row, "ptr"), text(row, "connect_time")),
            });
        }
        Ok(())
    }
}

fn rows(messages: &[SimpleQueryMessage]) -> Vec<&SimpleQueryRow> {
    let mut rows = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push(row);
        }
    }
    rows
}

fn text<'a>(row: &'a SimpleQueryRow, column: &str) -> &'a str {
    row.try_get(column).ok().flatten().unwrap_or_default()
}

fn address(row: &SimpleQueryRow, host: &str, port: &str) -> Option<SocketAddr> {
    let host: IpAddr = text(row, host).parse().ok()?;
    Some(SocketAddr::new(host, text(row, port).parse().ok()?))
}
