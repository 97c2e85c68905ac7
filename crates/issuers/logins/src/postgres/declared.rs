use crate::declaration::{Key, KeyForm};

/// The fields of a PostgreSQL credential, each with whether it is secret.
pub(crate) const FIELDS: &[(&str, bool)] =
    &[("user", false), ("password", true), ("host", false), ("port", false), ("dbname", false)];

/// The longest identifier, bytes: the server cuts longer ones off silently (NAMEDATALEN - 1).
const IDENTIFIER_BYTES_MAX: usize = 63;

/// The keys of the table `postgres` in keyroll.toml.
pub(crate) const KEYS: &[Key] = &[
    Key::required(
        "host",
        KeyForm::Host,
        "The server's name or address, or the folder of its Unix socket. keyroll encrypts connections to another machine, and the server's certificate must contain this name.",
    ),
    Key::optional("port", KeyForm::Port(5432), "The server's port. Default 5432."),
    Key::required("dbname", KeyForm::Name(IDENTIFIER_BYTES_MAX), "The name of the database."),
    Key::required(
        "owner_role",
        KeyForm::Name(IDENTIFIER_BYTES_MAX),
        "The role that owns the database objects. Both login roles are its members.",
    ),
    Key::required(
        "slots",
        KeyForm::Slots { noun: "login roles", apart_from: Some("owner_role"), unless: Some("vault_roles") },
        "The names of the two login roles. keyroll creates a role when it first needs it.",
    ),
    Key::optional(
        "vault_roles",
        KeyForm::StaticRoles,
        "The static roles of Vault's or OpenBao's database engine for the two login roles, `MOUNT/NAME`, in the order of \
         `slots`: `[\"database/orders-a\", \"database/orders-b\"]`. Then Vault changes the passwords, and keyroll changes nothing \
         at the server: both login roles must exist, one of them may be `owner_role`, and the admin needs only \
         `pg_read_all_stats` and `pg_signal_backend`. `[vault]` says how Vault is reached, and must have the address.",
    ),
    Key::optional(
        "log",
        KeyForm::ServerPath,
        "The absolute path of the server's log file on the server's machine. Needed only if the server does not collect its \
         log itself (`logging_collector` is off), as on Debian: `/var/log/postgresql/postgresql-15-main.log`.",
    ),
    Key::optional(
        "poolers",
        KeyForm::Tables(POOLER_KEYS),
        "The PgBouncer instances on this machine through which consumers connect to the server. `host` and `port` of \
         `postgres` remain those of the server.",
    ),
];

/// The keys of one pooler.
const POOLER_KEYS: &[Key] = &[
    Key::required("host", KeyForm::Host, "The address of PgBouncer, or the folder of its Unix socket."),
    Key::optional("port", KeyForm::Port(6432), "The port of PgBouncer. Default 6432."),
    Key::required(
        "admin",
        KeyForm::File,
        "A reference to a login for PgBouncer's console, one of its `stats_users`: `file:./pgbouncer.key`, a file with one \
         line `user:password`.",
    ),
];
