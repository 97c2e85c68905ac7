use std::path::PathBuf;

use crate::declaration::Admins;
use crate::id::is_ambiguous;
use crate::options::REQUEST_MS_MAX_DEFAULT;
use crate::postgres::quote::is_role_name;
use crate::table::Table;
use crate::{endpoint, turn};
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;

/// Who changes the passwords of the two login roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangedBy {
    /// keyroll, which makes the roles too.
    Keyroll,
    /// Another party: keyroll only looks at the server.
    Another,
}

/// Which database, which roles, and who administers them.
pub struct Options {
    /// The host that consumers connect to: a name, an address, or the folder of a Unix socket. To any but this machine
    /// connections are encrypted, and the server's certificate must bear this name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database that consumers use.
    pub dbname: String,
    /// The role that owns the objects. The first rotation adopts it if consumers still log in as this role. Where another
    /// party changes the passwords, it may be one of the two login roles.
    pub owner_role: String,
    /// The two login roles that take turns; they are made when first needed and never dropped. Where another party changes the
    /// passwords, they must exist.
    pub slots: [String; 2],
    /// A PEM file of the root certificates to trust in place of the system's; with it, connections to this machine
    /// are encrypted too.
    pub root_certificates: Option<PathBuf>,
    /// The file that the server's standard error goes to, on the server's machine, where the server does not collect
    /// its log itself: `/var/log/postgresql/postgresql-15-main.log` on Debian.
    pub log: Option<String>,
    /// The poolers through which consumers reach the server.
    pub poolers: Vec<Pooler>,
    /// The admin's login.
    pub admin: Admin,
    /// The longest that one call may take, milliseconds.
    pub request_ms_max: u64,
}

/// The login that changes roles: a superuser, or CREATEROLE with `pg_read_all_stats` and `pg_signal_backend`. Where another
/// party changes the passwords, the last two are enough.
pub struct Admin {
    /// Its role.
    pub user: String,
    /// Its password; `None` where the server knows it by its Unix account (`peer`).
    pub password: Option<SecretBytes>,
    /// The folder of the Unix socket, if it connects by that instead of host and port.
    pub socket_dir: Option<PathBuf>,
}

/// One PgBouncer on this machine.
pub struct Pooler {
    /// Its address, or the folder of its Unix socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who may look at its console: one of its `stats_users` or `admin_users`.
    pub admin: Admin,
}

impl Admin {
    /// Reads the admin's file: `user:password` on one line; the password is all after the first colon, without the
    /// line's end.
    ///
    /// # Errors
    /// K0140 where there is no colon or no user. The message never shows what was read.
    pub fn from_file(content: &SecretBytes) -> Result<Self, Failure> {
        let (user, password) =
            turn::read_admin(content, is_role_name, "read the PostgreSQL admin credential")?;
        Ok(Self { user, password: Some(password), socket_dir: None })
    }
}

impl Options {
    /// The options of the server's table. [`Self::check`] refuses a missing one.
    pub(crate) fn read(table: &Table, admins: &Admins<'_>) -> Result<Self, Failure> {
        let text = |key: &str| table.text(key).unwrap_or_default().to_owned();
        let pooler = |(table, admin): (&Table, &SecretBytes)| {
            Ok(Pooler {
                host: table.text("host").unwrap_or_default().to_owned(),
                port: table.port("port").unwrap_or_default(),
                admin: Admin::from_file(admin)?,
            })
        };
        Ok(Self {
            host: text("host"),
            port: table.port("port").unwrap_or_default(),
            dbname: text("dbname"),
            owner_role: text("owner_role"),
            slots: table.slots().cloned().unwrap_or_default(),
            root_certificates: None,
            log: table.text("log").map(str::to_owned),
            poolers: table
                .poolers()
                .iter()
                .zip(admins.poolers)
                .map(pooler)
                .collect::<Result<_, Failure>>()?,
            admin: Admin::from_file(admins.server)?,
            request_ms_max: REQUEST_MS_MAX_DEFAULT,
        })
    }

