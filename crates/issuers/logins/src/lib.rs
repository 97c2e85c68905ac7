//! Servers with two logins that take turns, as issuers: PostgreSQL, Redis, MariaDB, RabbitMQ.
//!
//! Each server is a file or a folder and one name in `registry.rs`. All but PostgreSQL share `two_logins.rs`, which drives
//! a `Directory`. Where Vault or OpenBao changes the passwords, `static_roles.rs` drives it over a `Watched` server.
//!
//! Invariants, by what is absent: no password is ever in a command that changes a login (only its hash or verifier,
//! made here), no login is ever removed, no id ever names two credentials, however often a login is reused, and nothing
//! leaves this machine unencrypted: every host but a loopback address or a Unix socket is reached by TLS only, with
//! certificate and name verified.
mod declaration;
mod directory;
mod endpoint;
mod id;
mod mariadb;
mod options;
mod own_sessions;
mod password;
/// PostgreSQL: two login roles under one owner role.
pub mod postgres;
mod rabbitmq;
mod redis;
mod registry;
mod rules;
mod static_roles;
mod stream;
mod table;
mod turn;
mod two_logins;
mod watched;

pub use declaration::{Admins, Key, KeyForm, LoginServer};
pub use mariadb::MariaDb;
pub use options::{Admin, Options, REQUEST_MS_MAX_DEFAULT};
pub use rabbitmq::{Broker, RabbitMq};
pub use redis::Redis;
pub use registry::{SERVERS, login_server};
pub use static_roles::{StaticRoles, is_static_role};
pub use table::{Table, Value};
pub use two_logins::TwoLogins;
