use crate::id::Mark;
use crate::password;
use crate::turn::user_of;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure, FailureKind};
use keyroll_secret::Credential;

use crate::postgres::catalogue::{self, Catalogue};
use crate::postgres::hba;
use crate::postgres::link::{LOCK_MS_MAX, PostgresError};
use crate::postgres::mint::{self, Mint};
use crate::postgres::options::{ChangedBy, Options};
use crate::postgres::pooler;
use crate::postgres::probe::Attempt;
use crate::postgres::quote::identifier;
use crate::postgres::server::Server;
use crate::postgres::switch::{self, Switch};
use crate::postgres::work::Work;

/// The label of the rehearsal; it never outlives its transaction.
const REHEARSAL: &str = "keyroll/preflight/0";
/// The oldest server with `pg_terminate_backend(pid, timeout)`.
const VERSION_MIN: i32 = 140_000;
/// How many findings one note names.
const NAMES_MAX: usize = 10;

/// Checks everything that can be refused before a mint, and returns notes for the operator.
///
/// Changes nothing. A rehearsal of mint and revoke, in a transaction that is rolled back, shows the admin's rights.
/// Wrong passwords are also tried: PostgreSQL itself never locks a role because of them.
pub(crate) async fn run(server: &Server, current: &Credential) -> Result<Vec<String>, Failure> {
    let options = &server.options;
    let user = user_of(current)?;
    let slot = options.next_slot(user);
    let work = Work::open(server).await?;
    check_server(&work).await?;
    check_rights(&work, options, ChangedBy::Keyroll).await?;
    work.begin().await?;
    let read = |fault: PostgresError| work.failed(&fault, "read the roles");
    let roles = catalogue::read(work.link(), options, user).await.map_err(read)?;
    mint::check_current(&roles, options, user)?;
    check_second_key(&roles, options, user, slot)?;
    mint::check_slot(&roles, options, slot, REHEARSAL)?;
    let mut notes = notes_of_roles(&roles, options, user);
    if work.is_loud().await? {
        notes.push(
            "the server logs statements, and this admin may not disable that for its own statements: the SCRAM verifier of the new password (never the password) will be in the server's log"
                .to_owned(),
        );
    }
    // Try it before the rehearsal, which removes the password.
    notes.extend(note_of_md5(&work, user).await?);
    rehearse(&work, options, &roles, user, slot).await?;
    notes.extend(check_hba(&work, options, user, slot).await?);
    notes.extend(check_session_user(&work).await?);
    notes.extend(note_of_room(&work, &roles, user).await?);
    work.roll_back().await?;
    notes.extend(notes_of_poolers(server, user).await?);
    for role in [user, slot] {
        control(server, role).await?;
    }
    Ok(notes)
}

/// A client of a pooler in session mode keeps its connection to the server.
pub(crate) async fn notes_of_poolers(server: &Server, current: &str) -> Result<Vec<String>, Failure> {
    let pooled = pooler::look(server, current).await?;
    let notes = pooled.kept().iter().map(|database| {
        format!(
            "the pooler's clients keep their connections to {database:?} until they log out (pool_mode = session): a \
             client on the old login delays the rotation until it reconnects, or until keyroll ends its connection after \
             the login is dead"
        )
    });
    Ok(notes.collect())
}

