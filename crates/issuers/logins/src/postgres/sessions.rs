use crate::id::{self, Standing};
use keyroll_codes::Code;
use keyroll_port::{Class, Failure, Session};
use keyroll_secret::CredentialId;
use tokio_postgres::Row;

use crate::postgres::catalogue;
use crate::postgres::client_address::client;
use crate::postgres::link::PostgresError;
use crate::postgres::options::Options;
use crate::postgres::pooler;
use crate::postgres::server::Server;
use crate::postgres::work::Work;

/// How long the server waits until one ended session is gone, milliseconds.
const END_WAIT_MS_MAX: i64 = 2_000;

/// A session is busy unless it is certainly idle: `active`, `idle in transaction`, and also a state that is not
/// tracked.
const SESSIONS: &str = "
    SELECT pid, (extract(epoch FROM backend_start) * 1000000)::bigint, host(client_addr), client_port,
           coalesce(state, '') <> 'idle', coalesce(state IS NULL AND query = '<insufficient privilege>', false)
      FROM pg_stat_activity
     WHERE usename::text = $1 AND backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()
     ORDER BY backend_start, pid";

const MAY_SEE: &str = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')";

/// A session is ended only if it is still the same (pid and start), and still idle unless busy ones are meant too.
const END: &str = "
    WITH named AS MATERIALIZED (
        SELECT a.pid FROM pg_stat_activity a
          JOIN unnest($2::int[], $3::bigint[]) AS n (pid, start)
            ON a.pid = n.pid AND (extract(epoch FROM a.backend_start) * 1000000)::bigint = n.start
         WHERE a.usename::text = $1 AND ($4 OR a.state = 'idle'))
    SELECT count(*) FROM (SELECT pg_terminate_backend(pid, $5) AS gone FROM named) ended WHERE gone";

/// The live sessions that logged in as the credential's role, without our own probes. Sessions that a pooler keeps for
/// its clients are not listed; the pooler's clients are listed instead.
pub(crate) async fn list(server: &Server, id: &CredentialId) -> Result<Vec<Session>, Failure> {
    let work = Work::open(server).await?;
    let Some(role) = role_of(&work, &server.options, id).await? else { return Ok(Vec::new()) };
    listed(work, server, &role).await
}

/// The same for a role, whichever credential it carries.
pub(crate) async fn list_of(server: &Server, role: &str) -> Result<Vec<Session>, Failure> {
    listed(Work::open(server).await?, server, role).await
}

async fn listed(work: Work<'_>, server: &Server, role: &str) -> Result<Vec<Session>, Failure> {
    require_sight(&work).await?;
    let rows = work.rows(SESSIONS, &[&role], "read the live sessions").await?;
    if rows.iter().any(|row| row.get(5)) {
        return Err(hidden());
    }
    let sessions: Vec<Session> =
        rows.iter().filter(|row| !server.own.sessions.has(&(row.get(0), row.get(1)))).map(session).collect();
    work.close().await;
    let pooled = pooler::look(server, role).await?;
    let shown = sessions.iter().filter_map(|session| session.client.map(|at| (at, session.busy))).collect();
    let clients: Vec<Session> = pooled.sessions(&shown).collect();
    let own = sessions.into_iter().filter(|session| !session.client.is_some_and(|client| pooled.has(client)));
    Ok(own.chain(clients).collect())
}

/// The server sessions of the credential's role that poolers keep open and no client uses, by process id and start.
async fn kept(server: &Server, work: &Work<'_>, role: &str) -> Result<Vec<(i32, i64)>, Failure> {
    require_sight(work).await?;
    let pooled = pooler::look(server, role).await?;
    let rows = work.rows(SESSIONS, &[&role], "read the live sessions").await?;
    let free = rows.iter().filter(|row| session(row).client.is_some_and(|client| pooled.has_free(client)));
    Ok(free.map(|row| (row.get(0), row.get(1))).collect())
}

/// Whether there is no unused pooled session of the credential's role, so that [`end_pooled`] has nothing to end.
pub(crate) async fn none_pooled(server: &Server, id: &CredentialId) -> Result<bool, Failure> {
    if server.options.poolers.is_empty() {
        return Ok(true);
    }
    let work = Work::open(server).await?;
    let Some(role) = role_of(&work, &server.options, id).await? else { return Ok(true) };
    let kept = kept(server, &work, &role).await?;
    work.close().await;
    Ok(kept.is_empty())
}

/// Ends the unused sessions of the credential's role that poolers keep open. With such a session, a pooler would let
/// the login in although the server no longer does. A pooler opens a new one if the server lets it.
pub(crate) async fn end_pooled(server: &Server, id: &CredentialId) -> Result<(), Failure> {
    if server.options.poolers.is_empty() {
        return Ok(());
    }
    let work = Work::open(server).await.map_err(unclear)?;
    let Some(role) = role_of(&work, &server.options, id).await.map_err(unclear)? else { return Ok(()) };
    end_kept(work, server, &role).await.map_err(unclear)
}

