use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use keyroll_port::Probe;

use crate::own_sessions::Own;
use crate::postgres::client_address::client;
use crate::postgres::link::{Link, Login, PostgresError};

/// The server's functions that refuse because all connections are taken, *after* they accepted the password. SQLSTATE
/// 53300 alone does not tell this: `sorry, too many clients already` comes before the password is asked for. A
/// routine's name is not translated. PostgreSQL 13 to 18: `InitializeSessionUserId` (miscinit.c) for the role's limit,
/// `CheckMyDatabase` and `InitPostgres` (postinit.c) for the database's limit and the reserved slots.
const FULL_AFTER_LOGIN: [&str; 3] = ["InitializeSessionUserId", "CheckMyDatabase", "InitPostgres"];

/// What the server answered to one login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Logged in; the role whose rights the session has.
    Accepted(String),
    /// The password was accepted; the session was refused for another reason.
    AcceptedBut(String),
    /// The password was accepted, but this database may not be used.
    Denied,
    /// 28P01: the password was asked for, and is wrong.
    WrongPassword,
    /// 28000: this role may not log in, or not from this address. The catalogue tells which of the two.
    NotAuthorized(String),
    /// The attempt proved nothing.
    Unknown(String),
}

/// Traces of our own probes at the server.
pub(crate) struct OwnSessions {
    /// Their sessions, as (pid, start).
    pub(crate) sessions: Own<(i32, i64)>,
    /// The roles of our own logins that were refused since the log was marked.
    refused: Mutex<Vec<String>>,
}

impl Default for OwnSessions {
    fn default() -> Self {
        Self { sessions: Own::for_ms(u64::MAX), refused: Mutex::default() }
    }
}

impl OwnSessions {
    /// Forgets refusals from before the mark: they must not explain later ones.
    pub(crate) fn forget_refused(&self) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How many of our own logins as this role were refused since the mark.
    pub(crate) fn refused(&self, role: &str) -> usize {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().filter(|one| *one == role).count()
    }

    fn was_refused(&self, role: &str) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).push(role.to_owned());
    }
}

const WHO: &str = "
    SELECT current_user::pg_catalog.text, pg_catalog.pg_backend_pid(),
           (extract(epoch FROM backend_start) * 1000000)::bigint
      FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()";

/// Logs in once, asks for the session's role, and closes the connection.
pub(crate) async fn attempt(login: &Login<'_>, limit_ms: u64, own: &OwnSessions) -> Attempt {
    let link = match Link::open(login, limit_ms).await {
        Ok(link) => link,
        Err(fault) => {
            let attempt = refused(&fault);
            if matches!(attempt, Attempt::NotAuthorized(_)) {
                own.was_refused(login.user);
            }
            return attempt;
        }
    };
    let seen = link.rows(WHO, &[]).await;
    let attempt = match &seen {
        Ok(rows) => match rows.first() {
            Some(row) => {
                if let (pid, Some(start)) = (row.get(1), row.get::<_, Option<i64>>(2)) {
                    own.sessions.remember((pid, start));
                }
                Attempt::Accepted(row.get(0))
            }
            None => Attempt::Unknown("the session does not see itself".to_owned()),
        },
        // If the statement is refused, the login was accepted. A broken connection proves nothing.
        Err(fault) if fault.state().is_some() => Attempt::AcceptedBut(fault.reason()),
        Err(fault) => Attempt::Unknown(fault.reason()),
    };
    link.close().await;
    attempt
}

/// The client's end as pg_stat_activity shows it, and which session it is. If the endpoint leads to a pooler, it is that
/// pooler's end, as of all sessions behind it. Source: <https://www.postgresql.org/docs/current/functions-info.html>.
const SEEN_AS: &str = "
    SELECT pg_catalog.host(pg_catalog.inet_client_addr()), pg_catalog.inet_client_port(),
           pg_catalog.pg_backend_pid(), (extract(epoch FROM backend_start) * 1000000)::bigint
      FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()";

/// Logs in once, asks under which address the server sees this connection, and closes it.
pub(crate) async fn seen_as(
    login: &Login<'_>,
    limit_ms: u64,
    own: &OwnSessions,
) -> Result<Option<SocketAddr>, PostgresError> {
    let link = Link::open(login, limit_ms).await?;
    let rows = link.rows(SEEN_AS, &[]).await;
    let row = rows.as_ref().ok().and_then(|rows| rows.first());
    if let Some((pid, Some(start))) = row.map(|row| (row.get(2), row.get::<_, Option<i64>>(3))) {
        own.sessions.remember((pid, start));
    }
    link.close().await;
    Ok(rows?.first().and_then(|row| client(row.get(0), row.get(1))))
}

fn refused(fault: &PostgresError) -> Attempt {
    let routine = match fault {
        PostgresError::Postgres(error) => {
            error.as_db_error().and_then(|said| said.routine()).unwrap_or_default()
        }
        PostgresError::Late | PostgresError::Unreached(_) => "",
    };
    match fault.state() {
        Some("28P01") => Attempt::WrongPassword,
        Some("28000") => Attempt::NotAuthorized(fault.reason()),
        // The database does not exist: the server says so only after the password was accepted.
        Some("3D000") => Attempt::AcceptedBut(fault.reason()),
        Some("42501") => Attempt::Denied,
        Some("53300") if FULL_AFTER_LOGIN.contains(&routine) => Attempt::AcceptedBut(fault.reason()),
        Some(_) | None => Attempt::Unknown(fault.reason()),
    }
}

impl Attempt {
    /// The port's verdict for this attempt. `off` is asked for 28000 only: whether the catalogue says that the role
    /// cannot log in. `wanted` is the role whose rights the session must have, if that is known. A login with other
    /// rights is neither alive (consumers would fail with it) nor dead.
    pub(crate) fn judge(self, off: bool, wanted: Option<&str>) -> Probe {
        match (self, wanted) {
            (Self::Accepted(role), Some(wanted)) if role != wanted => {
                Probe::Unknown(format!("logged in, but with the rights of {role:?} in place of {wanted:?}"))
            }
            (Self::Accepted(_) | Self::AcceptedBut(_), _) => Probe::Alive,
            (Self::Denied, _) => Probe::Denied,
            (Self::WrongPassword, _) => Probe::Dead,
            (Self::NotAuthorized(_), _) if off => Probe::Dead,
            (Self::NotAuthorized(why) | Self::Unknown(why), _) => Probe::Unknown(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_what_it_proves() {
        let accepted = || Attempt::Accepted("orders".to_owned());
        let why = || String::from("why");
        assert_eq!(accepted().judge(false, None), Probe::Alive);
        assert_eq!(accepted().judge(false, Some("orders")), Probe::Alive);
        assert!(matches!(accepted().judge(true, Some("owner")), Probe::Unknown(_)));
        assert_eq!(Attempt::AcceptedBut(why()).judge(true, None), Probe::Alive);
        assert_eq!(Attempt::Denied.judge(true, None), Probe::Denied);
        assert_eq!(Attempt::WrongPassword.judge(false, None), Probe::Dead);
        assert_eq!(Attempt::NotAuthorized(why()).judge(true, None), Probe::Dead);
        assert_eq!(Attempt::NotAuthorized(why()).judge(false, None), Probe::Unknown(why()));
        assert_eq!(Attempt::Unknown(why()).judge(true, None), Probe::Unknown(why()));
    }
}