/// Refuses a server whose logins cannot be watched or changed.
pub(crate) async fn check_server(work: &Work<'_>) -> Result<(), Failure> {
    let server = "SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), \
                         current_setting('track_activities')::bool, \
                         coalesce(current_setting('credcheck.max_auth_failure', true), '0') <> '0', \
                         (SELECT setting FROM pg_settings WHERE name = 'lock_timeout')";
    let rows = work.rows(server, &[], "read the server's version").await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let refuse = |why: &'static str, help: &'static str| {
        Err(Failure::new(Class::Permanent, Code::ServerUnsuitable, "use this PostgreSQL server")
            .because(why)
            .help(help))
    };
    // The settings in a connection's startup packet reach the server, unless a pooler in between drops them.
    if row.get::<_, String>(4) != LOCK_MS_MAX.to_string() {
        return Err(Failure::new(Class::Permanent, Code::PoolerUnusable, "use this PostgreSQL server")
            .because("the settings of our connection do not reach it: a pooler answers in its place")
            .help("name the server's own host and port in [postgres], and the pooler under poolers"));
    }
    if row.get::<_, i32>(0) < VERSION_MIN {
        return refuse("it is older than version 14", "upgrade the server");
    }
    if row.get(1) {
        return refuse(
            "it is a standby: roles can be changed on the primary only",
            "set host to the primary",
        );
    }
    if !row.get::<_, bool>(2) {
        return refuse(
            "track_activities is off: keyroll cannot distinguish idle sessions from busy ones",
            "set it to on",
        );
    }
    if row.get(3) {
        let help = "set credcheck.max_auth_failure = 0 while a rotation runs";
        return refuse(
            "credcheck locks roles after wrong passwords, and the negative control needs one",
            help,
        );
    }
    Ok(())
}

/// The admin's rights: to see and end sessions, and to change roles where keyroll does that.
pub(crate) async fn check_rights(work: &Work<'_>, options: &Options, by: ChangedBy) -> Result<(), Failure> {
    let rights = "SELECT rolsuper, rolcreaterole, pg_has_role('pg_read_all_stats', 'USAGE'), \
                         pg_has_role('pg_signal_backend', 'USAGE') FROM pg_roles WHERE rolname = current_user";
    let rows = work.rows(rights, &[], "read the admin's rights").await?;
    let [superuser, create, see, signal] =
        [0, 1, 2, 3].map(|at| rows.first().is_some_and(|row| row.get::<_, bool>(at)));
    if superuser {
        return Ok(());
    }
    let admin = identifier(&options.admin.user);
    let missing = [
        (create || by == ChangedBy::Another, format!("ALTER ROLE {admin} CREATEROLE")),
        (see, format!("GRANT pg_read_all_stats TO {admin}")),
        (signal, format!("GRANT pg_signal_backend TO {admin}")),
    ];
    let missing: Vec<String> = missing.into_iter().filter(|(has, _)| !has).map(|(_, grant)| grant).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Class::Permanent,
        Code::AdminRefused,
        format!("use {:?} as the admin", options.admin.user),
    )
    .because("it lacks rights that the rotation will need")
    .help(missing.join("; ")))
}

/// A further login that becomes the owner is a credential that we did not make and that nobody asked us to end.
pub(crate) fn check_second_key(
    roles: &Catalogue,
    options: &Options,
    current: &str,
    slot: &str,
) -> Result<(), Failure> {
    let second = roles.credentials(options).find(|role| {
        role.name != current && role.name != slot && !role.is_off() && !matches!(role.comment, Mark::Ours(_))
    });
    let Some(second) = second else { return Ok(()) };
    let attempted = format!("rotate the login role {current:?}");
    Err(Failure::new(Class::Permanent, Code::LoginSlotTaken, attempted)
        .because(format!(
            "the role {:?} can log in for the same owner, and keyroll did not make it",
            second.name
        ))
        .help(format!(
            "if nothing uses it: ALTER ROLE {} NOLOGIN; otherwise find out who uses it",
            identifier(&second.name)
        )))
}

fn notes_of_roles(roles: &Catalogue, options: &Options, current: &str) -> Vec<String> {
    let mut notes = Vec::new();
    if current == options.owner_role {
        notes.push(format!(
            "{current:?} is adopted: it stays as the owner of its objects and loses its login"
        ));
    }
    if let Some(until) = roles.role(current).and_then(|role| role.valid_until.as_ref()) {
        notes.push(format!("{current:?} is valid until {until}; the new login gets the same end"));
    }
    if let Some(limit) = roles.role(current).map(|role| role.connection_limit).filter(|limit| *limit >= 0) {
        notes.push(format!(
            "{current:?} may have {limit} connections; the new login gets the same limit of its own"
        ));
    }
    notes.extend(note_of_others(roles, options, current));
    notes
}

