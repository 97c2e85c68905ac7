//! The servers that are rotated, with their differences.

use keyroll_testkit::{ManagementApi, MariaDb, RabbitMq, Redis};
use mysql_async::prelude::Queryable as _;
use serde_json::{Value, json};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Redis,
    MariaDb,
    RabbitMq,
}

/// One that runs.
pub(crate) enum Server {
    Redis(Redis),
    MariaDb(MariaDb),
    RabbitMq(RabbitMq),
}

/// A login as the server itself shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) on: bool,
    pub(crate) password: bool,
    pub(crate) sessions: usize,
}

impl Kind {
    pub(crate) fn named(word: &str) -> Self {
        let all = [Self::Redis, Self::MariaDb, Self::RabbitMq];
        all.into_iter().find(|kind| kind.word() == word).unwrap()
    }

    /// As `issuer` names it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::MariaDb => "mariadb",
            Self::RabbitMq => "rabbitmq",
        }
    }

    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::MariaDb => "mysql",
            Self::RabbitMq => "amqp",
        }
    }

    /// The part of a URL after the port.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Redis => "0",
            Self::MariaDb => "shop",
            Self::RabbitMq => "%2F",
        }
    }

    pub(crate) fn url(self, user: &str, password: &str, port: u16) -> String {
        format!("{}://{user}:{password}@127.0.0.1:{port}/{}", self.scheme(), self.path())
    }

    pub(crate) fn start(self, what: &str) -> Option<Server> {
        match self {
            Self::Redis => Redis::start_or_skip(what).map(Server::Redis),
            Self::MariaDb => MariaDb::start_or_skip(what).map(Server::MariaDb),
            Self::RabbitMq => RabbitMq::start_or_skip(what).map(Server::RabbitMq),
        }
    }

    /// Makes the login that consumers use, as its admin. `other`: the port of the server's management.
    pub(crate) async fn seed(self, port: u16, other: u16, admin: &str, password: &str) {
        let (user, admin_password) = admin.split_once(':').unwrap();
        match self {
            Self::Redis => {
                let url = self.url(user, admin_password, port);
                let client = redis::Client::open(url).unwrap();
                let mut admin = client.get_multiplexed_async_connection().await.unwrap();
                let mut make = redis::cmd("ACL");
                make.arg("SETUSER").arg("orders").arg("on").arg(format!(">{password}")).arg("~orders:*");
                make.arg("+@all").arg("-@dangerous").exec_async(&mut admin).await.unwrap();
                redis::cmd("ACL").arg("SAVE").exec_async(&mut admin).await.unwrap();
            }
            Self::MariaDb => {
                let options = mysql_async::OptsBuilder::default()
                    .ip_or_hostname("127.0.0.1")
                    .tcp_port(port)
                    .user(Some(user))
                    .pass(Some(admin_password))
                    .prefer_socket(false);
                let mut admin = mysql_async::Conn::new(options).await.unwrap();
                let make = format!("CREATE USER orders@'127.0.0.1' IDENTIFIED BY '{password}'");
                for statement in [make.as_str(), "GRANT SELECT, INSERT ON shop.* TO orders@'127.0.0.1'"] {
                    admin.query_drop(statement).await.unwrap();
                }
                admin.disconnect().await.unwrap();
            }
            Self::RabbitMq => {
                let queue = json!({ "durable": true, "auto_delete": false, "arguments": {} });
                for (path, body) in [
                    ("/api/queues/%2F/requests", queue),
                    ("/api/users/orders", json!({ "password": password, "tags": "" })),
                    (
                        "/api/permissions/%2F/orders",
                        json!({ "configure": "^$", "write": ".*", "read": "^requests$" }),
                    ),
                ] {
                    let api = ManagementApi { port: other, user, password: admin_password };
                    let (status, said) = api.request("PUT", path, &body.to_string()).await.unwrap();
                    assert!(status < 300, "{path}: {said}");
                }
            }
        }
    }

    /// The client's message for a refused credential. RabbitMQ drops the connection of a simple client like this one;
    /// only the server's log has the reason.
    pub(crate) fn refusal(self) -> &'static str {
        match self {
            Self::Redis => "AuthenticationFailed",
            // A wrong password, or an account that is locked.
            Self::MariaDb => "Access denied",
            Self::RabbitMq => "",
        }
    }
}

