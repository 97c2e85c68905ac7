//! Redis, MariaDB and RabbitMQ as issuers, against real servers.

pub(crate) mod mariadb_conformance;
pub(crate) mod rabbitmq;
pub(crate) mod redis_conformance;
pub(crate) mod seen_as;
pub(crate) mod stage;
pub(crate) mod traps;
