//! PgBouncer in front of the server. Its console tells which clients log in with a role, and which sessions of the
//! server are its pooled connections. Facts: PgBouncer's manual, "Admin console", and measured on 1.18.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::postgres::link::{Link, Login};
use crate::postgres::options::Pooler;
use crate::postgres::server::Server;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure, Session};
use tokio_postgres::SimpleQueryMessage;

/// The name of the console's database.
const CONSOLE: &str = "pgbouncer";
/// What the console shows in place of an address for a connection over a Unix socket.
const UNIX: &str = "unix";
/// States of a connection to the server that is logged in and that no client uses.
const FREE: [&str; 3] = ["idle", "used", "tested"];
/// What the handle of a client's session begins with.
const HANDLE: &str = "pooler ";
/// The pool mode in which a client keeps its connection until it logs out.
const BY_SESSION: &str = "session";
/// The state of a connection that a client uses.
const TAKEN: &str = "active";

/// What the poolers show of one role.
#[derive(Default)]
pub(crate) struct Pooled {
    /// The poolers' connections to the server that were opened with a client's own login.
    servers: Vec<Connection>,
    /// The clients that are logged in with the role.
    clients: Vec<Client>,
    /// The databases in which the role's pool is in session mode.
    kept: BTreeSet<String>,
}

struct Connection {
    pool: (usize, String),
    own_end: SocketAddr,
    free: bool,
    /// The pooler's own name for the connection.
    name: String,
}

struct Client {
    pool: (usize, String),
    at: Option<SocketAddr>,
    pid: Option<u32>,
    /// The connection that the client uses now, by the pooler's name for it.
    link: Option<String>,
    /// The client keeps that connection until it logs out, even while idle.
    keeps: bool,
    waits: bool,
    handle: String,
}

impl Pooled {
    /// Whether the server's session with this client address is a pooled connection.
    pub(crate) fn has(&self, client: SocketAddr) -> bool {
        self.servers.iter().any(|one| one.own_end == client)
    }

    /// Whether the server's session with this client address is a pooled connection that no client uses now.
    pub(crate) fn has_free(&self, client: SocketAddr) -> bool {
        self.servers.iter().any(|one| one.free && one.own_end == client)
    }

    fn link(&self, client: &Client) -> Option<&Connection> {
        let (pool, name) = (client.pool.0, client.link.as_ref()?);
        self.servers.iter().find(|one| one.pool.0 == pool && one.name == *name)
    }

    /// The pooler's clients as sessions. `shown` are the client addresses of the sessions that the server itself shows,
    /// each with whether it is busy. The server accepted a client's login if it shows a connection of the same pool. A
    /// client that keeps its connection is busy if that connection is.
    pub(crate) fn sessions(&self, shown: &BTreeMap<SocketAddr, bool>) -> impl Iterator<Item = Session> {
        let accepted = |client: &&Client| {
            self.servers.iter().any(|one| one.pool == client.pool && shown.contains_key(&one.own_end))
        };
        let busy = |client: &&Client| match (&client.link, client.keeps) {
            (None, _) => client.waits,
            (Some(_), false) => true,
            (Some(_), true) => {
                let there = self.link(client).and_then(|one| shown.get(&one.own_end));
                client.waits || there.is_none_or(|busy| *busy)
            }
        };
        self.clients.iter().map(move |client| Session {
            client: client.at,
            pid: client.pid,
            busy: busy(&client),
            handle: client.handle.clone(),
            calls: Some(u64::from(accepted(&client))),
        })
    }

    /// The connections that these clients use, by the pooler's address of each. When such a connection ends, the pooler
    /// disconnects its client. A client that uses no connection now cannot be ended in this way.
    pub(crate) fn behind(&self, handles: &[String]) -> BTreeSet<SocketAddr> {
        let named = self.clients.iter().filter(|client| handles.contains(&client.handle));
        named.filter_map(|client| self.link(client)).map(|one| one.own_end).collect()
    }

    /// The databases in which the role's clients keep their connections (session mode), for the operator.
    pub(crate) fn kept(&self) -> &BTreeSet<String> {
        &self.kept
    }
}

/// Whether a session's handle is a pooler's.
pub(crate) fn is_handle(handle: &str) -> bool {
    handle.starts_with(HANDLE)
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
        let failed = |fault: crate::postgres::link::PostgresError| {
            fault.without_effect(Code::PoolerUnusable, attempted()).help(
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
        let told = async |what: &'static str| {
            let answer = link.told(&format!("SHOW {what}")).await.map_err(failed)?;
            Ok::<_, Failure>(Table::of(what, &answer))
        };
        let config = told("CONFIG").await?;
        let databases = told("DATABASES").await?;
        let pools = told("POOLS").await?;
        // Read the clients first. A client that comes between the two readings is seen next time, and one that leaves
        // has no session.
        let clients = told("CLIENTS").await?;
        let servers = told("SERVERS").await?;
        let version = told("VERSION").await?;
        link.close().await;
        let version = version.rows.first().and_then(|row| row.first()).map_or("", String::as_str);
        let tables = [
            (&config, &["key", "value"][..]),
            (&databases, &["name", "force_user"]),
            (&pools, &["database", "user", "pool_mode"]),
            (
                &clients,
                &["user", "database", "state", "addr", "port", "remote_pid", "ptr", "link", "connect_time"],
            ),
            (&servers, &["user", "database", "state", "local_addr", "local_port", "ptr"]),
        ];
        for (table, columns) in tables {
            table.require(columns).map_err(|why| {
                Failure::new(Class::Permanent, Code::PoolerUnusable, attempted())
                    .because(format!("{why} ({version})"))
                    .help("name no pooler of this version under poolers; PgBouncer 1.18 is known to show it")
            })?;
        }
        if shares_its_port(&config) {
            return Err(Failure::new(Class::Permanent, Code::PoolerUnusable, attempted())
                .because(
                    "so_reuseport is on: several of them listen there, and each shows its own clients only",
                )
                .help("give each a port of its own and name them all under poolers, or run one"));
        }
        gather(number, role, [&databases, &pools, &clients, &servers], all);
        Ok(())
    }
}

