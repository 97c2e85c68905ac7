use keyroll_port::{Failure, Session};

use super::link::{Link, RedisError};
use super::server::Redis;

/// One connection, as `CLIENT LIST` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) id: i64,
    pub(super) address: String,
    pub(super) user: String,
    busy: bool,
}

/// All connections.
pub(super) async fn read(link: &mut Link) -> Result<Vec<Client>, RedisError> {
    let text = link.ask_text(&["CLIENT", "LIST"]).await?;
    text.lines().map(|line| parse(line).ok_or_else(RedisError::odd)).collect()
}

/// Ends the named connections that are still the same, and still idle unless busy ones may be ended too.
pub(super) async fn end(redis: &Redis, user: &str, handles: &[String], busy: bool) -> Result<usize, Failure> {
    let what = "end the connections";
    let mut link = redis.admin().await?;
    let clients = read(&mut link).await.map_err(|fault| redis.failed(&fault, what))?;
    let theirs = clients.iter().filter(|it| it.user == user && handles.contains(&it.handle()));
    let mut ended = 0;
    for client in theirs.filter(|it| busy || !it.busy) {
        let id = client.id.to_string();
        let killed = link.ask(&["CLIENT", "KILL", "ID", &id, "USER", user]).await;
        let killed = killed.map_err(|fault| fault.of_effect(redis.attempted(what)))?;
        ended += usize::try_from(killed.number().unwrap_or(0)).unwrap_or(0);
    }
    Ok(ended)
}

/// `id=3 addr=127.0.0.1:34100 … flags=N … sub=0 psub=0 ssub=0 multi=-1 qbuf=0 … obl=0 oll=0 … user=app_a …`. A
/// connection is busy unless it is certainly idle: in a transaction, blocked, subscribed, or with something to read or
/// to send.
fn parse(line: &str) -> Option<Client> {
    let value = |key: &str| {
        let mut pairs = line.split(' ').filter_map(|word| word.split_once('='));
        pairs.find(|(found, _)| *found == key).map(|(_, value)| value)
    };
    let not = |key: &str, idle: &str| value(key).is_some_and(|value| value != idle);
    let busy = not("multi", "-1")
        || ["sub", "psub", "ssub", "qbuf", "obl", "oll"].iter().any(|key| not(key, "0"))
        || value("flags")?.contains(['b', 'x', 'O', 'P', 'u', 'S', 'M']);
    let (address, user) = (value("addr")?.to_owned(), value("user")?.to_owned());
    Some(Client { id: value("id")?.parse().ok()?, address, user, busy })
}

impl Client {
    /// A restarted server reuses connection ids. Id and address together name one connection.
    fn handle(&self) -> String {
        format!("{}@{}", self.id, self.address)
    }

    /// The connection as the port shows a session.
    pub(super) fn session(&self) -> Session {
        let client = self.address.parse().ok();
        Session { client, pid: None, busy: self.busy, handle: self.handle(), calls: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: &str = "id=15 addr=127.0.0.1:34100 laddr=127.0.0.1:6379 fd=7 name= age=0 idle=0 flags=N db=0 sub=0 psub=0 \
                        ssub=0 multi=-1 qbuf=0 qbuf-free=20448 argv-mem=10 multi-mem=0 obl=0 oll=0 omem=0 \
                        events=r cmd=get user=app_a redir=-1 resp=2";

    #[test]
    fn what_is_not_surely_idle_is_busy() {
        let idle = parse(IDLE).unwrap();
        assert_eq!((idle.id, idle.user.as_str(), idle.busy), (15, "app_a", false));
        assert_eq!(idle.session().client, Some("127.0.0.1:34100".parse().unwrap()));
        for (from, to) in [
            ("multi=-1", "multi=0"),
            ("flags=N", "flags=b"),
            ("flags=N", "flags=P"),
            (" sub=0", " sub=1"),
            ("qbuf=0", "qbuf=26"),
            ("oll=0", "oll=2"),
        ] {
            assert!(parse(&IDLE.replace(from, to)).unwrap().busy, "{to}");
        }
        assert_eq!(parse("id=15 addr=127.0.0.1:1 flags=N"), None, "without a user it proves nothing");
    }
}