    /// Refuses options that cannot work, without connecting to the server.
    pub(crate) fn check(&self, by: ChangedBy) -> Result<(), Failure> {
        let refuse = |why: String| {
            Err(Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, "use the PostgreSQL options")
                .because(why))
        };
        let [one, two] = &self.slots;
        for role in [&self.owner_role, one, two, &self.admin.user] {
            if !is_role_name(role) || is_ambiguous(role) {
                return refuse(format!(
                    "{role:?} cannot be a role's name here (1 to 63 bytes, not reserved)"
                ));
            }
        }
        if one == two {
            return refuse("the two slots must be two different roles".to_owned());
        }
        if by == ChangedBy::Keyroll && [one, two].contains(&&self.owner_role) {
            return refuse("owner_role and the two slots must be three different roles".to_owned());
        }
        if [one, two, &self.owner_role].contains(&&self.admin.user) {
            return refuse(format!("the admin {:?} cannot be a role that is rotated", self.admin.user));
        }
        if self.dbname.is_empty() || self.dbname.contains('\0') || self.host.contains('\0') {
            return refuse("host and dbname must be set and hold no NUL".to_owned());
        }
        if self.host.is_empty() {
            return refuse("host must be set".to_owned());
        }
        if self.host.starts_with('/') && self.root_certificates.is_some() {
            return refuse(
                "PostgreSQL does not encrypt Unix sockets: leave the root certificates out".to_owned(),
            );
        }
        for pooler in &self.poolers {
            if !is_local(&pooler.host) {
                return refuse(format!(
                    "the pooler at {} is on another machine, where it is not asked",
                    pooler.host
                ));
            }
            if (&pooler.host, pooler.port) == (&self.host, self.port) {
                return refuse("host and port are the pooler's: name the server's own".to_owned());
            }
        }
        if self.request_ms_max == 0 {
            return refuse("request_ms_max must be positive".to_owned());
        }
        Ok(())
    }

    /// Whether connections are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.root_certificates.is_some() || !is_local(&self.host)
    }

    /// `host:port`, an IPv6 address in brackets.
    pub(crate) fn endpoint(&self) -> String {
        endpoint::host_port(&self.host, self.port)
    }

    /// The parts of a credential that it may lack.
    pub(crate) fn own_fields(&self) -> Vec<(&'static str, String)> {
        vec![("host", self.host.clone()), ("port", self.port.to_string()), ("dbname", self.dbname.clone())]
    }

    /// The slot for the next credential: the other one. The first if the current role is no slot.
    pub(crate) fn next_slot(&self, current_role: &str) -> &str {
        turn::next_slot(&self.slots, current_role)
    }

    /// Whether a role is one of the two slots.
    pub(crate) fn is_slot(&self, role: &str) -> bool {
        self.slots.iter().any(|slot| slot == role)
    }
}

/// Whether a connection to this host stays on this machine. Beyond it, an unencrypted connection could be read and
/// forged.
pub(crate) fn is_local(host: &str) -> bool {
    host.starts_with('/') || keyroll_http::is_loopback(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            host: "127.0.0.1".to_owned(),
            port: 5432,
            dbname: "orders".to_owned(),
            owner_role: "orders".to_owned(),
            slots: ["orders_a".to_owned(), "orders_b".to_owned()],
            root_certificates: None,
            admin: Admin { user: "postgres".to_owned(), password: None, socket_dir: None },
            log: None,
            poolers: Vec::new(),
            request_ms_max: REQUEST_MS_MAX_DEFAULT,
        }
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        options().check(ChangedBy::Keyroll).unwrap();
        let pooler = |o: &mut Options, host: &str, port| {
            let admin = Admin { user: "stats".to_owned(), password: None, socket_dir: None };
            o.poolers.push(Pooler { host: host.to_owned(), port, admin });
        };
        let mut with = options();
        pooler(&mut with, "127.0.0.1", 6432);
        with.check(ChangedBy::Keyroll).unwrap();
        for (host, port) in [("127.0.0.1", 5432), ("192.0.2.1", 6432)] {
            let mut options = options();
            pooler(&mut options, host, port);
            assert_eq!(
                options.check(ChangedBy::Keyroll).unwrap_err().code,
                Code::IssuerSettingsInvalid,
                "{host}:{port}"
            );
        }
        let spoil: [fn(&mut Options); 8] = [
            |o| o.host.clear(),
            |o| {
                o.host = "/run/postgresql".to_owned();
                o.root_certificates = Some("/etc/ssl/cert.pem".into());
            },
            |o| o.slots = ["orders_a".to_owned(), "orders_a".to_owned()],
            |o| o.owner_role = "orders_b".to_owned(),
            |o| o.owner_role = "pg_monitor".to_owned(),
            |o| o.admin.user = "orders".to_owned(),
            |o| o.dbname.clear(),
            |o| o.slots = ["a#keyroll/x".to_owned(), "b".to_owned()],
        ];
        for (at, spoil) in spoil.iter().enumerate() {
            let mut options = options();
            spoil(&mut options);
            assert_eq!(
                options.check(ChangedBy::Keyroll).unwrap_err().code,
                Code::IssuerSettingsInvalid,
                "case {at}"
            );
        }
    }

    #[test]
    fn the_owner_is_a_slot_only_where_another_party_changes_the_passwords() {
        let refused = |owner: &str, by| {
            let options = Options { owner_role: owner.to_owned(), ..options() };
            options.check(by).is_err_and(|failure| failure.code == Code::IssuerSettingsInvalid)
        };
        assert!(refused("orders_a", ChangedBy::Keyroll));
        assert!(!refused("orders_a", ChangedBy::Another));
        assert!(!refused("orders", ChangedBy::Another));
        assert!(refused("postgres", ChangedBy::Another), "the admin");
        let one = Options { slots: ["orders_a", "orders_a"].map(str::to_owned), ..options() };
        assert!(one.check(ChangedBy::Another).is_err());
    }

    #[test]
    fn nothing_leaves_this_machine_unencrypted() {
        let mut options = options();
        for local in ["127.0.0.1", "127.9.9.9", "::1", "localhost", "/run/postgresql"] {
            options.host = local.to_owned();
            assert!(!options.is_encrypted(), "{local}");
        }
        for other in
            ["db.example.org", "192.0.2.1", "localhost.example.org", "0.0.0.0", "::", "127.0.0.1.example.org"]
        {
            options.host = other.to_owned();
            assert!(options.is_encrypted(), "{other}");
        }
        options.host = "127.0.0.1".to_owned();
        options.root_certificates = Some("roots.pem".into());
        assert!(options.is_encrypted());
    }
}