fn shares_its_port(config: &Table) -> bool {
    config.all().any(|row| row.text("key") == "so_reuseport" && row.text("value") != "0")
}

/// Adds what the pooler of this number shows of a role.
fn gather(number: usize, role: &str, [databases, pools, clients, servers]: [&Table; 4], all: &mut Pooled) {
    // With `force_user` the pooler logs in with its own login: the session is the pooler's own, whatever login its
    // clients use.
    let forced: BTreeSet<&str> = databases
        .all()
        .filter(|row| !row.text("force_user").is_empty())
        .map(|row| row.text("name"))
        .collect();
    let of_role = |row: &Row<'_>| {
        let database = row.text("database");
        row.text("user") == role && database != CONSOLE && !forced.contains(database)
    };
    let by_session: BTreeSet<&str> = pools
        .all()
        .filter(|row| of_role(row) && row.text("pool_mode") == BY_SESSION)
        .map(|row| row.text("database"))
        .collect();
    for row in servers.all().filter(of_role) {
        let state = row.text("state");
        let free = FREE.contains(&state);
        let own_end = row.address("local_addr", "local_port").filter(|_| free || state == TAKEN);
        let (pool, name) = ((number, row.text("database").to_owned()), row.text("ptr").to_owned());
        all.servers.extend(own_end.map(|own_end| Connection { pool, own_end, free, name }));
    }
    for row in clients.all().filter(of_role) {
        let (database, link) = (row.text("database"), row.text("link"));
        let unix = row.text("addr") == UNIX;
        all.clients.push(Client {
            pool: (number, database.to_owned()),
            at: row.address("addr", "port"),
            pid: if unix { row.text("remote_pid").parse().ok().filter(|pid| *pid > 0) } else { None },
            link: (!link.is_empty()).then(|| link.to_owned()),
            keeps: by_session.contains(database),
            waits: row.text("state") == "waiting",
            handle: format!("{HANDLE}{number} {} {}", row.text("ptr"), row.text("connect_time")),
        });
    }
    all.kept.extend(by_session.into_iter().map(str::to_owned));
}

/// An answer of the console.
struct Table {
    what: &'static str,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

#[derive(Clone, Copy)]
struct Row<'a>(&'a Table, &'a [String]);

impl Table {
    fn of(what: &'static str, messages: &[SimpleQueryMessage]) -> Self {
        let mut table = Self { what, columns: Vec::new(), rows: Vec::new() };
        for message in messages {
            if let SimpleQueryMessage::RowDescription(columns) = message {
                table.columns = columns.iter().map(|column| column.name().to_owned()).collect();
            }
            if let SimpleQueryMessage::Row(row) = message {
                let field = |at| row.try_get(at).ok().flatten().unwrap_or_default().to_owned();
                table.rows.push((0..row.len()).map(field).collect());
            }
        }
        table
    }

    /// A column that this version does not have must not be read as an empty one.
    fn require(&self, columns: &[&str]) -> Result<(), String> {
        match columns.iter().find(|column| !self.columns.iter().any(|there| there == *column)) {
            Some(column) => Err(format!("its SHOW {} has no column {column}", self.what)),
            None => Ok(()),
        }
    }

    fn all(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(move |row| Row(self, row))
    }
}

impl<'a> Row<'a> {
    fn text(&self, column: &str) -> &'a str {
        let at = self.0.columns.iter().position(|there| there == column);
        at.and_then(|at| self.1.get(at)).map_or("", String::as_str)
    }

    fn address(&self, host: &str, port: &str) -> Option<SocketAddr> {
        let host: IpAddr = self.text(host).parse().ok()?;
        Some(SocketAddr::new(host, self.text(port).parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(what: &'static str, columns: &[&str], row: &[&str]) -> Table {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        Table { what, columns: texts(columns), rows: vec![texts(row)] }
    }

    #[test]
    fn what_a_version_does_not_show_is_not_empty() {
        let clients = table("CLIENTS", &["user", "ptr"], &["app", "1"]);
        assert_eq!(clients.require(&["ptr", "user"]), Ok(()));
        assert_eq!(clients.require(&["user", "link"]).unwrap_err(), "its SHOW CLIENTS has no column link");
    }

    #[test]
    fn several_behind_one_port_are_refused() {
        assert!(shares_its_port(&table("CONFIG", &["key", "value"], &["so_reuseport", "1"])));
        assert!(!shares_its_port(&table("CONFIG", &["key", "value"], &["so_reuseport", "0"])));
    }
}
