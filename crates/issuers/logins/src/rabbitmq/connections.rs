use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use keyroll_port::{Failure, Session};
use serde::Deserialize;

use super::link::{Link, ManagementApiError, segment};
use super::server::RabbitMq;

/// Only with this protocol do the channels show everything that a connection does.
const PROTOCOL: &str = "AMQP 0-9-1";

/// A connection that is open now, by the server's own list.
#[derive(Deserialize)]
struct Open {
    name: String,
    user: String,
}

/// A connection as the last statistics show it, some seconds ago.
#[derive(Deserialize)]
struct Past {
    name: String,
    #[serde(default)]
    protocol: Option<String>,
    #[serde(default)]
    peer_host: Option<String>,
    #[serde(default)]
    peer_port: Option<u16>,
    #[serde(default)]
    channels: Option<usize>,
    #[serde(default)]
    recv_oct: Option<u64>,
}

/// A channel as the last statistics show it. A missing number does not mean zero.
#[derive(Deserialize)]
struct Channel {
    #[serde(default)]
    connection_details: Option<Named>,
    #[serde(default)]
    idle_since: Option<String>,
    #[serde(default)]
    consumer_count: Option<u64>,
    #[serde(default)]
    messages_unacknowledged: Option<u64>,
    #[serde(default)]
    messages_unconfirmed: Option<u64>,
    #[serde(default)]
    messages_uncommitted: Option<u64>,
    #[serde(default)]
    acks_uncommitted: Option<u64>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Channel {
    /// The channel hibernates, and has nothing that would be lost or delivered again if it ended.
    fn is_idle(&self) -> bool {
        let counts = [
            self.consumer_count,
            self.messages_unacknowledged,
            self.messages_unconfirmed,
            self.messages_uncommitted,
            self.acks_uncommitted,
        ];
        self.idle_since.is_some() && counts.iter().all(|count| *count == Some(0))
    }
}

/// What the statistics know of the channels of one connection.
#[derive(Default)]
struct Channels {
    known: usize,
    busy: bool,
}

/// The live connections of a user. The list is current. Statistics tell which connections are idle; a connection that
/// they do not have yet is not known to be idle.
async fn read(server: &RabbitMq, link: &Link<'_>, user: &str) -> Result<Vec<Session>, ManagementApiError> {
    let open: Vec<Open> = link.get(&format!("/api/connections/username/{}", segment(user))).await?;
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let past: Vec<Past> =
        link.get("/api/connections?columns=name,protocol,peer_host,peer_port,channels,recv_oct").await?;
    let channels: Vec<Channel> = link
        .get("/api/channels?columns=connection_details.name,idle_since,consumer_count,messages_unacknowledged,messages_unconfirmed,messages_uncommitted,acks_uncommitted")
        .await?;
    let mut of: BTreeMap<&str, Channels> = BTreeMap::new();
    for channel in &channels {
        if let Some(connection) = &channel.connection_details {
            let all = of.entry(connection.name.as_str()).or_default();
            all.known += 1;
            all.busy |= !channel.is_idle();
        }
    }
    let received = past.iter().filter_map(|past| Some((past.name.as_str(), past.recv_oct?)));
    let silent = server.silence.look(received, Instant::now());
    let session = |open: &Open| {
        let past = past.iter().find(|past| past.name == open.name);
        let idle = past.is_some_and(|past| past.is_idle(of.get(open.name.as_str())));
        let busy = !idle || !silent.contains(&open.name);
        let client = client(&open.name).or_else(|| past.and_then(Past::client));
        Session { client, pid: None, busy, handle: open.name.clone(), calls: None }
    };
    Ok(open.iter().filter(|it| it.user == user).map(session).collect())
}

impl Past {
    /// Whether the statistics have every channel that the connection counts, and all of them are idle.
    fn is_idle(&self, channels: Option<&Channels>) -> bool {
        let (known, busy) = channels.map_or((0, false), |all| (all.known, all.busy));
        self.protocol.as_deref() == Some(PROTOCOL) && self.channels == Some(known) && !busy
    }

