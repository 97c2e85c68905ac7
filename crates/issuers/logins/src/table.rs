use std::path::{Path, PathBuf};

/// A server's table in keyroll.toml, checked against the server's keys. It holds no value of a credential.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// The keys that have a value, defaults included, in the order in which the server declares them.
    pub values: Vec<(&'static str, Value)>,
}

/// The value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A host, a name, or a path on the server's machine.
    Text(String),
    /// A TCP port.
    Port(u16),
    /// The two logins.
    Slots([String; 2]),
    /// The static roles of the two logins.
    StaticRoles([String; 2]),
    /// A file of this machine, absolute.
    File(PathBuf),
    /// Further servers.
    Tables(Vec<Table>),
}

impl Table {
    fn find<'a, T>(&'a self, key: &str, of: fn(&'a Value) -> Option<T>) -> Option<T> {
        self.values.iter().find(|(name, _)| *name == key).and_then(|(_, value)| of(value))
    }

    /// The text of a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.find(key, |value| match value {
            Value::Text(text) => Some(text.as_str()),
            Value::Port(_) | Value::Slots(_) | Value::StaticRoles(_) | Value::File(_) | Value::Tables(_) => {
                None
            }
        })
    }

    /// The port of a key.
    pub fn port(&self, key: &str) -> Option<u16> {
        self.find(key, |value| match value {
            Value::Port(port) => Some(*port),
            Value::Text(_) | Value::Slots(_) | Value::StaticRoles(_) | Value::File(_) | Value::Tables(_) => {
                None
            }
        })
    }

    /// The two logins.
    pub fn slots(&self) -> Option<&[String; 2]> {
        self.find("slots", |value| match value {
            Value::Slots(slots) => Some(slots),
            Value::Text(_) | Value::Port(_) | Value::StaticRoles(_) | Value::File(_) | Value::Tables(_) => {
                None
            }
        })
    }

    /// The static roles that change the passwords of the two logins, in their order.
    pub fn static_roles(&self) -> Option<&[String; 2]> {
        self.find("vault_roles", |value| match value {
            Value::StaticRoles(roles) => Some(roles),
            Value::Text(_) | Value::Port(_) | Value::Slots(_) | Value::File(_) | Value::Tables(_) => None,
        })
    }

    /// The file of the admin credential of a pooler.
    pub fn admin_file(&self) -> Option<&Path> {
        self.find("admin", |value| match value {
            Value::File(path) => Some(path.as_path()),
            Value::Text(_) | Value::Port(_) | Value::Slots(_) | Value::StaticRoles(_) | Value::Tables(_) => {
                None
            }
        })
    }

    /// The poolers through which consumers reach the server.
    pub fn poolers(&self) -> &[Self] {
        let tables = self.find("poolers", |value| match value {
            Value::Tables(tables) => Some(tables.as_slice()),
            Value::Text(_) | Value::Port(_) | Value::Slots(_) | Value::StaticRoles(_) | Value::File(_) => {
                None
            }
        });
        tables.unwrap_or_default()
    }

    /// Where credentials may be sent, `host:port`: every port of the server, then those of its poolers.
    pub fn endpoints(&self) -> Vec<String> {
        let host = self.text("host").unwrap_or_default();
        let ports = self.values.iter().filter_map(|(_, value)| match value {
            Value::Port(port) => Some(format!("{host}:{port}")),
            Value::Text(_) | Value::Slots(_) | Value::StaticRoles(_) | Value::File(_) | Value::Tables(_) => {
                None
            }
        });
        ports.chain(self.poolers().iter().flat_map(Self::endpoints)).collect()
    }
}
