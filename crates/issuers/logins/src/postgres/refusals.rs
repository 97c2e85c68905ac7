//! The server's own log as the record of refused logins, read through the admin's connection.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::password;
use crate::postgres::log_line::Form;
use crate::postgres::log_tail::{Mark, Read};
use aws_lc_rs::digest::{SHA256, digest};
use keyroll_codes::Code;
use keyroll_port::{Class, Failure, RefusalLog, RefusedUse};
use tokio::time::{Instant, sleep};

use crate::postgres::server::Server;
use crate::postgres::work::Work;

/// How much of a file one statement reads, bytes.
const PIECE_BYTES: i64 = 1024 * 1024;
/// How much one reading takes at most, bytes: a log that grows faster cannot be followed.
const LOOK_BYTES_MAX: i64 = 256 * 1024 * 1024;
/// How many bytes before the mark are remembered, as a digest: if the file was replaced, it has other bytes there.
const BEFORE_BYTES: i64 = 256;
const SETTINGS: &str = "
    SELECT current_setting('logging_collector') = 'on', current_setting('log_destination'),
           current_setting('log_min_messages') <> 'panic',
           current_setting('lc_messages') ~* '^(C|POSIX|en)([._@].*|_.*)?$' OR current_setting('lc_messages') = ''";

/// Where the log ends. `pg_ls_logdir` names files without their folder.
const CURRENT: &str = "
    SELECT file, size, (extract(epoch FROM clock_timestamp()) * 1000)::bigint
      FROM (SELECT pg_current_logfile($1) AS file) AS now
      LEFT JOIN pg_ls_logdir() AS all_files ON all_files.name = regexp_replace(file, '^.*/', '')";

/// Every file of the log, with its size and whether it was written since the mark.
const FILES: &str = "
    SELECT name, size, (extract(epoch FROM modification) * 1000)::bigint + 1000 >= $1 FROM pg_ls_logdir()";

