use keyroll_port::Failure;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::codes;
use crate::link::{Fault, Link, Login};
use crate::options::Options;
use crate::server::Server;

/// The admin's connection: what it does is one transaction, or nothing.
pub(crate) struct Work<'a> {
    link: Link,
    options: &'a Options,
}

/// Only one driver changes the roles of one owner at a time; the number keeps our locks apart from an application's.
const LOCK: &str = "SELECT pg_advisory_xact_lock(1801812338, hashtext($1))";

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
            fault.without_effect(codes::CONNECT, attempted).help("keyroll doctor")
        })?;
        Ok(Self { link, options })
    }

    /// The connection, for reads.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Begins a transaction that holds the owner's lock, and whose commit is on the server's disk when it is told.
    pub(crate) async fn begin(&self) -> Result<(), Failure> {
        let durable = "BEGIN; SELECT set_config('synchronous_commit', 'on', true) \
                       WHERE current_setting('synchronous_commit') = 'off'";
        self.run(durable, "begin a transaction").await?;
        self.rows(LOCK, &[&self.options.owner_role], "take the lock of the owner role").await?;
        Ok(())
    }

    /// Ends the transaction for good. Only here may an effect be in doubt.
    pub(crate) async fn commit(self, attempted: &str) -> Result<(), Failure> {
        self.link.run("COMMIT").await.map_err(|fault| fault.of_commit(self.attempted(attempted)))?;
        self.link.close().await;
        Ok(())
    }

    /// Ends the transaction without any effect.
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

    /// A statement that failed before any commit.
    pub(crate) fn failed(&self, fault: &Fault, attempted: &str) -> Failure {
        fault.without_effect(codes::STATEMENT, self.attempted(attempted))
    }

    fn attempted(&self, what: &str) -> String {
        format!("{what} at PostgreSQL {}", self.options.endpoint())
    }
}