/// Members of the owner that log in under their own name.
pub(crate) fn note_of_others(roles: &Catalogue, options: &Options, current: &str) -> Option<String> {
    let others = roles.other_members(options).filter(|role| role.name != current);
    let names: Vec<_> = others.take(NAMES_MAX).map(|role| format!("{:?}", role.name)).collect();
    let names = (!names.is_empty()).then(|| names.join(", "))?;
    Some(format!("members of {:?} with logins of their own, left alone: {names}", options.owner_role))
}

/// During a rollout, an instance may hold connections of both logins at the same time.
pub(crate) async fn note_of_room(
    work: &Work<'_>,
    roles: &Catalogue,
    current: &str,
) -> Result<Option<String>, Failure> {
    let room = "SELECT current_setting('max_connections')::bigint \
                     - current_setting('superuser_reserved_connections')::bigint \
                     - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')";
    let rows = work.rows(room, &[], "count the connections").await?;
    let room: i64 = rows.first().map_or(0, |row| row.get(0));
    let used = roles.role(current).map_or(0, |role| role.sessions);
    Ok((room < used).then(|| {
        format!("{current:?} has {used} sessions and the server has room for {} more: roll one instance at a time", room.max(0))
    }))
}

/// A client that never learnt SCRAM (libpq before 10) can log in with an md5 password only, and not with our SCRAM
/// verifier.
async fn note_of_md5(work: &Work<'_>, current: &str) -> Result<Option<String>, Failure> {
    let read = |fault: PostgresError| work.failed(&fault, "read the admin's rights");
    if !catalogue::sees_passwords(work.link()).await.map_err(read)? {
        return Ok(None);
    }
    let md5 = "SELECT FROM pg_authid WHERE rolname::text = $1 AND rolpassword LIKE 'md5%'";
    let old = !work.rows(md5, &[&current], "read how the password is stored").await?.is_empty();
    Ok(old.then(|| format!("{current:?} has an md5 password; the new one is SCRAM, which clients must know")))
}

/// Mints into the slot and revokes the current login, in a transaction that never commits: missing rights, bad settings
/// and reserved names show now.
async fn rehearse(
    work: &Work<'_>,
    options: &Options,
    roles: &Catalogue,
    current: &str,
    slot: &str,
) -> Result<(), Failure> {
    let password = password::generate()?;
    let rehearsal = Mint { slot, current, label: REHEARSAL, password: &password, accepted: false };
    let lacking = |failure: Failure| {
        if (failure.kind, failure.class) != (FailureKind::StatementFailed, Class::Permanent) {
            return failure;
        }
        Failure { code: Code::AdminRefused, ..failure }.help(format!(
            "the admin {:?} needs CREATEROLE (from version 16 on with ADMIN OPTION on {:?})",
            options.admin.user, options.owner_role
        ))
    };
    rehearsal.apply(work, options).await.map_err(lacking)?;
    let statements = roles.role(current).and_then(|role| switch::statements(role, Switch::End));
    for statement in statements.unwrap_or_default() {
        work.run(&statement, "rehearse the revocation").await.map_err(lacking)?;
    }
    Ok(())
}