/// A file that the server does not collect itself.
const NAMED: &str = "
    SELECT (pg_stat_file($1)).size, (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

const PIECE: &str = "SELECT pg_read_binary_file($1, $2, $3, true)";

/// The grants that let an admin read the log without being a superuser.
const GRANTS: &str = "in the database of `dbname`: GRANT pg_monitor TO the admin; GRANT EXECUTE ON FUNCTION \
                      pg_current_logfile(text), pg_read_binary_file(text, bigint, bigint, boolean) TO the admin";

/// The same for a log file that the configuration names.
const GRANTS_NAMED: &str = "name the server's own log with `log`; in the database of `dbname`: GRANT EXECUTE ON \
                            FUNCTION pg_stat_file(text), pg_read_binary_file(text, bigint, bigint, boolean) TO \
                            the admin, and GRANT pg_read_server_files TO the admin";

/// How long a refused login may take to appear in the log, and the pause between two readings, milliseconds.
const SHOWN_MS_MAX: u64 = 5_000;
const SHOWN_STEP_MS: u64 = 50;

/// Whether the log can be read, and where it is; tested by setting a mark.
pub(crate) async fn sees(server: &Server) -> RefusalLog {
    let blind = |why: String, help: &str| RefusalLog::NotVisible { why, help: help.to_owned() };
    let work = match Work::open(server).await {
        Ok(work) => work,
        Err(failure) => return blind(told(&failure), "keyroll doctor"),
    };
    let form = match form(&work, server.log()).await {
        Ok(Ok(form)) => form,
        Ok(Err((why, help))) => return blind(why.to_owned(), help),
        Err(failure) => return blind(told(&failure), GRANTS),
    };
    let marked = take(&work, form, server).await;
    work.close().await;
    match (marked, server.log()) {
        (Ok(_), None) => RefusalLog::Read { place: format!("PostgreSQL's log ({})", form.name()), lag_ms: 0 },
        (Ok(_), Some(file)) => RefusalLog::Read { place: format!("PostgreSQL's log {file}"), lag_ms: 0 },
        (Err(failure), None) => blind(told(&failure), GRANTS),
        (Err(failure), Some(_)) => blind(told(&failure), GRANTS_NAMED),
    }
}

fn told(failure: &Failure) -> String {
    let cause = failure.source.as_ref().map(ToString::to_string);
    cause.unwrap_or_else(|| failure.to_string())
}

/// The form of the log that can be read; or why none can, and the setting that would change that.
async fn form(
    work: &Work<'_>,
    named: Option<&str>,
) -> Result<Result<Form, (&'static str, &'static str)>, Failure> {
    let rows = work.rows(SETTINGS, &[], "read what the server logs").await?;
    let Some(row) = rows.first() else { return Ok(Err(("the server shows no settings", GRANTS))) };
    let (collected, destination, fatal, english): (bool, String, bool, bool) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    let to = |form: Form| destination.split(',').any(|one| one.trim() == form.name());
    let set = "name its file with `log` in the [postgres] table (Debian: \
               /var/log/postgresql/postgresql-15-main.log), or set logging_collector = on and log_destination = \
               'csvlog' (or 'jsonlog'), and restart the server";
    Ok(if !collected && named.is_none() {
        Err(("the server's log is not collected in files", set))
    } else if !fatal {
        Err(("the server logs no refused login (log_min_messages = panic)", "set log_min_messages = warning"))
    } else if named.is_some() {
        match to(Form::Stderr) && english {
            true => Ok(Form::Stderr),
            false => Err((
                "its lines do not show refused logins in a fixed form",
                "set lc_messages = 'C' and log_destination = 'stderr', or leave `log` out and let the server collect \
                 its log as csvlog",
            )),
        }
    } else if to(Form::Jsonlog) {
        Ok(Form::Jsonlog)
    } else if to(Form::Csvlog) {
        Ok(Form::Csvlog)
    } else if to(Form::Stderr) && english {
        Ok(Form::Stderr)
    } else {
        Err((
            "no format of the server's log shows refused logins in a fixed form",
            "set log_destination = 'csvlog'",
        ))
    })
}

/// A new mark: where the log ends now.
pub(crate) async fn mark(server: &Server) -> Result<String, Failure> {
    let work = Work::open(server).await?;
    let form = form(&work, server.log()).await?.map_err(|(why, help)| unread(server, why).help(help))?;
    let mark = take(&work, form, server).await?;
    work.close().await;
    serde_json::to_string(&mark).map_err(|_| unread(server, "its end cannot be written down"))
}

async fn take(work: &Work<'_>, form: Form, server: &Server) -> Result<Mark, Failure> {
    if let Some(file) = server.log() {
        let rows = work.rows(NAMED, &[&file], "find the server's log").await?;
        let (offset, at_ms) = rows.first().map(|row| (row.get(0), row.get(1))).unwrap_or_default();
        let before = before(work, file, offset).await?;
        prove(work, server, file, offset).await?;
        return Ok(Mark { form, file: file.to_owned(), offset, before, at_ms });
    }
    let rows = work.rows(CURRENT, &[&form.name()], "find the server's log").await?;
    let named = rows.first().and_then(|row| Some((row.get::<_, Option<String>>(0)?, row.get(1), row.get(2))));
    let Some((file, Some(offset), at_ms)) = named else {
        let attempted = "find the server's log";
        return Err(Failure::new(Class::Retryable, Code::RefusedUsesUnknown, attempted)
            .because("the server names no file"));
    };
    let before = before(work, &file, offset).await?;
    Ok(Mark { form, file, offset, before, at_ms })
}

/// Makes one login that the server must refuse, and waits until the configured file shows it. Another server's log, or
/// a log that was moved away, would never show a refusal, and that would be mistaken for no use. The role is random, so
/// it is nobody's.
async fn prove(work: &Work<'_>, server: &Server, file: &str, from: i64) -> Result<(), Failure> {
    let (Ok(name), Ok(password)) = (password::generate(), password::generate()) else {
        return Err(unread(server, "no name for a login could be made"));
    };
    let role = [b"keyroll_", name.expose()].concat();
    let user = String::from_utf8_lossy(&role);
    server.attempt(server.place(), &server.options.dbname, &user, &password).await;
    let until = Instant::now() + Duration::from_millis(SHOWN_MS_MAX);
    loop {
        let bytes = piece(work, file, from, 8 * PIECE_BYTES).await?.unwrap_or_default();
        if bytes.windows(role.len()).any(|part| part == role) {
            return Ok(());
        }
        if Instant::now() >= until {
            let why = "a login that the server refused just now does not appear in the file that `log` names";
            return Err(unread(server, why).help("name the log that this server writes"));
        }
        sleep(Duration::from_millis(SHOWN_STEP_MS)).await;
    }
}

async fn before(work: &Work<'_>, file: &str, offset: i64) -> Result<String, Failure> {
    let from = offset.saturating_sub(BEFORE_BYTES).max(0);
    let bytes = piece(work, file, from, offset.saturating_sub(from)).await?.unwrap_or_default();
    let digest = digest(&SHA256, &bytes);
    Ok(digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

async fn piece(work: &Work<'_>, file: &str, from: i64, length: i64) -> Result<Option<Vec<u8>>, Failure> {
    let rows = work.rows(PIECE, &[&file, &from, &length], "read the server's log").await?;
    Ok(rows.first().and_then(|row| row.get(0)))
}

/// Every login of the role that was refused since the mark. If lines were lost, this is a failure: missing lines prove
/// nothing.
pub(crate) async fn since(server: &Server, role: &str, mark: &str) -> Result<Vec<RefusedUse>, Failure> {
    let mark: Mark = serde_json::from_str(mark).map_err(|_| unread(server, "the mark in it is no mark"))?;
    let kept = server.tail.lock().clone().filter(|read| read.mark == mark);
    let mut read = kept.unwrap_or_else(|| {
        let files = BTreeMap::from([(mark.file.clone(), (mark.offset, Vec::new()))]);
        Read { mark, files, found: Vec::new() }
    });
    let work = Work::open(server).await?;
    let outcome = read.on(&work, server, role).await;
    work.close().await;
    let found = read.found.clone();
    // Keep what was read, even if the reading failed half-way: it is not read again.
    server.tail.keep(read);
    outcome.map(|()| found)
}

impl Read {
    async fn on(&mut self, work: &Work<'_>, server: &Server, role: &str) -> Result<(), Failure> {
        let lost = |why: &'static str| {
            unread(server, why).help("the log is marked anew when the login is disabled again")
        };
        let (folder, files) = self.files_now(work, server.log()).await?;
        let mut budget = LOOK_BYTES_MAX;
        let marked = self.mark.file.clone();
        let there =
            files.iter().any(|(name, size)| format!("{folder}{name}") == marked && *size >= self.mark.offset);
        if !there || before(work, &marked, self.mark.offset).await? != self.mark.before {
            return Err(lost("the log file from the time when the login was disabled no longer exists"));
        }
        for (name, size) in files {
            let file = format!("{folder}{name}");
            let (mut at, mut rest) = self.files.get(&file).cloned().unwrap_or_default();
            if size < at {
                return Err(lost("a file of the log was truncated"));
            }
            while at < size {
                if budget <= 0 {
                    return Err(unread(server, "it grows faster than it is read"));
                }
                let Some(bytes) = piece(work, &file, at, PIECE_BYTES.min(size.saturating_sub(at))).await?
                else {
                    return Err(lost("a file of the log was removed"));
                };
                let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
                if length == 0 {
                    return Err(lost("a file of the log was truncated"));
                }
                at = at.saturating_add(length);
                budget = budget.saturating_sub(length);
                self.lines(&mut rest, &bytes, role);
                self.files.insert(file.clone(), (at, rest.clone()));
            }
        }
        Ok(())
    }

    /// The files that have, or may have, lines from after the mark. A file that was last written at about the time of
    /// the mark, and is not the marked file, is older: the marked file was the current one.
    async fn files_now(
        &self,
        work: &Work<'_>,
        named: Option<&str>,
    ) -> Result<(String, Vec<(String, i64)>), Failure> {
        if let Some(file) = named {
            let rows = work.rows(NAMED, &[&file], "look at the server's log").await?;
            return Ok((String::new(), rows.iter().map(|row| (file.to_owned(), row.get(0))).collect()));
        }
        let folder = self.mark.file.rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
        let rows = work.rows(FILES, &[&self.mark.at_ms], "list the files of the server's log").await?;
        let own = self.mark.file.rsplit_once('/').map_or(self.mark.file.as_str(), |(_, name)| name);
        let all =
            rows.iter().map(|row| (row.get::<_, String>(0), row.get::<_, i64>(1), row.get::<_, bool>(2)));
        let files = all
            .filter(|(name, _, since)| name == own || (*since && self.mark.form.is_of(name)))
            .map(|(name, size, _)| (name, size))
            .collect();
        Ok((folder.unwrap_or_default(), files))
    }
}

fn unread(server: &Server, why: &'static str) -> Failure {
    let attempted = format!("read the log of PostgreSQL {}", server.options.endpoint());
    Failure::new(Class::Retryable, Code::RefusedUsesUnknown, attempted).because(why)
}