impl Server {
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Redis(server) => server.port(),
            Self::MariaDb(server) => server.port(),
            Self::RabbitMq(server) => server.port(),
        }
    }

    /// The port of its management, where that is another one.
    pub(crate) fn management_port(&self) -> Option<u16> {
        match self {
            Self::Redis(_) | Self::MariaDb(_) => None,
            Self::RabbitMq(server) => Some(server.management_port()),
        }
    }

    /// How often its log shows this login as refused, if the client does not learn it.
    pub(crate) fn refusals(&self, login: &str) -> Option<usize> {
        match self {
            Self::Redis(_) | Self::MariaDb(_) => None,
            Self::RabbitMq(server) => {
                let log = std::fs::read_to_string(server.log_file()).unwrap();
                Some(
                    log.matches(&format!("PLAIN login refused: user '{login}' - invalid credentials"))
                        .count(),
                )
            }
        }
    }

    /// `user:password` of the admin.
    pub(crate) fn admin(&self) -> String {
        match self {
            Self::Redis(server) => format!("{}:{}", server.admin(), server.password()),
            Self::MariaDb(server) => format!("{}:{}", server.admin(), server.password()),
            Self::RabbitMq(server) => format!("{}:{}", server.admin(), server.password()),
        }
    }

    /// A login by the server's own word; `None` where there is none.
    pub(crate) async fn login(&self, name: &str) -> Option<Login> {
        match self {
            Self::Redis(server) => {
                let mut admin = server.connect_admin().await.unwrap();
                let users: Vec<String> = redis::cmd("ACL").arg("LIST").query_async(&mut admin).await.unwrap();
                let clients: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut admin).await.unwrap();
                let line = users.iter().find(|line| line.starts_with(&format!("user {name} ")))?;
                let theirs = clients.lines().filter(|line| line.contains(&format!(" user={name} ")));
                Some(Login {
                    on: line.contains(" on "),
                    password: line.contains('#'),
                    sessions: theirs.count(),
                })
            }
            Self::MariaDb(server) => {
                let mut admin = server.connect_admin().await.unwrap();
                let sql = format!(
                    "SELECT Priv NOT LIKE '%\"account_locked\":true%', Priv LIKE '%\"*%', (SELECT COUNT(*) FROM \
                     information_schema.PROCESSLIST p WHERE p.USER = g.User) FROM mysql.global_priv g WHERE User = '{name}'"
                );
                let row: Option<(bool, bool, usize)> = admin.query_first(sql).await.unwrap();
                admin.disconnect().await.unwrap();
                row.map(|(on, password, sessions)| Login { on, password, sessions })
            }
            Self::RabbitMq(server) => {
                let (status, said) = server.manage("GET", &format!("/api/users/{name}"), "").await.unwrap();
                if status == 404 {
                    return None;
                }
                let user: Value = serde_json::from_str(&said).unwrap();
                let hash = user["password_hash"].as_str().unwrap();
                let open = format!("/api/connections/username/{name}");
                let (_, said) = server.manage("GET", &open, "").await.unwrap();
                let open: Vec<Value> = serde_json::from_str(&said).unwrap();
                // The length of a salt and a SHA-256.
                let (on, password) = (hash.len() == 48, !hash.is_empty());
                Some(Login { on, password, sessions: open.len() })
            }
        }
    }

    /// Ends it and starts it again.
    pub(crate) fn restart(&mut self) {
        match self {
            Self::Redis(server) => server.restart().unwrap(),
            Self::MariaDb(server) => server.restart().unwrap(),
            Self::RabbitMq(server) => server.restart().unwrap(),
        }
    }
}
