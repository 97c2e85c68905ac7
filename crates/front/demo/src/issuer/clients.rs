use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Notify;

/// The client of a connection, by its address.
pub(crate) type Client = SocketAddr;

/// The live connections, each with the key of its last accepted call.
#[derive(Default)]
pub(crate) struct Clients(BTreeMap<Client, Connection>);

struct Connection {
    /// `None` until a call was accepted on it.
    key: Option<String>,
    calls: u64,
    busy: bool,
    end: Arc<Notify>,
}

/// The result of an attempt to end a connection.
pub(crate) enum End {
    /// It is being closed; a busy one after its answer.
    Ended,
    /// There is no connection with this name and key.
    Gone,
    /// It is busy, and was spared.
    Busy,
}

/// A connection as the issuer shows it.
#[derive(Serialize)]
pub(crate) struct Shown {
    /// Its name for ending it: the client's port, which is unique on loopback.
    handle: String,
    /// The client's `address:port`.
    client: String,
    /// Calls accepted on it with this key, since it was last used with another key.
    calls: u64,
    busy: bool,
}

impl Clients {
    pub(crate) fn opened(&mut self, client: Client, end: Arc<Notify>) {
        self.0.insert(client, Connection { key: None, calls: 0, busy: false, end });
    }

    /// A call with this key was accepted on this connection and is being worked on.
    pub(crate) fn started(&mut self, client: Client, key: &str) {
        let Some(connection) = self.0.get_mut(&client) else { return };
        if connection.key.as_deref() != Some(key) {
            connection.key = Some(key.to_owned());
            connection.calls = 0;
        }
        connection.calls += 1;
        connection.busy = true;
    }

    /// Ends a connection of this key; a busy one only if forced.
    pub(crate) fn end(&mut self, key: &str, handle: &str, force: bool) -> End {
        let named = |client: &Client| client.port().to_string() == handle;
        let of_key = |connection: &Connection| connection.key.as_deref() == Some(key);
        let found = self.0.iter().find(|(client, connection)| named(client) && of_key(connection));
        match found {
            None => End::Gone,
            Some((_, connection)) if connection.busy && !force => End::Busy,
            Some((_, connection)) => {
                connection.end.notify_one();
                End::Ended
            }
        }
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
            handle: client.port().to_string(),
            client: client.to_string(),
            calls: connection.calls,
            busy: connection.busy,
        };
        self.0.iter().filter(|(_, connection)| connection.key.as_deref() == Some(key)).map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_belongs_to_the_key_that_was_last_accepted_on_it() {
        let client = ([127, 0, 0, 1], 4000).into();
        let mut clients = Clients::default();
        clients.opened(client, Arc::new(Notify::new()));
        clients.started(client, "old");
        clients.started(client, "old");
        clients.answered(client);
        assert_eq!(clients.of("old").first().map(|shown| (shown.calls, shown.busy)), Some((2, false)));
        clients.started(client, "new");
        assert!(clients.of("old").is_empty());
        assert_eq!(clients.of("new").first().map(|shown| (shown.calls, shown.busy)), Some((1, true)));
        assert!(matches!(clients.end("new", "4000", false), End::Busy));
        assert!(matches!(clients.end("old", "4000", true), End::Gone));
        assert!(matches!(clients.end("new", "4000", true), End::Ended));
        clients.closed(client);
        assert!(clients.of("new").is_empty());
    }
}
