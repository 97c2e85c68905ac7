//! Servers with two logins that take turns, as issuers: Redis, MariaDB, RabbitMQ.
//!
//! What is the same for all of them is in `two_logins.rs`; a server is a [`directory::Directory`].
//!
//! Invariants, by what is absent: no password is ever in a command that changes a login (only its hash, made here), no
//! login is ever removed, and nothing leaves this machine unencrypted.

mod codes;
mod directory;
mod mariadb;
mod options;
mod own;
mod rabbitmq;
mod redis;
mod rules;
mod stream;
mod two_logins;

pub use mariadb::MariaDb;
pub use options::{Admin, Options, REQUEST_MS_MAX_DEFAULT};
pub use rabbitmq::{Broker, RabbitMq};
pub use redis::Redis;
pub use two_logins::TwoLogins;
