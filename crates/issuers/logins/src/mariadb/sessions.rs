use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use keyroll_port::{Failure, Session};
use tokio::time::sleep;

use super::link::{Link, MariaDbError};
use super::server::MariaDb;

/// The server's table of transactions is up to 100 ms old: a session that did something within twice that time may have
/// an open transaction that the table does not show yet.
const STALE_MS: u64 = 200;

/// How often the session list is read again while a login is in progress, and the pause before each reading,
/// milliseconds. Together a second more than the server itself waits for a login (`connect_timeout`, 10 s by default).
const AGAIN: (u32, u64) = (220, 50);

/// A session is busy unless it is certainly idle: a running statement or an open transaction makes it busy.
const SESSIONS: &str = "
    SELECT p.ID, p.USER, p.HOST, p.COMMAND <> 'Sleep' OR t.trx_id IS NOT NULL, CAST(p.TIME_MS AS UNSIGNED),
           p.COMMAND = 'Connect' OR (p.COMMAND = 'Killed' AND t.trx_id IS NULL)
      FROM information_schema.PROCESSLIST p
      LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID
     WHERE p.ID <> CONNECTION_ID()";

/// ER_NO_SUCH_THREAD: it is gone already.
const GONE: &str = "(1094)";

struct ServerSession {
    id: u32,
    user: String,
    host: String,
    busy: bool,
    /// How long ago it did something, milliseconds.
    rest_ms: u64,
    /// Its login is still in progress and may be refused, or the session is about to end.
    comes_or_goes: bool,
}

impl ServerSession {
    /// A restarted server reuses session numbers. Number and address together name one session.
    fn handle(&self) -> String {
        format!("{}@{}", self.id, self.host)
    }

    fn session(&self) -> Session {
        Session { client: client(&self.host), pid: None, busy: self.busy, handle: self.handle(), calls: None }
    }
}

/// `127.0.0.1:34100`, or `localhost:34100` where the server resolves names; `localhost` alone is its socket.
fn client(host: &str) -> Option<SocketAddr> {
    match host.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
        None => host.parse().ok(),
    }
}

async fn read(link: &mut Link) -> Result<Vec<ServerSession>, MariaDbError> {
    let rows: Vec<(u32, String, String, bool, u64, bool)> = link.rows(SESSIONS).await?;
    let found = |(id, user, host, busy, rest_ms, comes_or_goes)| ServerSession {
        id,
        user,
        host,
        busy,
        rest_ms,
        comes_or_goes,
    };
    Ok(rows.into_iter().map(found).collect())
}

/// The live sessions of an account, without our own probes. A refused login also shows the account's name for a moment:
/// the logins in progress at the first reading are waited for, and one that is still in progress after the last reading
/// counts as a session. Logins that begin later are not: a client that retries a wrong password all the time would look
/// like a session for ever.
pub(super) async fn list(server: &MariaDb, user: &str) -> Result<Vec<Session>, Failure> {
    let mut link = server.admin().await?;
    let theirs = |it: &ServerSession| it.user == user && !server.own.has(&it.id);
    let (mut left, pause_ms) = AGAIN;
    let mut awaited: Option<BTreeSet<u32>> = None;
    let found = loop {
        let found = read(&mut link).await;
        let found = found.map_err(|fault| server.failed(&fault, "read the live sessions"))?;
        let going: BTreeSet<u32> =
            found.iter().filter(|it| theirs(it) && it.comes_or_goes).map(|it| it.id).collect();
        let awaited = awaited.get_or_insert_with(|| going.clone());
        awaited.retain(|id| going.contains(id));
        if left == 0 || awaited.is_empty() {
            break found;
        }
        left -= 1;
        sleep(Duration::from_millis(pause_ms)).await;
    };
    link.close().await;
    let awaited = awaited.unwrap_or_default();
    let counts = |it: &&ServerSession| theirs(it) && (!it.comes_or_goes || awaited.contains(&it.id));
    Ok(found.iter().filter(counts).map(ServerSession::session).collect())
}

/// Ends the named sessions that are still the same, and still idle unless busy ones may be ended too.
pub(super) async fn end(
    server: &MariaDb,
    user: &str,
    handles: &[String],
    busy: bool,
) -> Result<usize, Failure> {
    let what = "end the sessions";
    let mut link = server.admin().await?;
    let named = |it: &ServerSession| it.user == user && handles.contains(&it.handle());
    let look = async |link: &mut Link| read(link).await.map_err(|fault| server.failed(&fault, what));
    let mut found = look(&mut link).await?;
    if !busy && found.iter().any(|it| named(it) && it.rest_ms < STALE_MS) {
        sleep(Duration::from_millis(STALE_MS)).await;
        found = look(&mut link).await?;
    }
    let idle = |it: &ServerSession| !it.busy && it.rest_ms >= STALE_MS;
    let mut ended = 0;
    for one in found.iter().filter(|it| named(it) && (busy || idle(it))) {
        match link.run(&format!("KILL CONNECTION {}", one.id)).await {
            Ok(()) => ended += 1,
            Err(fault) if fault.says(GONE) => {}
            Err(fault) => return Err(fault.of_effect(server.attempted(what))),
        }
    }
    link.close().await;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_by_its_end() {
        assert_eq!(client("127.0.0.1:34100"), Some("127.0.0.1:34100".parse().unwrap()));
        assert_eq!(client("localhost:34100"), Some("127.0.0.1:34100".parse().unwrap()));
        assert_eq!(client("localhost"), None);
        assert_eq!(client("app.example.org:34100"), None);
    }
}
