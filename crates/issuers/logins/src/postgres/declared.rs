use crate::declaration::{Key, KeyForm};

/// The fields of a PostgreSQL credential, each with whether it is secret.
pub(crate) const FIELDS: &[(&str, bool)] =
    &[("user", false), ("password", true), ("host", false), ("port", false), ("dbname", false)];

/// The longest identifier, bytes: the server cuts longer ones off silently (NAMEDATALEN - 1).
const IDENTIFIER_BYTES_MAX: usize = 63;

/// The keys of the table `postgres` in keyroll.toml.
pub(crate) const KEYS: &[Key] = &[
    Key::required("host", KeyForm::Host, "The server's name or address, or the folder of its socket."),
    Key::optional("port", KeyForm::Port(5432), "The server's port. Default 5432."),
    Key::required("dbname", KeyForm::Name(IDENTIFIER_BYTES_MAX), "The database."),
    Key::required(
        "owner_role",
        KeyForm::Name(IDENTIFIER_BYTES_MAX),
        "The role that owns the objects; both login roles are members of it.",
    ),
    Key::required(
        "slots",
        KeyForm::Slots { noun: "login roles", apart_from: Some("owner_role") },
        "The two login roles.",
    ),
    Key::optional(
        "log",
        KeyForm::ServerPath,
        "The file of the server's log, on the server's machine, where the server does not collect it itself: Debian's \
         `/var/log/postgresql/postgresql-15-main.log`.",
    ),
    Key::optional(
        "poolers",
        KeyForm::Tables(POOLER_KEYS),
        "The PgBouncers of this machine through which consumers reach the server. `host` and `port` above stay the \
         server's own.",
    ),
];

/// The keys of one pooler.
const POOLER_KEYS: &[Key] = &[
    Key::required("host", KeyForm::Host, "Its address, or the folder of its socket."),
    Key::optional("port", KeyForm::Port(6432), "Its port. Default 6432."),
    Key::required(
        "admin",
        KeyForm::File,
        "Where the login is that may look at its console, one of its `stats_users`: `file:./pgbouncer.key`, one line \
         `user:password`.",
    ),
];
