use crate::postgres::link::{Link, Login, PostgresError};
use crate::postgres::options::Options;
use crate::postgres::server::Server;
use keyroll_codes::Code;
use keyroll_port::{Failure, FailureKind};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// The admin's connection: its changes are one transaction, which commits as a whole or not at all.
pub(crate) struct Work<'a> {
    link: Link,
    options: &'a Options,
}

/// This lock lets only one driver at a time change the roles of one owner. The first number separates our locks from
/// those of applications.
const LOCK: &str = "SELECT pg_advisory_xact_lock(1801812338, hashtext($1))";

/// Keeps our statements, failed ones too, out of the server's log and statistics, because the statement that sets a
/// password contains its SCRAM verifier. For this transaction alone, and only if the admin is a superuser; from version
/// 15 on, the right to change these settings can also be granted. Source: PostgreSQL's manual, "Error Reporting and
/// Logging", "pg_stat_statements".
const QUIET: &str = "
    SELECT set_config(name, value, true)
      FROM (VALUES ('log_statement', 'none'), ('log_min_duration_statement', '-1'),
                   ('log_min_duration_sample', '-1'), ('log_transaction_sample_rate', '0'),
                   ('log_min_error_statement', 'panic'), ('debug_print_parse', 'off'),
                   ('pg_stat_statements.track_utility', 'off')) AS quiet (name, value)
     WHERE current_setting('is_superuser') = 'on' AND current_setting(name, true) IS NOT NULL";

/// The same for settings that the admin was granted. Servers before version 15 do not have this function.
const QUIET_GRANTED: &str = "
    SELECT set_config(name, value, true)
      FROM (VALUES ('log_statement', 'none'), ('log_min_duration_statement', '-1'),
                   ('log_min_error_statement', 'panic'), ('pg_stat_statements.track_utility', 'off'))
           AS quiet (name, value)
     WHERE current_setting('is_superuser') <> 'on' AND current_setting(name, true) IS NOT NULL
       AND has_parameter_privilege(name, 'SET')";

/// The first version in which the right to change a setting can be granted.
const VERSION_WITH_GRANTED_SETTINGS: i32 = 150_000;

/// Whether the server logs the statements of this transaction in spite of [`QUIET`].
const LOUD: &str = "
    SELECT current_setting('log_statement') <> 'none' OR current_setting('log_min_duration_statement') <> '-1'
        OR coalesce(current_setting('pg_stat_statements.track_utility', true), 'off') = 'on'";

impl<'a> Work<'a> {
    /// Connects as the admin.
    pub(crate) async fn open(server: &'a Server) -> Result<Self, Failure> {
        let options = &server.options;
        let admin = &options.admin;
        let socket = admin.socket_dir.as_deref().and_then(|folder| folder.to_str());
        let login = Login {
            host: socket.unwrap_or(&options.host),
            port: options.port,
            dbname: &options.dbname,
            user: &admin.user,
            password: admin.password.as_ref(),
            // A Unix socket is not encrypted, and leaves no machine.
            tls: server.tls.as_ref().filter(|_| socket.is_none()),
            pinned: true,
        };
        let link = Link::open(&login, options.request_ms_max).await.map_err(|fault| {
            let attempted =
                format!("connect to PostgreSQL at {} as the admin {:?}", options.endpoint(), admin.user);
            fault.without_effect(Code::IssuerUnreachable, attempted).help("keyroll doctor")
        })?;
        Ok(Self { link, options })
    }

    /// The connection, for reads.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Begins a transaction that holds the owner's lock. Its commit is on the server's disk before the server answers.
    pub(crate) async fn begin(&self) -> Result<(), Failure> {
        let durable = "BEGIN; SELECT set_config('synchronous_commit', 'on', true) \
                       WHERE current_setting('synchronous_commit') = 'off'";
        self.run(durable, "begin a transaction").await?;
        self.be_quiet().await?;
        self.rows(LOCK, &[&self.options.owner_role], "take the lock of the owner role").await?;
        Ok(())
    }

    async fn be_quiet(&self) -> Result<(), Failure> {
        let step = "keep statements out of the server's log";
        self.rows(QUIET, &[], step).await?;
        let version = "SELECT current_setting('server_version_num')::int";
        let rows = self.rows(version, &[], "read the server's version").await?;
        if rows.first().is_some_and(|row| row.get::<_, i32>(0) >= VERSION_WITH_GRANTED_SETTINGS) {
            self.rows(QUIET_GRANTED, &[], step).await?;
        }
        Ok(())
    }

    /// Whether the server logs this transaction's statements because the admin may not switch that off.
    pub(crate) async fn is_loud(&self) -> Result<bool, Failure> {
        let rows = self.rows(LOUD, &[], "read what the server logs").await?;
        Ok(rows.first().is_none_or(|row| row.get(0)))
    }

    /// Commits the transaction. This is the only step whose outcome can be unknown.
    pub(crate) async fn commit(self, attempted: &str) -> Result<(), Failure> {
        self.link.run("COMMIT").await.map_err(|fault| fault.of_commit(self.attempted(attempted)))?;
        self.link.close().await;
        Ok(())
    }

    /// Rolls the transaction back: it has no effect.
    pub(crate) async fn roll_back(self) -> Result<(), Failure> {
        self.run("ROLLBACK", "roll back a rehearsal").await?;
        self.link.close().await;
        Ok(())
    }

    /// Says good-bye after reads.
    pub(crate) async fn close(self) {
        self.link.close().await;
    }

    /// Rows of one statement.
    pub(crate) async fn rows(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        attempted: &str,
    ) -> Result<Vec<Row>, Failure> {
        self.link.rows(sql, params).await.map_err(|fault| self.failed(&fault, attempted))
    }

    /// One statement.
    pub(crate) async fn run(&self, sql: &str, attempted: &str) -> Result<(), Failure> {
        self.link.run(sql).await.map_err(|fault| self.failed(&fault, attempted))
    }

    /// The failure of a statement before any commit.
    pub(crate) fn failed(&self, fault: &PostgresError, attempted: &str) -> Failure {
        fault
            .without_effect(Code::RequestFailed, self.attempted(attempted))
            .kind(FailureKind::StatementFailed)
    }

    fn attempted(&self, what: &str) -> String {
        format!("{what} at PostgreSQL {}", self.options.endpoint())
    }
}
