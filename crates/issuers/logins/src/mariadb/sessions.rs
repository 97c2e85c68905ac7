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

/// A session is busy unless it is certainly idle: a running statement or an open transaction makes it busy. The server
/// shows `Busy` where another of its threads held the session's lock in that moment (`trylock_short` in its
/// sql_show.cc): it then did not look what the session does, which may also be a login that is about to be refused.
const SESSIONS: &str = "
    SELECT p.ID, p.USER, p.HOST, p.COMMAND <> 'Sleep' OR t.trx_id IS NOT NULL, CAST(p.TIME_MS AS UNSIGNED),
           CASE WHEN p.COMMAND = 'Connect' OR (p.COMMAND = 'Killed' AND t.trx_id IS NULL) THEN 1
                WHEN p.COMMAND = 'Busy' THEN 2 ELSE 0 END
      FROM information_schema.PROCESSLIST p
      LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID
     WHERE p.ID <> CONNECTION_ID()";

/// The session itself, which every account may see. Source:
/// <https://mariadb.com/kb/en/information-schema-processlist-table/>.
const OWN: &str = "SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()";

/// ER_NO_SUCH_THREAD: it is gone already.
const GONE: &str = "(1094)";

struct ServerSession {
    id: u32,
    user: String,
    host: String,
    busy: bool,
    /// How long ago it did something, milliseconds.
    rest_ms: u64,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// The server accepted its login.
    Open,
    /// Its login is still in progress and may be refused, or the session is about to end.
    ComesOrGoes,
    /// The server did not look.
    NotShown,
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

/// The client's end of this connection, as the server sees it.
pub(super) async fn seen_as(link: &mut Link) -> Result<Option<SocketAddr>, MariaDbError> {
    let hosts: Vec<String> = link.rows(OWN).await?;
    Ok(hosts.first().and_then(|host| client(host)))
}

async fn read(link: &mut Link) -> Result<Vec<ServerSession>, MariaDbError> {
    let rows: Vec<(u32, String, String, bool, u64, u8)> = link.rows(SESSIONS).await?;
    let found = |(id, user, host, busy, rest_ms, stage)| {
        let stage = match stage {
            1 => Stage::ComesOrGoes,
            2 => Stage::NotShown,
            _ => Stage::Open,
        };
        ServerSession { id, user, host, busy, rest_ms, stage }
    };
    Ok(rows.into_iter().map(found).collect())
}

/// The sessions that the first reading did not show as open, and that were not open in any reading since.
#[derive(Default)]
struct Awaited(Option<BTreeSet<u32>>);

impl Awaited {
    /// Whether the list has to be read again before it can be said which sessions are open.
    fn read_again(&mut self, found: &[ServerSession]) -> bool {
        let in_doubt: BTreeSet<u32> =
            found.iter().filter(|it| it.stage != Stage::Open).map(|it| it.id).collect();
        let awaited = self.0.get_or_insert_with(|| in_doubt.clone());
        awaited.retain(|id| in_doubt.contains(id));
        !awaited.is_empty() || found.iter().any(|it| it.stage == Stage::NotShown)
    }

    /// Whether it counts as a session after the last reading: not if it is a login that began after the first one.
    fn counts(&self, it: &ServerSession) -> bool {
        it.stage != Stage::ComesOrGoes || self.0.iter().any(|ids| ids.contains(&it.id))
    }
}

/// The live sessions of an account, without our own probes. A refused login also shows the account's name for a moment:
/// the logins in progress at the first reading are waited for, and one that is still in progress after the last reading
/// counts as a session. Logins that begin later are not: a client that retries a wrong password all the time would look
/// like a session for ever. A session that the server did not look at is read again, whenever it began, and counts if
/// the last reading does not show it either.
pub(super) async fn list(server: &MariaDb, user: &str) -> Result<Vec<Session>, Failure> {
    let mut link = server.admin().await?;
    let (mut left, pause_ms) = AGAIN;
    let mut awaited = Awaited::default();
    let found = loop {
        let found = read(&mut link).await;
        let mut found = found.map_err(|fault| server.failed(&fault, "read the live sessions"))?;
        found.retain(|it| it.user == user && !server.own.has(&it.id));
        if !awaited.read_again(&found) || left == 0 {
            break found;
        }
        left -= 1;
        sleep(Duration::from_millis(pause_ms)).await;
    };
    link.close().await;
    Ok(found.iter().filter(|it| awaited.counts(it)).map(ServerSession::session).collect())
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

    fn shown(stages: &[(u32, Stage)]) -> Vec<ServerSession> {
        let one = |(id, stage): &(u32, Stage)| {
            let (user, host) = ("orders".to_owned(), "127.0.0.1:1".to_owned());
            ServerSession { id: *id, user, host, busy: true, rest_ms: 0, stage: *stage }
        };
        stages.iter().map(one).collect()
    }

    /// What counts after these readings, or nothing if the list has to be read again.
    fn after(readings: &[&[(u32, Stage)]]) -> Option<Vec<u32>> {
        let mut awaited = Awaited::default();
        let mut left = None;
        for reading in readings {
            let found = shown(reading);
            let again = awaited.read_again(&found);
            let counts = found.iter().filter(|it| awaited.counts(it)).map(|it| it.id).collect();
            left = (!again).then_some(counts);
        }
        left
    }

    #[test]
    fn a_session_that_the_server_did_not_look_at_is_read_again() {
        use Stage::{ComesOrGoes, NotShown, Open};
        assert_eq!(after(&[&[(1, NotShown)]]), None);
        assert_eq!(after(&[&[(1, NotShown)], &[]]), Some(vec![]));
        assert_eq!(after(&[&[(1, NotShown)], &[(1, Open)]]), Some(vec![1]));
        // It was a login, and it is still in progress.
        assert_eq!(after(&[&[(1, NotShown)], &[(1, ComesOrGoes)]]), None);
        // Not looked at in a later reading: an open session as little as a new login.
        assert_eq!(after(&[&[(1, Open), (2, ComesOrGoes)], &[(1, NotShown)]]), None);
        assert_eq!(after(&[&[(2, ComesOrGoes)], &[(3, NotShown)], &[(3, ComesOrGoes)]]), Some(vec![]));
    }

    #[test]
    fn a_login_that_began_after_the_first_reading_is_not_waited_for() {
        use Stage::{ComesOrGoes, Open};
        assert_eq!(after(&[&[(1, ComesOrGoes)]]), None);
        assert_eq!(after(&[&[(1, ComesOrGoes)], &[(2, ComesOrGoes)]]), Some(vec![]));
        assert_eq!(after(&[&[(1, ComesOrGoes)], &[(1, Open), (2, ComesOrGoes)]]), Some(vec![1]));
    }

    #[test]
    fn what_the_last_reading_does_not_settle_counts_as_a_session() {
        let mut awaited = Awaited::default();
        let found = shown(&[(1, Stage::ComesOrGoes), (2, Stage::NotShown)]);
        assert!(awaited.read_again(&found));
        assert!(found.iter().all(|it| awaited.counts(it)));
    }

    #[test]
    fn a_client_is_told_by_its_end() {
        assert_eq!(client("127.0.0.1:34100"), Some("127.0.0.1:34100".parse().unwrap()));
        assert_eq!(client("localhost:34100"), Some("127.0.0.1:34100".parse().unwrap()));
        assert_eq!(client("localhost"), None);
        assert_eq!(client("app.example.org:34100"), None);
    }
}
