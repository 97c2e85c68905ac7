use std::ops::Range;

use crate::Kind;
use crate::at::At;
use crate::fault::Fault;
use crate::shape::{RabbitMqShape, SecretShape, ServerShape};
use crate::{IssuerRef, secret};

/// A server that keeps logins, of which two take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerKind {
    /// Redis, from version 7 on.
    Redis,
    /// MariaDB, from version 10.5 on.
    MariaDb,
    /// RabbitMQ, from version 3.10.8 on.
    RabbitMq,
}

/// Where such a server is, and its two logins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The two logins; they differ.
    pub slots: [String; 2],
    /// Set exactly for [`ServerKind::RabbitMq`].
    pub broker: Option<Broker>,
}

/// What RabbitMQ has beside what every such server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// The port of the management API.
    pub management_port: u16,
    /// The virtual host that consumers open.
    pub vhost: String,
}

/// What stands in the table of any kind.
struct Table<'a> {
    span: &'a Range<usize>,
    host: &'a At<String>,
    port: Option<u16>,
    slots: &'a At<Vec<At<String>>>,
    broker: Option<&'a RabbitMqShape>,
}

impl<'a> From<&'a At<ServerShape>> for Table<'a> {
    fn from(At { value, span }: &'a At<ServerShape>) -> Self {
        let port = value.port.as_ref().map(|port| port.value);
        Self { span, host: &value.host, port, slots: &value.slots, broker: None }
    }
}

impl<'a> From<&'a At<RabbitMqShape>> for Table<'a> {
    fn from(At { value, span }: &'a At<RabbitMqShape>) -> Self {
        let port = value.port.as_ref().map(|port| port.value);
        Self { span, host: &value.host, port, slots: &value.slots, broker: Some(value) }
    }
}

impl ServerKind {
    /// Every kind with its word in the file.
    pub const ALL: [(&str, Self); 3] =
        [("redis", Self::Redis), ("mariadb", Self::MariaDb), ("rabbitmq", Self::RabbitMq)];

    /// The word in the file, for `issuer` and for the table.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    pub(crate) fn read(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind)
    }

    /// The usual parts of its credential, and whether each is secret.
    pub(crate) fn fields(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Redis | Self::MariaDb | Self::RabbitMq => {
                &[("user", false), ("password", true), ("host", false), ("port", false)]
            }
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Redis => 6379,
            Self::MariaDb => 3306,
            Self::RabbitMq => 5672,
        }
    }

    fn table(self, shape: &SecretShape) -> Option<Table<'_>> {
        match self {
            Self::Redis => shape.redis.as_ref().map(Table::from),
            Self::MariaDb => shape.mariadb.as_ref().map(Table::from),
            Self::RabbitMq => shape.rabbitmq.as_ref().map(Table::from),
        }
    }
}

impl Server {
    /// The table of the issuer's kind, where it is such a server; no other one may stand there.
    pub(crate) fn read(shape: &SecretShape, issuer: &IssuerRef) -> Result<Option<Self>, Fault> {
        for (word, kind) in ServerKind::ALL {
            let table = kind.table(shape);
            if let Some(table) = table.filter(|_| *issuer != IssuerRef::Server(kind)) {
                let why = format!("`{word}` goes with `issuer = \"{word}\"` only");
                return Err(Fault::new(Kind::BadCombination, why).at(table.span));
            }
        }
        let IssuerRef::Server(kind) = issuer else { return Ok(None) };
        let Some(table) = kind.table(shape) else {
            let word = kind.word();
            let why = format!("`issuer = \"{word}\"` needs a `[secrets.<name>.{word}]` table");
            return Err(Fault::new(Kind::BadCombination, why)
                .at(&shape.issuer.span)
                .help("with `host` and two `slots`"));
        };
        Self::build(*kind, &table).map(Some)
    }

    fn build(kind: ServerKind, table: &Table<'_>) -> Result<Self, Fault> {
        let read = |slot: &At<String>| secret::read_identifier("slots", slot);
        let slots: Vec<String> = table.slots.value.iter().map(read).collect::<Result<_, _>>()?;
        match <[String; 2]>::try_from(slots) {
            Ok(slots) if slots[0] != slots[1] => Ok(Self {
                host: secret::read_server(table.host)?,
                port: table.port.unwrap_or(kind.port()),
                slots,
                broker: table.broker.map(Broker::build).transpose()?,
            }),
            Ok(_) | Err(_) => {
                let why = "`slots` must name two logins that differ from each other";
                Err(Fault::new(Kind::BadCombination, why).at(&table.slots.span))
            }
        }
    }
}

impl Broker {
    fn build(shape: &RabbitMqShape) -> Result<Self, Fault> {
        let vhost = match &shape.vhost {
            None => "/".to_owned(),
            Some(vhost) => {
                let fits =
                    (1..=255).contains(&vhost.value.len()) && !vhost.value.chars().any(char::is_control);
                if !fits {
                    let why = "`vhost` must be 1 to 255 bytes without control characters";
                    return Err(Fault::new(Kind::BadName, why).at(&vhost.span));
                }
                vhost.value.clone()
            }
        };
        let management_port = shape.management_port.as_ref().map_or(15672, |port| port.value);
        Ok(Self { management_port, vhost })
    }
}