/// The same for a role, whichever credential it carries.
pub(crate) async fn end_pooled_of(server: &Server, role: &str) -> Result<(), Failure> {
    if server.options.poolers.is_empty() {
        return Ok(());
    }
    let work = Work::open(server).await.map_err(unclear)?;
    end_kept(work, server, role).await.map_err(unclear)
}

fn unclear(failure: Failure) -> Failure {
    Failure { class: Class::Unknown, ..failure }
}

async fn end_kept(work: Work<'_>, server: &Server, role: &str) -> Result<(), Failure> {
    let (pids, starts): (Vec<i32>, Vec<i64>) = kept(server, &work, role).await?.into_iter().unzip();
    if !pids.is_empty() {
        let attempted = "end the sessions that poolers keep";
        work.rows(END, &[&role, &pids, &starts, &false, &END_WAIT_MS_MAX], attempted).await?;
    }
    work.close().await;
    Ok(())
}

/// Ends the named sessions that are still the same. Returns how many are gone.
pub(crate) async fn end(
    server: &Server,
    id: &CredentialId,
    handles: &[String],
    busy: bool,
) -> Result<usize, Failure> {
    let work = Work::open(server).await?;
    let Some(role) = role_of(&work, &server.options, id).await? else { return Ok(0) };
    ended(work, server, &role, handles, busy).await
}

/// The same for sessions of a role, whichever credential it carries.
pub(crate) async fn end_of(
    server: &Server,
    role: &str,
    handles: &[String],
    busy: bool,
) -> Result<usize, Failure> {
    ended(Work::open(server).await?, server, role, handles, busy).await
}

async fn ended(
    work: Work<'_>,
    server: &Server,
    role: &str,
    handles: &[String],
    busy: bool,
) -> Result<usize, Failure> {
    require_sight(&work).await?;
    let (of_poolers, own): (Vec<String>, Vec<String>) =
        handles.iter().cloned().partition(|handle| pooler::is_handle(handle));
    let mut named: Vec<(i32, i64)> = own.iter().filter_map(|handle| parse(handle)).collect();
    if !of_poolers.is_empty() {
        let pooled = pooler::look(server, role).await?;
        let behind = pooled.behind(&of_poolers);
        let rows = work.rows(SESSIONS, &[&role], "read the live sessions").await?;
        let rows = rows.iter().filter(|row| session(row).client.is_some_and(|at| behind.contains(&at)));
        named.extend(rows.map(|row| (row.get::<_, i32>(0), row.get::<_, i64>(1))));
    }
    let (pids, starts): (Vec<i32>, Vec<i64>) = named.into_iter().unzip();
    let rows = work.link().rows(END, &[&role, &pids, &starts, &busy, &END_WAIT_MS_MAX]).await;
    let rows = rows.map_err(|fault| match fault.without_effect(Code::RequestFailed, "end the sessions") {
        // The server sends the signals at once: they remain sent even if the statement fails.
        failure if failure.class == Class::Retryable => unclear(failure),
        failure => failure,
    })?;
    let ended: i64 = rows.first().map_or(0, |row| row.get(0));
    work.close().await;
    if !of_poolers.is_empty() {
        // A client that has no connection now would get one of the unused ones.
        end_pooled_of(server, role).await?;
    }
    Ok(usize::try_from(ended).unwrap_or(0))
}

/// The role whose sessions are the credential's; `None` if the role is gone or carries a later credential.
async fn role_of(work: &Work<'_>, options: &Options, id: &CredentialId) -> Result<Option<String>, Failure> {
    let (name, label) = id::split(id);
    let read = |fault: PostgresError| work.failed(&fault, "read the roles");
    let roles = catalogue::read(work.link(), options, name).await.map_err(read)?;
    let Some(role) = roles.role(name) else { return Ok(None) };
    match id::standing(label, &role.comment) {
        Standing::Gone => Ok(None),
        Standing::Same | Standing::Unclear => Ok(Some(name.to_owned())),
    }
}

async fn require_sight(work: &Work<'_>) -> Result<(), Failure> {
    let rows = work.rows(MAY_SEE, &[], "read the admin's rights").await?;
    if rows.first().is_some_and(|row| row.get(0)) { Ok(()) } else { Err(hidden()) }
}

fn hidden() -> Failure {
    Failure::new(Class::Permanent, Code::AdminRefused, "read the live sessions")
        .because("PostgreSQL shows <insufficient privilege> in place of other roles' sessions")
        .help("GRANT pg_read_all_stats, pg_signal_backend TO the admin role")
}

fn session(row: &Row) -> Session {
    Session {
        client: client(row.get(2), row.get(3)),
        pid: None,
        busy: row.get(4),
        handle: format!("{}@{}", row.get::<_, i32>(0), row.get::<_, i64>(1)),
        calls: None,
    }
}

fn parse(handle: &str) -> Option<(i32, i64)> {
    let (pid, start) = handle.split_once('@')?;
    Some((pid.parse().ok()?, start.parse().ok()?))
}