    fn client(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.peer_host.as_ref()?.parse::<IpAddr>().ok()?, self.peer_port?))
    }
}

/// The client's end in a connection's name, `127.0.0.1:34100 -> 127.0.0.1:5672`; host names lead to no address.
fn client(name: &str) -> Option<SocketAddr> {
    name.split_once(" -> ")?.0.parse().ok()
}

/// The live sessions of a user on the nodes that are visible, without our own probes.
pub(super) async fn list(server: &RabbitMq, user: &str) -> Result<Vec<Session>, Failure> {
    let what = "read the live connections";
    let link = server.admin();
    let sessions = read(server, &link, user).await.map_err(|fault| server.failed(&fault, what))?;
    let own = |session: &Session| session.client.is_some_and(|client| server.own.has(&client));
    Ok(sessions.into_iter().filter(|session| !own(session)).collect())
}

/// Ends the named connections that are still this user's, and still idle unless busy ones may be ended too.
pub(super) async fn end(
    server: &RabbitMq,
    user: &str,
    handles: &[String],
    busy: bool,
) -> Result<usize, Failure> {
    let what = "end the connections";
    let link = server.admin();
    let sessions = read(server, &link, user).await.map_err(|fault| server.failed(&fault, what))?;
    let mut ended = 0;
    for session in sessions.iter().filter(|it| handles.contains(&it.handle) && (busy || !it.busy)) {
        let closed = link.delete(&format!("/api/connections/{}", segment(&session.handle))).await;
        ended += usize::from(closed.map_err(|fault| fault.of_effect(server.attempted(what)))?);
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_by_its_end() {
        assert_eq!(client("127.0.0.1:34100 -> 127.0.0.1:5672"), Some("127.0.0.1:34100".parse().unwrap()));
        assert_eq!(client("[::1]:34100 -> [::1]:5672"), Some("[::1]:34100".parse().unwrap()));
        assert_eq!(client("app.example.org:34100 -> mq.example.org:5672"), None);
        assert_eq!(client("<rabbit@host.1.2.3>"), None);
    }

    #[test]
    fn a_channel_that_is_not_in_the_statistics_is_busy() {
        let past = |text: &str| serde_json::from_str::<Past>(text).unwrap();
        let counted = |count: usize| {
            past(&format!(r#"{{"name":"n","protocol":"AMQP 0-9-1","channels":{count},"recv_oct":1}}"#))
        };
        let known = |known, busy| Some(Channels { known, busy });
        assert!(counted(0).is_idle(None) && counted(1).is_idle(known(1, false).as_ref()));
        assert!(!counted(1).is_idle(None), "opened, and never in the statistics");
        assert!(!counted(2).is_idle(known(1, false).as_ref()));
        assert!(!counted(1).is_idle(known(1, true).as_ref()));
        // A connection that has just begun: the statistics do not have its channel count yet.
        assert!(!past(r#"{"name":"n","protocol":"AMQP 0-9-1"}"#).is_idle(None));
    }

    #[test]
    fn what_is_not_surely_idle_is_busy() {
        let channel = |text: &str| serde_json::from_str::<Channel>(text).unwrap();
        let idle = r#"{"idle_since":"2026-11-21 02:00:00","consumer_count":0,"messages_unacknowledged":0,"messages_unconfirmed":0,"messages_uncommitted":0,"acks_uncommitted":0}"#;
        assert!(channel(idle).is_idle());
        for (from, to) in [
            ("\"consumer_count\":0", "\"consumer_count\":1"),
            ("\"messages_unacknowledged\":0", "\"messages_unacknowledged\":3"),
            ("\"acks_uncommitted\":0", "\"acks_uncommitted\":1"),
            ("\"idle_since\":\"2026-11-21 02:00:00\",", ""),
            (",\"messages_unconfirmed\":0", ""),
        ] {
            assert!(!channel(&idle.replace(from, to)).is_idle(), "{to}");
        }
    }
}