/// pg_hba.conf must treat both logins alike. The slot must be a member of the owner by now: in the rehearsal it is.
pub(crate) async fn check_hba(
    work: &Work<'_>,
    options: &Options,
    current: &str,
    slot: &str,
) -> Result<Vec<String>, Failure> {
    let read = |fault: PostgresError| work.failed(&fault, "read pg_hba.conf");
    let Some(rules) = hba::read(work.link()).await.map_err(read)? else {
        return Ok(vec![
            "pg_hba.conf: not visible to the admin; wrong passwords are tried instead".to_owned(),
        ]);
    };
    let old = hba::member(work.link(), current).await.map_err(read)?;
    let new = hba::member(work.link(), slot).await.map_err(read)?;
    if let Some(rule) = hba::differs(&rules, &old, &new, &options.dbname) {
        let attempted = format!("carry the access of {current:?} over to {slot:?}");
        return Err(Failure::new(Class::Permanent, Code::LoginRightsDiffer, attempted)
            .because(format!("line {} of pg_hba.conf does not treat the two alike", rule.line))
            .help(format!("name the group in it instead: +{}", options.owner_role)));
    }
    let open = rules.iter().filter(|rule| !rule.asks_for_password() && rule.is_tcp());
    let open = open.filter(|rule| rule.speaks_of(&new, &options.dbname) == Some(true));
    Ok(open
        .take(NAMES_MAX)
        .map(|rule| {
            format!(
                "line {} of pg_hba.conf lets method {:?} in without this password",
                rule.line, rule.method
            )
        })
        .collect())
}

const POLICIES: &str = r"
    SELECT format('%I on %s', p.polname, p.polrelid::regclass) FROM pg_policy p
     WHERE concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
           ~* '\m(session_user|system_user|session_authorization)\M' ORDER BY 1 LIMIT 10";

const MENTIONS: &str = r"
    SELECT 'function ' || p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
       AND concat_ws(' ', p.prosrc, pg_get_function_sqlbody(p.oid)) ~* '\msession_user\M'
     UNION ALL
    SELECT 'view ' || c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relkind IN ('v', 'm')
       AND pg_get_viewdef(c.oid) ~* '\msession_user\M'
     UNION ALL
    SELECT 'default in ' || d.adrelid::regclass::text FROM pg_attrdef d
     WHERE pg_get_expr(d.adbin, d.adrelid) ~* '\msession_user\M'
     ORDER BY 1 LIMIT 10";

/// `current_user` stays the owner; `session_user` is the login, and changes with every rotation.
pub(crate) async fn check_session_user(work: &Work<'_>) -> Result<Vec<String>, Failure> {
    let names = async |sql: &str| -> Result<Vec<String>, Failure> {
        let rows = work.rows(sql, &[], "search the database for session_user").await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    };
    let policies = names(POLICIES).await?;
    if !policies.is_empty() {
        return Err(Failure::new(
            Class::Permanent,
            Code::LoginRightsDiffer,
            "carry the row-level security over to a new login",
        )
        .because(format!("policies use session_user: {}", policies.join(", ")))
        .help("let them use current_user, which stays the owner role"));
    }
    let mentions = names(MENTIONS).await?;
    if mentions.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![format!("session_user will be the new login's name in: {}", mentions.join(", "))])
}

/// The negative control: a wrong password must be asked for, and refused as one.
pub(crate) async fn control(server: &Server, role: &str) -> Result<(), Failure> {
    let options = &server.options;
    let wrong = password::generate()?;
    let attempted = format!("see a wrong password for {role:?} refused at {}", options.endpoint());
    let failure = |class: Class, why: String| {
        Failure::new(class, Code::NegativeControlAccepted, attempted.clone()).because(why)
    };
    match server.attempt(server.place(), &options.dbname, role, &wrong).await {
        Attempt::WrongPassword => Ok(()),
        Attempt::Accepted(_) | Attempt::AcceptedBut(_) | Attempt::Denied => {
            Err(failure(Class::Permanent, "it was accepted: every other check would be worthless".to_owned())
                .help("look for `trust`, `peer`, `ident` or `cert` in pg_hba.conf; use scram-sha-256"))
        }
        Attempt::NotAuthorized(why) => {
            Err(failure(Class::Permanent, format!("the password was not asked for: {why}")).help(format!(
                "pg_hba.conf must ask {role:?} for its password (scram-sha-256) from this machine"
            )))
        }
        Attempt::Unknown(why) => Err(failure(Class::Retryable, why)),
    }
}
