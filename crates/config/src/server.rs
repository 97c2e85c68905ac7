use crate::Kind;
use crate::at::At;
use crate::fault::Fault;
use crate::shape::{SecretShape, ServerShape};
use crate::{IssuerRef, secret};

/// A server that keeps logins, of which two take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerKind {
    /// Redis, from version 7 on.
    Redis,
    /// MariaDB, from version 10.5 on.
    MariaDb,
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
}

impl ServerKind {
    /// Every kind with its word in the file.
    pub const ALL: [(&str, Self); 2] = [("redis", Self::Redis), ("mariadb", Self::MariaDb)];

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
            Self::Redis | Self::MariaDb => {
                &[("user", false), ("password", true), ("host", false), ("port", false)]
            }
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Redis => 6379,
            Self::MariaDb => 3306,
        }
    }

    fn table(self, shape: &SecretShape) -> Option<&At<ServerShape>> {
        match self {
            Self::Redis => shape.redis.as_ref(),
            Self::MariaDb => shape.mariadb.as_ref(),
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
                return Err(Fault::new(Kind::BadCombination, why).at(&table.span));
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
        Self::build(*kind, table).map(Some)
    }

    fn build(kind: ServerKind, table: &At<ServerShape>) -> Result<Self, Fault> {
        let shape = &table.value;
        let read = |slot: &At<String>| secret::read_identifier("slots", slot);
        let slots: Vec<String> = shape.slots.value.iter().map(read).collect::<Result<_, _>>()?;
        match <[String; 2]>::try_from(slots) {
            Ok(slots) if slots[0] != slots[1] => Ok(Self {
                host: secret::read_server(&shape.host)?,
                port: shape.port.as_ref().map_or(kind.port(), |port| port.value),
                slots,
            }),
            Ok(_) | Err(_) => {
                let why = "`slots` must name two logins that differ from each other";
                Err(Fault::new(Kind::BadCombination, why).at(&shape.slots.span))
            }
        }
    }
}
