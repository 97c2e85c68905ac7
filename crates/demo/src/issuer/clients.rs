use std::collections::BTreeMap;

use serde::Serialize;

use super::Client;

/// The live connections, each with the key of its last accepted call.
#[derive(Default)]
pub(crate) struct Clients(BTreeMap<Client, Connection>);

struct Connection {
    key: String,
    calls: u64,
    busy: bool,
}

/// A connection as the issuer shows it.
#[derive(Serialize)]
pub(crate) struct Shown {
    /// `address:port` of the client's end.
    client: String,
    /// Calls accepted on it with this key, since it was last used with another.
    calls: u64,
    busy: bool,
}

impl Clients {
    /// A call with this key was accepted on this connection and is being worked on.
    pub(crate) fn started(&mut self, client: Client, key: &str) {
        let fresh = || Connection { key: key.to_owned(), calls: 0, busy: false };
        let connection = self.0.entry(client).or_insert_with(fresh);
        if connection.key != key {
            *connection = fresh();
        }
        connection.calls += 1;
        connection.busy = true;
    }

    pub(crate) fn answered(&mut self, client: Client) {
        if let Some(connection) = self.0.get_mut(&client) {
            connection.busy = false;
        }
    }

    pub(crate) fn closed(&mut self, client: Client) {
        self.0.remove(&client);
    }

    /// The connections whose last accepted call was with this key.
    pub(crate) fn of(&self, key: &str) -> Vec<Shown> {
        let shown = |(client, connection): (&Client, &Connection)| Shown {
            client: client.to_string(),
            calls: connection.calls,
            busy: connection.busy,
        };
        self.0.iter().filter(|(_, connection)| connection.key == key).map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_belongs_to_the_key_that_was_last_accepted_on_it() {
        let client = ([127, 0, 0, 1], 4000).into();
        let mut clients = Clients::default();
        clients.started(client, "old");
        clients.started(client, "old");
        clients.answered(client);
        assert_eq!(clients.of("old").first().map(|shown| (shown.calls, shown.busy)), Some((2, false)));
        clients.started(client, "new");
        assert!(clients.of("old").is_empty());
        assert_eq!(clients.of("new").first().map(|shown| (shown.calls, shown.busy)), Some((1, true)));
        clients.closed(client);
        assert!(clients.of("new").is_empty());
    }
}
